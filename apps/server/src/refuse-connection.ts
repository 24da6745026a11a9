import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { AppError, errorAnswer, requestIds } from '@keymeter/api/server'
import type { Logger } from 'pino'
import { allowedMethods } from './allowed-methods.ts'
import { SECURITY_HEADERS } from './security-headers.ts'

/** A request line of HTTP/1 with any method. Other bytes are not HTTP, e.g. the start of a TLS connection. */
const REQUEST_LINE = /^[!#$%&'*+.^_`|~\w-]{1,32} (\S{0,2048}) HTTP\/1\.[01]\r?\n/

/** An error of Node while it reads a request. `rawPacket` contains the last bytes that arrived. */
export type ReadError = Partial<Error> & { code?: string; rawPacket?: Buffer }

/**
 * Closes a connection whose request Node could not read, because it is not valid HTTP, too large or too slow. If `canAnswer` is
 * true, the client first gets an answer like any other refusal.
 */
export function refuseConnection(
  socket: Duplex,
  { code = '', rawPacket }: ReadError,
  { canAnswer, log }: { canAnswer: boolean; log: Logger },
): void {
  const requestId = randomUUID()
  // A client that disconnects is not an error of the server either.
  log.debug({ requestId, code }, 'closed a connection, because its request did not arrive')
  // A connection on which nothing has arrived has no request to answer. Its client perhaps keeps it for later.
  const hasRequest = !(socket instanceof Socket) || socket.bytesRead > 0
  if (!canAnswer || !hasRequest || !socket.writable || code === 'ECONNRESET' || code === 'EPIPE') {
    socket.destroy()
    return
  }
  const { status, error, headers } = refusalOf(code, rawPacket)
  const answer = requestIds.run(requestId, () => errorAnswer(error))
  answer.error.data.httpStatus = status
  const body = JSON.stringify(answer)
  const lines = Object.entries({
    ...SECURITY_HEADERS,
    ...headers,
    'cache-control': 'no-store',
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    'x-request-id': requestId,
    connection: 'close',
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`, () => socket.destroy())
}

function refusalOf(code: string, rawPacket: Buffer | undefined) {
  const [, target] = REQUEST_LINE.exec(rawPacket?.toString('latin1') ?? '') ?? []
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return {
        status: 431,
        error: new AppError('request_too_large', {
          message: 'The URL or the headers are too large: send at most 16 KB.',
        }),
      }
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return { status: 413, error: new AppError('request_too_large') }
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return { status: 408, error: new AppError('request_too_slow') }
    case 'HPE_INVALID_METHOD':
      // Node reports every first byte that begins none of its methods as an invalid method.
      if (rawPacket === undefined || target !== undefined)
        return {
          status: 405,
          error: new AppError('method_not_allowed'),
          headers: { allow: allowedMethods(target ?? '/').join(', ') },
        }
  }
  return {
    status: 400,
    error: new AppError('bad_request', { message: 'The request is not valid HTTP: check its request line and its headers.' }),
  }
}
