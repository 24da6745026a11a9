import { createServer } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import { cors } from 'hono/cors'
import { proxy } from 'hono/proxy'
import type { TokenCompleter } from './complete-token.ts'

interface AuthProxyOptions {
  port: number
  /** The port of the auth server. */
  innerPort: number
  completeToken: TokenCompleter
}

/** The headers that supabase-js sends from a browser. */
const REQUEST_HEADERS = ['apikey', 'authorization', 'content-type', 'x-client-info', 'x-supabase-api-version']

/**
 * Starts a proxy that makes the embedded auth server more like a Supabase project. It adds CORS headers to the answers, as Supabase's
 * gateway does. Without these headers, a page of another origin, e.g. the dashboard, cannot sign in. It also adds the missing claims
 * to access tokens.
 */
export async function startAuthProxy({ port, innerPort, completeToken }: AuthProxyOptions): Promise<{ stop(): Promise<void> }> {
  const app = new Hono()
  app.use(cors({ origin: '*', allowHeaders: REQUEST_HEADERS, exposeHeaders: ['x-supabase-api-version'] }))
  // Only /auth/v1 is passed on. Supabase's Data API, /rest/v1, is not, because only Keymeter's server may read our tables.
  app.all('/auth/v1/*', async (c) => {
    const response = await passOn(c, innerPort)
    // A browser rejects an answer that contains a CORS header twice.
    for (const name of [...response.headers.keys()]) if (name.startsWith('access-control-')) response.headers.delete(name)
    return await withCompleteTokens(response, completeToken)
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

async function passOn(c: Context, innerPort: number): Promise<Response> {
  const { pathname, search } = new URL(c.req.url)
  return await proxy(`http://127.0.0.1:${innerPort}${pathname}${search}`, { raw: c.req.raw, redirect: 'manual' })
}

/** An access token is in a JSON body, or in the fragment of the address to which a link in an e-mail leads. */
async function withCompleteTokens(response: Response, completeToken: TokenCompleter): Promise<Response> {
  const location = response.headers.get('location')
  const [, inFragment] = /[#&]access_token=([^&]+)/.exec(location ?? '') ?? []
  if (location !== null && inFragment !== undefined)
    response.headers.set('location', location.replace(inFragment, await completeToken(inFragment)))
  if (!response.headers.get('content-type')?.startsWith('application/json')) return response
  const text = await response.text()
  const headers = new Headers(response.headers)
  headers.delete('content-length')
  const { access_token: inBody } = text === '' ? {} : (JSON.parse(text) ?? {})
  const body = typeof inBody === 'string' ? text.replaceAll(inBody, await completeToken(inBody)) : text
  return new Response(body, { status: response.status, headers })
}
