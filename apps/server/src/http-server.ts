import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Logger } from 'pino'
import { refuseConnection } from './refuse-connection.ts'

/**
 * A client that has not sent its request after this time is disconnected, and so is a client that takes no byte of its answer
 * for this time.
 */
const PATIENCE_MS = 30_000
/** The number of checks within `PATIENCE_MS`. Several checks let a client make progress while this process is busy. */
const CHECKS = 10
/** The time by which `headersTimeout` exceeds the time for which an idle connection stays open. */
const HEADERS_MARGIN_MS = 5_000

interface HttpServerOptions {
  /** An idle connection stays open for this time, so that its client can send another request. */
  keepAliveSeconds: number
  log: Logger
  /** Tests use a shorter time. */
  patienceMs?: number
}

/** What the checks know about a connection. */
interface Connection {
  /** The last request, which may still be arriving. */
  request: IncomingMessage | null
  /** The answers that are not sent yet. There are several if the client does not wait for an answer before the next request. */
  answers: Set<ServerResponse>
  /** The number of consecutive checks at which `request` was still arriving. */
  arrivingChecks: number
  /** The number of bytes that the kernel has taken, and the number of consecutive checks at which it was the same. */
  taken: number
  unreadChecks: number
}

/**
 * Creates the HTTP server of the process. It limits the time that a client may take. These limits do not end a call that needs
 * long, or a stream without events: they count only while the client has to send or to read.
 */
export function createHttpServer({ keepAliveSeconds, log, patienceMs = PATIENCE_MS }: HttpServerOptions): Server {
  const checkIntervalMs = patienceMs / CHECKS
  const keepAliveTimeout = keepAliveSeconds * 1000
  const server = createServer({ keepAliveTimeout, requestTimeout: patienceMs, connectionsCheckingInterval: checkIntervalMs })
  // Node applies the smaller of `headersTimeout` and `requestTimeout` to the headers, and the larger one to the whole request.
  // So Node limits the headers to `patienceMs`, and the checks below limit the body.
  server.headersTimeout = keepAliveTimeout + HEADERS_MARGIN_MS

  const connections = new Map<Duplex, Connection>()
  server.on('connection', (socket) => {
    connections.set(socket, { request: null, answers: new Set(), arrivingChecks: 0, taken: 0, unreadChecks: 0 })
    socket.once('close', () => connections.delete(socket))
  })
  server.on('request', (request, answer) => {
    const connection = connections.get(request.socket)
    if (connection === undefined) return
    connection.request = request
    connection.arrivingChecks = 0
    connection.answers.add(answer)
    answer.once('close', () => connection.answers.delete(answer))
  })

  const checks = setInterval(() => {
    for (const [socket, connection] of connections) {
      if (isUnread(socket as Socket, connection)) {
        log.debug('closed a connection, because its client does not read the answer')
        // A regular close would leave the unread bytes in the kernel's memory until the client reads them.
        ;(socket as Socket).resetAndDestroy()
      } else if (isArrivingTooSlowly(connection)) {
        refuse(socket, { code: 'ERR_HTTP_REQUEST_TIMEOUT' })
      }
    }
  }, checkIntervalMs).unref()
  server.once('close', () => clearInterval(checks))

  /** Answers a request that Node could not read, unless that would disturb the answer to an earlier request. */
  const refuse = (socket: Duplex, error: { code?: string; rawPacket?: Buffer }) => {
    const { request, answers } = connections.get(socket) ?? { request: null, answers: new Set<ServerResponse>() }
    const others = [...answers].filter((answer) => answer.req !== request || request.complete || answer.headersSent)
    refuseConnection(socket, error, { canAnswer: others.length === 0, log })
  }
  server.on('clientError', (error, socket) => refuse(socket, error))
  // CONNECT is the only method that Node does not pass on as a request.
  server.on('connect', (_request, socket) => refuse(socket, { code: 'HPE_INVALID_METHOD' }))
  return server
}

/** Counts a check. Returns true if the client has taken no byte of its answer at the last `CHECKS` checks. */
function isUnread(socket: Socket, connection: Connection): boolean {
  const taken = bytesTaken(socket)
  connection.unreadChecks = socket.writableLength > 0 && taken === connection.taken ? connection.unreadChecks + 1 : 0
  connection.taken = taken
  return connection.unreadChecks >= CHECKS
}

/** Counts a check. Returns true if the request was still arriving at the last `CHECKS` checks. */
function isArrivingTooSlowly(connection: Connection): boolean {
  connection.arrivingChecks = connection.request?.complete === false ? connection.arrivingChecks + 1 : 0
  return connection.arrivingChecks >= CHECKS
}

/**
 * Returns the number of bytes that the kernel has taken from this process. `socket.bytesWritten` also counts bytes that still
 * wait in this process, and the events of a socket report only whole chunks, which can be as large as an answer. Only the
 * socket's handle has the number. Node reads it there too, to decide whether a socket has timed out.
 */
function bytesTaken(socket: Socket): number {
  const { _handle: handle } = socket as { _handle?: { bytesWritten: number; writeQueueSize: number } | null }
  return handle ? handle.bytesWritten - handle.writeQueueSize : 0
}
