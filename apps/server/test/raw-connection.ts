import { connect, type Socket } from 'node:net'

/** A TCP connection of a client that follows no rules. */
export interface RawConnection {
  socket: Socket
  /** Returns everything that has arrived. */
  received(): string
  /** Resolves to everything that has arrived when either end has closed the connection. */
  closed: Promise<string>
}

/** Opens a connection and sends `bytes`. */
export function rawConnection(port: number, bytes: string | Buffer): RawConnection {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.setEncoding('latin1').on('data', (data) => {
    text += data
  })
  // If the server resets the connection, `close` follows the error.
  socket.on('error', () => {})
  const closed = new Promise<string>((resolve) => socket.once('close', () => resolve(text)))
  socket.write(bytes)
  return { socket, received: () => text, closed }
}

/** An HTTP response that arrived on a raw connection. */
export interface RawResponse {
  status: number
  headers: Headers
  body: string
}

/** Parses the only response in `text`, which has a content length. */
export function parseResponse(text: string): RawResponse {
  const [head = '', ...rest] = text.split('\r\n\r\n')
  const [statusLine = '', ...lines] = head.split('\r\n')
  const headers = new Headers(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]))
  return { status: Number(statusLine.split(' ')[1]), headers, body: rest.join('\r\n\r\n') }
}
