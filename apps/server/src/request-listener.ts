import { randomUUID } from 'node:crypto'
import type { RequestListener } from 'node:http'
import { getRequestListener, RequestError } from '@hono/node-server'
import { AppError, errorAnswer, requestIds } from '@keymeter/api/server'
import type { Hono } from 'hono'
import type { Logger } from 'pino'
import type { HttpEnv } from './http-env.ts'
import { SECURITY_HEADERS } from './security-headers.ts'

const NOT_A_URL = 'The host or the URL of the request is not valid: check both.'

/** Returns the listener that passes the requests of a server to the app. */
export function createRequestListener(app: Hono<HttpEnv>, log: Logger): RequestListener {
  return getRequestListener(app.fetch, {
    // The app answers its own errors. So this error occurred before the app got the request.
    errorHandler: (error) => {
      const requestId = randomUUID()
      const isRefused = error instanceof RequestError
      if (isRefused) log.debug({ requestId }, 'refused a request with an invalid URL')
      else log.error({ requestId, err: error }, 'request failed')
      const refusal = new AppError(isRefused ? 'bad_request' : 'internal_error', isRefused ? { message: NOT_A_URL } : {})
      return new Response(JSON.stringify(requestIds.run(requestId, () => errorAnswer(refusal))), {
        status: isRefused ? 400 : 500,
        headers: {
          ...SECURITY_HEADERS,
          'cache-control': 'no-store',
          'content-type': 'application/json',
          'x-request-id': requestId,
        },
      })
    },
  })
}
