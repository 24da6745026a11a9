import { randomUUID } from 'node:crypto'
import { type ApiDeps, AppError, appRouter, describeError, errorAnswer, requestIds } from '@keymeter/api/server'
import { BATCH_CALLS_MAX, type Settings } from '@keymeter/contract'
import type { TRPCError } from '@trpc/server'
import { fetchRequestHandler } from '@trpc/server/adapters/fetch'
import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { allowedMethods } from './allowed-methods.ts'
import { clientAddress } from './client-address.ts'
import type { HttpEnv } from './http-env.ts'
import { logError } from './log-error.ts'
import { RefusalLog } from './refusal-log.ts'
import { retryAfter } from './retry-after.ts'
import { securityHeaders } from './security-headers.ts'
import { EXPORT_PATH, serveUsageExport } from './usage-export.ts'

/** The largest request body. A full HTTP batch with the longest valid inputs is smaller than 10 KB. */
export const BODY_BYTES_MAX = 64 * 1024

/** The maximum number of characters of a user agent in the audit log. A longer user agent is cut. */
const USER_AGENT_LENGTH_MAX = 256

/** The first segments of all paths that belong to the server. All other paths belong to the dashboard. */
export const API_SEGMENTS = ['livez', 'readyz', 'config.json', 'trpc', 'export', 'panel', 'dev']

const EVENT_STREAM = 'text/event-stream'

export interface HttpOptions {
  api: ApiDeps
  settings: Settings
  trustedProxyHops: number
  /** Serves all paths that are not in `API_SEGMENTS`. It is absent in development, where Vite serves the dashboard. */
  dashboard?: Hono<HttpEnv>
  /** Serves the tRPC panel at `/panel`. It is absent in production. */
  panel?: MiddlewareHandler<HttpEnv>
  /** Serves the local mailbox at `/dev/mail`. It is absent in production. */
  mailbox?: MiddlewareHandler<HttpEnv>
  /** Returns true if the database answers and accepts writes. */
  isReady: () => Promise<boolean>
}

/** Creates the app that serves every HTTP path of the process. */
export function createHttpApp(options: HttpOptions): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>()

  const refusals = new RefusalLog(options.api.log)

  app.use(async (c, next) => {
    const requestId = randomUUID()
    const log = options.api.log.child({ requestId })
    const { incoming } = c.env
    const address = clientAddress(incoming.socket.remoteAddress, c.req.header('x-forwarded-for'), options.trustedProxyHops)
    c.set('requestId', requestId)
    c.set('log', log)
    c.set('callLog', {
      log,
      refusals,
      clientAddress: address,
      refusedCredentials: new Set(),
      hasDisconnected: () => incoming.destroyed && !incoming.complete,
    })
    await requestIds.run(requestId, next)
    c.res.headers.set('x-request-id', requestId)
    // Nobody reads the body of the answer to a HEAD request. A stream or an export would go on until its client disconnects.
    if (c.req.method === 'HEAD') await c.res.body?.cancel()
  })
  app.use(securityHeaders)
  app.use(onlyAllowedMethods)

  app.get('/livez', (c) => c.text('ok'))
  app.get('/readyz', async (c) =>
    (await options.isReady()) ? c.text('ok') : c.text('The database does not answer or accepts no writes.', 503),
  )
  app.get('/config.json', (c) => {
    c.header('cache-control', 'no-store')
    return c.json(options.settings)
  })

  app.use('/trpc/*', noStore, noJsonLines, onlyJson, limitBody, readBody, (c) => serveTrpc(options, c))

  app.use('/export/*', noStore)
  app.get(EXPORT_PATH, async (c) => await serveUsageExport(contextOf(options, c), c))
  app.get('/export/*', notFound)

  app.get('/panel', options.panel ?? notFound)
  app.get('/panel/*', notFound)
  if (options.mailbox) app.get('/dev/mail/*', options.mailbox)
  app.get('/dev/*', notFound)
  if (options.dashboard) app.route('/', options.dashboard)
  app.notFound((c) =>
    refuse(c, new AppError('procedure_not_found', { message: 'There is nothing at this path: check the path.' })),
  )
  app.onError((error, c) => {
    if (c.get('callLog').hasDisconnected()) c.get('log').debug('the client disconnected before its request had arrived')
    else c.get('log').error({ err: error }, 'request failed')
    return c.json(errorAnswer('internal_error'), 500)
  })
  return app
}

const notFound: MiddlewareHandler<HttpEnv> = async (c) => c.notFound()

const onlyAllowedMethods: MiddlewareHandler<HttpEnv> = async (c, next) => {
  const methods = allowedMethods(c.req.path)
  if (!methods.includes(c.req.method)) return refuse(c, new AppError('method_not_allowed'), { allow: methods.join(', ') })
  await next()
}

/**
 * No cache may store an answer, because the answer may contain secrets. No proxy may compress a stream, because compression
 * would delay its events.
 */
const noStore: MiddlewareHandler<HttpEnv> = async (c, next) => {
  await next()
  const isStream = c.res.headers.get('content-type') === EVENT_STREAM
  c.header('cache-control', isStream ? 'no-store, no-transform' : 'no-store')
}

/**
 * Refuses a POST request whose body is not JSON. Otherwise tRPC would accept forms and byte streams, which no procedure
 * expects.
 */
const onlyJson: MiddlewareHandler<HttpEnv> = async (c, next) => {
  const isJson = /^application\/json\s*(;|$)/i.test(c.req.header('content-type') ?? '')
  if (c.req.method === 'POST' && !isJson) return refuse(c, new AppError('content_type_not_supported'))
  await next()
}

const limitBody = bodyLimit({
  maxSize: BODY_BYTES_MAX,
  onError: (c: Context<HttpEnv>) => refuse(c, new AppError('request_too_large')),
})

/**
 * Reads the whole body before a call begins. tRPC would read it only when a procedure needs its input, which is after the call
 * has got its turn and a database connection. So a few clients that send their bodies slowly would occupy all connections.
 */
const readBody: MiddlewareHandler<HttpEnv> = async (c, next) => {
  if (c.req.method === 'POST') {
    const body = await c.req.arrayBuffer()
    c.req.raw = new Request(c.req.url, { method: 'POST', headers: c.req.raw.headers, body })
  }
  await next()
}

/**
 * Refuses batches that are streamed as JSON lines. Their status is sent before their calls are decided, so it would be 200 for
 * refused calls too, and monitoring that counts statuses would not see these calls.
 */
const noJsonLines: MiddlewareHandler<HttpEnv> = async (c, next) => {
  const accepted = `${c.req.header('trpc-accept')},${c.req.header('accept')}`
  if (/application\/jsonl/i.test(accepted)) return refuse(c, new AppError('bad_request', { message: NO_JSON_LINES }))
  await next()
}
const NO_JSON_LINES = 'Streamed batches are not supported: use httpBatchLink, and do not accept "application/jsonl".'

function refuse(c: Context<HttpEnv>, error: AppError, headers: Record<string, string> = {}): Response {
  c.get('log').debug({ reason: error.reason }, 'call refused')
  return answerOf(c, error, headers)
}

function answerOf(c: Context<HttpEnv>, error: TRPCError, headers: Record<string, string> = {}): Response {
  const answer = errorAnswer(error)
  const status = answer.error.data.httpStatus as ContentfulStatusCode
  return c.json(answer, status, { 'cache-control': 'no-store', ...retryAfter([answer.error.data]), ...headers })
}

async function serveTrpc(options: HttpOptions, c: Context<HttpEnv>): Promise<Response> {
  const stream: { refusal: TRPCError | null } = { refusal: null }
  const response = await fetchRequestHandler({
    endpoint: '/trpc',
    router: appRouter,
    // tRPC answers every HEAD request with 204, without a look at the call.
    req: c.req.method === 'HEAD' ? new Request(c.req.raw, { method: 'GET' }) : c.req.raw,
    maxBatchSize: BATCH_CALLS_MAX,
    createContext: () => contextOf(options, c),
    responseMeta: ({ errors }) => ({ headers: retryAfter(errors.map(describeError)) }),
    onError: ({ error, path, type }) => {
      // tRPC reports the error of a stream twice: when the call fails, and when the error is written to the stream.
      if (error === stream.refusal) return
      if (type === 'subscription') stream.refusal = error
      // If there is no such procedure, the path comes from the client and can contain a secret.
      logError(c.get('callLog'), error, { path: type === 'unknown' ? undefined : path, type })
    },
  })
  // tRPC writes the error of a stream into a response with the status 200. A stream that is refused before it starts gets the
  // status of its error instead.
  if (stream.refusal !== null && response.headers.get('content-type') === EVENT_STREAM) {
    await response.body?.cancel()
    return answerOf(c, stream.refusal)
  }
  // tRPC sets `connection: keep-alive` on a stream. Node would then ignore that the client asked it to close the connection.
  response.headers.delete('connection')
  // A query was called with POST, or a mutation with GET.
  if (response.status === 405) response.headers.set('allow', c.req.method === 'POST' ? 'GET, HEAD' : 'POST')
  return response
}

/** Returns the context of a call. `authorization` is the unverified request header. The called procedure verifies it. */
function contextOf({ api }: HttpOptions, c: Context<HttpEnv>) {
  return {
    ...api,
    log: c.get('log'),
    requestId: c.get('requestId'),
    clientAddress: c.get('callLog').clientAddress,
    userAgent: c.req.header('user-agent')?.slice(0, USER_AGENT_LENGTH_MAX) ?? null,
    authorization: c.req.header('authorization') ?? null,
    account: c.req.header('x-keymeter-account') ?? null,
  }
}
