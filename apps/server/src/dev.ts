/** Development: the same process, with the dashboard from its sources and the tRPC panel. Started by `pnpm dev`. */
import type { Server } from 'node:http'
import { fileURLToPath } from 'node:url'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { Hono } from 'hono'
import pretty from 'pino-pretty'
import { createServer } from 'vite'
import { readEnv } from './env.ts'
import type { HttpEnv } from './http.ts'
import { createLog } from './log.ts'
import { panel } from './panel.ts'
import { serve } from './serve.ts'

const env = readEnv(process.env)
const log = createLog(env.logLevel, pretty({ ignore: 'time,requestId', singleLine: true, sync: true }))
await serve(env, log, async (server) => ({ dashboard: await dashboardFromSources(server), panel }))

async function dashboardFromSources(server: Server): Promise<Hono<HttpEnv>> {
  const vite = await createServer({
    root: fileURLToPath(new URL('../../dashboard', import.meta.url)),
    appType: 'spa',
    server: { middlewareMode: true, hmr: { server } },
  })
  const app = new Hono<HttpEnv>()
  app.all('*', (c) => {
    vite.middlewares(c.env.incoming, c.env.outgoing)
    return RESPONSE_ALREADY_SENT
  })
  return app
}
