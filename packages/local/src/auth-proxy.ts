import { createServer } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { cors } from 'hono/cors'
import { proxy } from 'hono/proxy'

/** The headers that supabase-js sends from a browser. */
const REQUEST_HEADERS = ['apikey', 'authorization', 'content-type', 'x-client-info', 'x-supabase-api-version']

/**
 * Starts a proxy that adds CORS headers to the answers of the auth server. Without these headers, a page of another origin,
 * e.g. the dashboard, cannot sign in. In a Supabase project, Supabase's gateway adds these headers.
 */
export async function startAuthProxy(port: number, innerPort: number): Promise<{ stop(): Promise<void> }> {
  const app = new Hono()
  app.use(cors({ origin: '*', allowHeaders: REQUEST_HEADERS, exposeHeaders: ['x-supabase-api-version'] }))
  // Only /auth/v1 is passed on. Supabase's Data API, /rest/v1, is not, because only Keymeter's server may read our tables.
  app.all('/auth/v1/*', async (c) => {
    const { pathname, search } = new URL(c.req.url)
    const response = await proxy(`http://127.0.0.1:${innerPort}${pathname}${search}`, { raw: c.req.raw, redirect: 'manual' })
    // A browser rejects an answer that contains a CORS header twice.
    for (const name of [...response.headers.keys()]) if (name.startsWith('access-control-')) response.headers.delete(name)
    return response
  })
  app.onError((_, c) => c.json({ msg: 'Supabase Auth does not answer. Read its log, auth.log in the data folder.' }, 502))
  const server = createServer(getRequestListener(app.fetch))
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve))
  return {
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}
