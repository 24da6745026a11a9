/**
 * The development server. `pnpm dev` starts it. Unlike the production server, it serves the tRPC panel and the local
 * mailbox, and Vite serves the dashboard from its sources.
 */
import type { Server } from 'node:http'
import { fileURLToPath } from 'node:url'
import pretty from 'pino-pretty'
import { createServer } from 'vite'
import { readEnv, secretsOf } from './env.ts'
import { forwardMailbox } from './forward-mailbox.ts'
import { API_SEGMENTS } from './http.ts'
import { createLog } from './log.ts'
import { panel } from './panel.ts'
import { type Pages, serve } from './serve.ts'

try {
  const env = readEnv(process.env)
  const log = createLog(
    { level: env.logLevel, secrets: secretsOf(env) },
    pretty({ ignore: 'time', singleLine: true, sync: true }),
  )
  // Only the embedded stack has a mailbox.
  const { DEV_MAILBOX_URL: mailboxUrl } = process.env
  const mailbox = mailboxUrl ? { mailbox: forwardMailbox(mailboxUrl) } : {}
  await serve(env, log, async (server) => ({ panel, ...mailbox, ...(await dashboardFromSources(server)) }))
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}

async function dashboardFromSources(server: Server): Promise<Pick<Pages, 'inFront' | 'close'>> {
  const vite = await createServer({
    root: fileURLToPath(new URL('../../dashboard', import.meta.url)),
    appType: 'spa',
    // Vite's other config loaders write a compiled copy of the config and delete it. `node --watch` would notice the copy and
    // restart the server.
    configLoader: 'native',
    server: { middlewareMode: true, ws: { server } },
  })
  return {
    inFront: (api) => (request, response) => {
      const [, segment = ''] = /^\/([^/?]*)/.exec(request.url ?? '') ?? []
      if (API_SEGMENTS.includes(segment)) api(request, response)
      else vite.middlewares(request, response)
    },
    close: () => vite.close(),
  }
}
