import { appRouter } from '@keymeter/api/server'
import type { MiddlewareHandler } from 'hono'
import { renderTrpcPanel } from 'trpc-ui-zod4'
import type { HttpEnv } from './http-env.ts'

/**
 * The tRPC panel: a page with a form for every procedure. Only the development server has it. To sign in, add the header
 * `authorization: Bearer <access token>` under "Headers".
 */
export const panel: MiddlewareHandler<HttpEnv> = async (c) => {
  const page = renderTrpcPanel(appRouter, {
    url: new URL('/trpc', c.req.url).href,
    meta: { title: 'Keymeter', description: description() },
  })
  // The panel contains inline scripts and styles, so it needs a weaker policy than the other responses.
  return c.html(page, 200, { 'content-security-policy': "frame-ancestors 'none'" })
}

function description(): string {
  const procedures = Object.keys(appRouter._def.procedures).map((path) => `\`${path}\``)
  return `Call \`auth.signup\`, then set the header \`authorization: Bearer <accessToken>\`. Procedures: ${procedures.join(', ')}.`
}
