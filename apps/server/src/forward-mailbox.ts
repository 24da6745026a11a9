import type { MiddlewareHandler } from 'hono'
import { proxy } from 'hono/proxy'
import type { HttpEnv } from './http-env.ts'

/**
 * Forwards requests to the pages of the local mailbox, which run in the process of `pnpm dev`. So the mails are not lost when the
 * development server restarts after a change of its code. Only the development server has these pages.
 */
export function forwardMailbox(mailboxUrl: string): MiddlewareHandler<HttpEnv> {
  return async (c) => await proxy(`${mailboxUrl}${new URL(c.req.url).pathname}`)
}
