import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Logger } from 'pino'
import { type ReadError, refuseConnection } from './refuse-connection.ts'
import { readUnacknowledgedBytes } from './unacknowledged-bytes.ts'

/**
 * A client that has not sent the body of its request after this time is disconnected, and so is a client that reads nothing of
 * an answer for this time.
 */
const PATIENCE_MS = 30_000
/** The number of checks within `PATIENCE_MS`. They are counted, so a client has its time even if this process is busy. */
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
  /** The last request, which may still be arriving, and its answer. */
  last: { request: IncomingMessage; answer: ServerResponse } | null
  /** The answers that are not sent yet. There are several if the client does not wait for an answer before the next request. */
  answers: Set<ServerResponse>
  /** The number of consecutive checks at which the last request was still arriving. */
  arrivingChecks: number
  /** The number of bytes that the client has acknowledged, and the number of consecutive checks at which it did not grow. */
  acknowledged: number
  unreadChecks: number
}

/**
 * Creates the HTTP server of the process. It limits the time that a client may take. These limits do not end a call that needs
 * long, or a stream without events, because they count only while the client has to send or to read.
 */
export function createHttpServer({ keepAliveSeconds, log, patienceMs = PATIENCE_MS }: HttpServerOptions): Server {
  const checkIntervalMs = patienceMs / CHECKS
  const keepAliveTimeout = keepAliveSeconds * 1000
  // Node counts the time of the headers from the start of a connection. A load balancer can open a connection and use it later,
  // so this time must be longer than the life of an idle connection.
  const headersTimeout = keepAliveTimeout + HEADERS_MARGIN_MS
  const server = createServer({
    keepAliveTimeout,
    headersTimeout,
    // The checks below limit the body.
    requestTimeout: headersTimeout,
    connectionsCheckingInterval: checkIntervalMs,
    // The listener refuses a request without a host. Node would do it without a reason.
    requireHostHeader: false,
  })

  const connections = new Map<Duplex, Connection>()
  server.on('connection', (socket) => {
    connections.set(socket, { last: null, answers: new Set(), arrivingChecks: 0, acknowledged: 0, unreadChecks: 0 })
    socket.once('close', () => connections.delete(socket))
  })
  server.on('request', (request, answer) => {
    const connection = connections.get(request.socket)
    if (connection === undefined) return
    connection.last = { request, answer }
    connection.arrivingChecks = 0
    connection.answers.add(answer)
    answer.once('close', () => connection.answers.delete(answer))
  })

  /** Answers a request that Node could not read, unless that would disturb the answer to an earlier request. */
  const refuse = (socket: Duplex, error: ReadError) => {
    const connection = connections.get(socket)
    refuseConnection(socket, error, { canAnswer: connection === undefined || canAnswer(connection), log })
  }
  server.on('clientError', (error, socket) => refuse(socket, error))
  // CONNECT is the only method that Node does not pass on as a request.
  server.on('connect', (_request, socket) => refuse(socket, { code: 'HPE_INVALID_METHOD' }))

  let isChecking = false
  const check = async () => {
    if (isChecking) return
    isChecking = true
    for (const [socket, connection] of connections)
      if (isArrivingTooSlowly(connection)) refuse(socket, { code: 'ERR_HTTP_REQUEST_TIMEOUT' })
    for (const socket of await findUnread(connections)) {
      log.debug('closed a connection, because its client does not read the answer')
      // A regular close would keep the unread bytes in the kernel until the client reads them.
      socket.resetAndDestroy()
    }
    isChecking = false
  }
  const checks = setInterval(check, checkIntervalMs).unref()
  server.once('close', () => clearInterval(checks))
  return server
}

/** Counts a check. Returns the connections whose clients have acknowledged nothing at the last `CHECKS` checks. */
async function findUnread(connections: ReadonlyMap<Duplex, Connection>): Promise<Socket[]> {
  const waiting: { socket: Socket; connection: Connection; taken: number }[] = []
  for (const [socket, connection] of connections) {
    if (!(socket instanceof Socket)) continue
    const taken = bytesTaken(socket)
    if (taken > connection.acknowledged || socket.writableLength > 0) waiting.push({ socket, connection, taken })
    else connection.unreadChecks = 0
  }
  const [first] = waiting
  if (first === undefined) return []
  const unacknowledged = await readUnacknowledgedBytes(first.socket.localPort ?? 0)
  return waiting.flatMap(({ socket, connection, taken }) => {
    // `taken` was read first, so this number is at most the actual one.
    const acknowledged = taken - (unacknowledged.get(socket.remotePort ?? 0) ?? 0)
    const isRead = acknowledged > connection.acknowledged
    connection.acknowledged = Math.max(connection.acknowledged, acknowledged)
    connection.unreadChecks = isRead ? 0 : connection.unreadChecks + 1
    return connection.unreadChecks >= CHECKS ? [socket] : []
  })
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

/** Counts a check. Returns true if the request was still arriving at the last `CHECKS` checks. */
function isArrivingTooSlowly(connection: Connection): boolean {
  connection.arrivingChecks = connection.last?.request.complete === false ? connection.arrivingChecks + 1 : 0
  return connection.arrivingChecks >= CHECKS
}

/** Returns true if an answer to the request that could not be read would not disturb the answer to an earlier request. */
function canAnswer({ last, answers }: Connection): boolean {
  if (last === null || last.request.complete) return answers.size === 0
  return answers.size === 1 && answers.has(last.answer) && !last.answer.headersSent
}
