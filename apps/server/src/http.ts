import { randomUUID } from 'node:crypto'
import { type ApiDeps, appRouter, describeError, errorAnswer, requestIds } from '@keymeter/api/server'
import { BATCH_CALLS_MAX, type Reason, type Settings } from '@keymeter/contract'
import { fetchRequestHandler } from '@trpc/server/adapters/fetch'
import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { secureHeaders } from 'hono/secure-headers'
import { clientAddress } from './client-address.ts'
import type { HttpEnv } from './http-env.ts'
import { logError } from './log-error.ts'
import { retryAfter } from './retry-after.ts'
import { serveUsageExport } from './usage-export.ts'

/** The largest request body. A full HTTP batch with the longest valid inputs is smaller than 10 KB. */
export const BODY_BYTES_MAX = 64 * 1024

/** The maximum number of characters of a user agent in the audit log. A longer user agent is cut. */
const USER_AGENT_LENGTH_MAX = 256

/** The first segments of all paths that belong to the server. All other paths belong to the dashboard. */
export const API_SEGMENTS = ['livez', 'readyz', 'config.json', 'trpc', 'export', 'panel']

export interface HttpOptions {
  api: ApiDeps
  settings: Settings
  trustedProxyHops: number
  /** Serves all paths that are not in `API_SEGMENTS`. It is absent in development, where Vite serves the dashboard. */
  dashboard?: Hono<HttpEnv>
  /** Serves the tRPC panel at `/panel`. It is absent in production. */
  panel?: MiddlewareHandler<HttpEnv>
  /** Returns true if the database answers and accepts writes. */
  isReady: () => Promise<boolean>
}

/** Creates the app that serves every HTTP path of the process. */
export function createHttpApp(options: HttpOptions): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>()

  app.use(async (c, next) => {
    const requestId = randomUUID()
    c.set('requestId', requestId)
    c.set('log', options.api.log.child({ requestId }))
    await requestIds.run(requestId, next)
    c.header('x-request-id', requestId)
  })
  app.use(secureHeaders({ xFrameOptions: 'DENY', referrerPolicy: 'no-referrer', crossOriginResourcePolicy: 'same-origin' }))

  app.get('/livez', (c) => c.text('ok'))
  app.get('/readyz', async (c) =>
    (await options.isReady()) ? c.text('ok') : c.text('The database does not answer or accepts no writes.', 503),
  )
  app.get('/config.json', (c) => {
    c.header('cache-control', 'no-store')
    return c.json(options.settings)
  })

  app.use('/trpc/*', noStore, onlyJson, limitBody, (c) => serveTrpc(options, c))

  app.use('/export/*', noStore)
  app.get('/export/usage.csv', async (c) => await serveUsageExport(contextOf(options, c), c))
  app.all('/export/usage.csv', (c) => {
    c.header('allow', 'GET, HEAD')
    return refuse(c, 'method_not_allowed', 405)
  })
  app.all('/export/*', (c) => refuse(c, 'procedure_not_found', 404))

  app.all('/panel', options.panel ?? notFound)
  app.all('/panel/*', notFound)
  if (options.dashboard) app.route('/', options.dashboard)
  app.onError((error, c) => {
    c.get('log').error({ err: error }, 'request failed')
    return c.text('Something went wrong on our side.', 500)
  })
  return app
}

const notFound: MiddlewareHandler<HttpEnv> = async (c) => c.notFound()

/**
 * No cache may store an answer, because the answer may contain secrets. No proxy may compress a stream, because compression
 * would delay its events.
 */
const noStore: MiddlewareHandler<HttpEnv> = async (c, next) => {
  await next()
  const isStream = c.res.headers.get('content-type') === 'text/event-stream'
  c.header('cache-control', isStream ? 'no-store, no-transform' : 'no-store')
}

/**
 * Refuses a POST request whose body is not JSON. Otherwise tRPC would accept forms and byte streams, which no procedure
 * expects.
 */
const onlyJson: MiddlewareHandler<HttpEnv> = async (c, next) => {
  const isJson = /^application\/json\s*(;|$)/i.test(c.req.header('content-type') ?? '')
  if (c.req.method === 'POST' && !isJson) return refuse(c, 'content_type_not_supported', 415)
  await next()
}

const limitBody = bodyLimit({
  maxSize: BODY_BYTES_MAX,
  onError: (c: Context<HttpEnv>) => refuse(c, 'request_too_large', 413),
})

function refuse(c: Context<HttpEnv>, reason: Reason, status: 404 | 405 | 413 | 415): Response {
  c.get('log').debug({ reason, path: c.req.path }, 'call refused')
  return c.json(errorAnswer(reason), status)
}

function serveTrpc(options: HttpOptions, c: Context<HttpEnv>): Promise<Response> {
  return fetchRequestHandler({
    endpoint: '/trpc',
    router: appRouter,
    req: c.req.raw,
    maxBatchSize: BATCH_CALLS_MAX,
    createContext: () => contextOf(options, c),
    responseMeta: ({ errors }) => ({ headers: retryAfter(errors.map(describeError)) }),
    onError: ({ error, path, type }) => logError(c.get('log'), error, { path, type }),
  })
}

/** Returns the context of a call. `authorization` is the unverified request header. The called procedure verifies it. */
function contextOf({ api, trustedProxyHops }: HttpOptions, c: Context<HttpEnv>) {
  return {
    ...api,
    log: c.get('log'),
    requestId: c.get('requestId'),
    clientAddress: clientAddress(c.env.incoming.socket.remoteAddress, c.req.header('x-forwarded-for'), trustedProxyHops),
    userAgent: c.req.header('user-agent')?.slice(0, USER_AGENT_LENGTH_MAX) ?? null,
    authorization: c.req.header('authorization') ?? null,
  }
}
