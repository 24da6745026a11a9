import { createServer, type IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import { decodeJwt } from 'jose'

/** One response of the stand-in: an HTTP status and a JSON body. */
export interface Answer {
  status: number
  body: unknown
  /** Supabase Auth sends the version of its error format. Without it, supabase-js reads the older format. */
  headers?: Record<string, string>
}
export interface Received {
  method: string
  path: string
  headers: IncomingHttpHeaders
  /** The parsed JSON of the request, or null if it has no body. */
  body: unknown
}

/**
 * Starts an HTTP server that answers like Supabase Auth, for cases that the auth server of the tests cannot produce, e.g. a banned
 * user. It does not keep the process alive.
 */
export async function startAuthStandIn(answer: (request: Received) => Answer | Promise<Answer>): Promise<{
  url: string
  received: Received[]
  close: () => void
}> {
  const received: Received[] = []
  const server = createServer(async (request, response) => {
    const text = await new Response(Readable.toWeb(request) as ReadableStream).text()
    const { method = '', url: path = '', headers: sent } = request
    const call = { method, path, headers: sent, body: text === '' ? null : JSON.parse(text) }
    received.push(call)
    const { status, body, headers } = await answer(call)
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
  })
  server.unref()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return {
    url: `http://127.0.0.1:${port}`,
    received,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** Returns the user of the request's access token, as Supabase Auth returns a user with a confirmed address. */
export function userOf({ headers }: Received): Answer {
  const { sub } = decodeJwt(headers.authorization?.slice('Bearer '.length) ?? '')
  const confirmed = '2026-01-01T00:00:00Z'
  const user = { id: sub, aud: 'authenticated', email: `${sub}@example.com`, email_confirmed_at: confirmed, identities: [] }
  return { status: 200, body: user }
}
