import { once } from 'node:events'
import type { RequestListener, Server } from 'node:http'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { afterEach, describe, expect, it } from 'vitest'
import { parseResponse, rawConnection } from '../test/raw-connection.ts'
import { createHttpServer } from './http-server.ts'
import { SECURITY_HEADERS } from './security-headers.ts'

/** The server of this test checks its connections every 20 ms. */
const PATIENCE_MS = 200
/** More than the network buffers of this machine take. */
const LARGE_BYTES = 32 * 1024 * 1024
const GET = 'GET / HTTP/1.1\r\nhost: x\r\n\r\n'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

async function start(listener: RequestListener, { keepAliveSeconds = 65, patienceMs = PATIENCE_MS } = {}) {
  const logged: { level: number; msg: string }[] = []
  const log = pino({ level: 'debug' }, { write: (line) => logged.push(JSON.parse(line)) })
  const server = createHttpServer({ keepAliveSeconds, patienceMs, log }).on('request', listener)
  servers.push(server)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('The server has no port.')
  return { server, port: address.port, url: `http://127.0.0.1:${address.port}`, logged }
}

/** Opens a connection whose client sends `bytes` and never reads. Resolves to the server's end of the connection. */
async function openUnread({ server, port }: { server: Server; port: number }, bytes: string): Promise<Socket> {
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const client = connect(port, '127.0.0.1')
  client.on('error', () => {}).pause()
  client.write(bytes)
  const [socket] = await accepted
  return socket
}

const closed = async (socket: Socket) => {
  if (!socket.destroyed) await once(socket, 'close')
}

/** Writes chunks until the client stops reading, and goes on when the client reads. */
const stream =
  (contentType: string, chunk: string | Buffer): RequestListener =>
  (_, answer) => {
    answer.writeHead(200, { 'content-type': contentType })
    const write = () => {
      while (!answer.destroyed && answer.write(chunk));
    }
    answer.on('drain', write)
    write()
  }

describe('an answer that the client does not read', () => {
  const answers: Record<string, RequestListener> = {
    'in one piece': (_, answer) => void answer.end(Buffer.alloc(LARGE_BYTES)),
    'in chunks': stream('text/csv', Buffer.alloc(65_536)),
    'as server-sent events': stream('text/event-stream', `event: message\ndata: ${'x'.repeat(4_000)}\n\n`),
  }
  for (const [form, listener] of Object.entries(answers)) {
    it(`closes its connection: ${form}`, async () => {
      const server = await start(listener)
      const sockets: Socket[] = []
      while (sockets.length < 5) sockets.push(await openUnread(server, GET))
      await Promise.all(sockets.map(closed))
      const lines = server.logged.map(({ level, msg }) => [level, msg])
      expect(lines).toEqual(Array(5).fill([20, 'closed a connection, because its client does not read the answer']))
    })
  }

  it.skipIf(process.platform !== 'linux')('closes its connection: as small events, which wait only in the kernel', async () => {
    const server = await start((_, answer) => {
      answer.writeHead(200, { 'content-type': 'text/event-stream' })
      const events = setInterval(() => answer.write(`event: message\ndata: ${'x'.repeat(300)}\n\n`), 1)
      answer.once('close', () => clearInterval(events))
    })
    const socket = await openUnread(server, GET)
    let waiting = 0
    const watching = setInterval(() => {
      waiting = Math.max(waiting, socket.writableLength)
    }, 1)
    await closed(socket)
    clearInterval(watching)
    expect(waiting).toBe(0)
  })

  it('closes its connection even if the client sends more requests', async () => {
    const server = await start((_, answer) => void answer.end(Buffer.alloc(LARGE_BYTES)))
    const accepted = once(server.server, 'connection') as Promise<[Socket]>
    const client = connect(server.port, '127.0.0.1').on('error', () => {})
    client.pause()
    client.write(GET)
    const sending = setInterval(() => client.write(GET), PATIENCE_MS / 10)
    const [socket] = await accepted
    await closed(socket)
    clearInterval(sending)
  })

  it('an answer to a slow client is complete, even if it takes several times as long', async () => {
    const patienceMs = 1_000
    const pauseMs = 10
    const server = await start((_, answer) => void answer.end(Buffer.alloc(LARGE_BYTES)), { patienceMs })
    const client = connect(server.port, '127.0.0.1').pause()
    const ended = once(client, 'end')
    client.write(GET.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'))
    let bytes = 0
    let pauses = 0
    client.on('data', (chunk) => {
      bytes += chunk.length
      pauses++
      client.pause()
      setTimeout(() => client.resume(), pauseMs)
    })
    client.resume()
    await ended
    expect(bytes).toBeGreaterThan(LARGE_BYTES)
    expect(pauses * pauseMs).toBeGreaterThan(2 * patienceMs)
    expect(server.logged).toEqual([])
  })

  it('a connection stays open while the server works on an answer, and while a stream has no events', async () => {
    const server = await start(async (incoming, answer) => {
      if (incoming.url === '/stream') answer.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
      await sleep(3 * PATIENCE_MS)
      answer.end('done')
    })
    for (const path of ['/', '/stream']) expect(await (await fetch(server.url + path)).text()).toBe('done')
    expect(server.logged).toEqual([])
  })
})

describe('a request that arrives slowly', () => {
  it.each([
    ['in its request line', 'GET /'],
    ['in its headers', 'GET / HTTP/1.1\r\nhost: x\r\nx: '],
    ['in its body', 'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{'],
    ['in its chunked body', 'POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n64\r\n{'],
  ])('is refused with the status 408 and a reason: %s', async (_, start_) => {
    const listener: RequestListener = (incoming) => void incoming.resume().on('error', () => {})
    const server = await start(listener, { keepAliveSeconds: 1 })
    const { socket, closed } = rawConnection(server.port, start_)
    // A client that sends a byte from time to time is slow too.
    const dripping = setInterval(() => socket.write('x'), PATIENCE_MS / 4)
    const { status, headers, body } = parseResponse(await closed)
    clearInterval(dripping)
    expect([status, JSON.parse(body).error.data]).toMatchObject([408, { reason: 'request_too_slow', httpStatus: 408 }])
    expect(headers.get('x-request-id')).toBe(JSON.parse(body).error.data.requestId)
    expect(server.logged.filter(({ level }) => level > 20)).toEqual([])
  })

  it('is not awaited on a connection on which nothing has arrived for longer than an idle connection stays open', async () => {
    const server = await start(() => {}, { keepAliveSeconds: 1 })
    expect(await rawConnection(server.port, '').closed).toBe('')
  })

  it('gets no second answer if it was already answered', async () => {
    const server = await start((_, answer) => void answer.end('early'))
    const { closed } = rawConnection(server.port, 'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{')
    const text = await closed
    expect(text.match(/HTTP\/1\.1 /g)).toHaveLength(1)
    expect(text).toMatch(/^HTTP\/1\.1 200 /)
  })
})

describe('a request that is not valid HTTP', () => {
  it.each([
    ['text', 'hello\r\n\r\n', 400, 'bad_request'],
    ['the start of a TLS connection', Buffer.from('16030100a5010000a10303', 'hex'), 400, 'bad_request'],
    ['an invalid header', 'GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n', 400, 'bad_request'],
    [
      'two lengths',
      'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
      'bad_request',
    ],
    ['large headers', `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(17_000)}\r\n\r\n`, 431, 'request_too_large'],
    ['a long URL', `GET /${'y'.repeat(17_000)} HTTP/1.1\r\nhost: x\r\n\r\n`, 431, 'request_too_large'],
    ['an unknown method', 'FOO /trpc/keys.list HTTP/1.1\r\nhost: x\r\n\r\n', 405, 'method_not_allowed'],
    ['CONNECT', 'CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n', 405, 'method_not_allowed'],
  ])('is refused like any other request: %s', async (_, bytes, expectedStatus, reason) => {
    const server = await start((_, answer) => void answer.end('unexpected'))
    const { status, headers, body } = parseResponse(await rawConnection(server.port, bytes).closed)
    const { message, data } = JSON.parse(body).error
    expect([status, data.reason, data.httpStatus]).toEqual([expectedStatus, reason, expectedStatus])
    expect(message).toMatch(/^[A-Z].*: .*\.$/)
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) expect([name, headers.get(name)]).toEqual([name, value])
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.has('allow')).toBe(status === 405)
    expect(server.logged.filter(({ level }) => level > 20)).toEqual([])
  })

  it('does not disturb the answer to the previous request of its connection', async () => {
    const server = await start(async (_, answer) => {
      await sleep(20)
      answer.end('first')
    })
    const { closed } = rawConnection(server.port, `${GET}nonsense\r\n\r\n`)
    expect(await closed).not.toContain('400')
  })

  it('is not an error of the server if the client disconnects', async () => {
    const server = await start((incoming) => void incoming.resume().on('error', () => {}))
    const sockets = Array.from({ length: 20 }, () =>
      rawConnection(server.port, 'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{'),
    )
    for (let n = 0; n < 20; n++) await once(server.server, 'request')
    for (const { socket } of sockets) socket.resetAndDestroy()
    await Promise.all(sockets.map(({ closed }) => closed))
    expect(server.logged.filter(({ level }) => level > 20)).toEqual([])
  })
})

describe('an idle connection', () => {
  it('stays open for the whole time of the setting, so a client that reuses it within this time never sees a reset', async () => {
    const keepAliveSeconds = 1
    const { server, port } = await start((_, answer) => void answer.end('ok'), { keepAliveSeconds })
    let connections = 0
    server.on('connection', () => connections++)
    const open = () => connect(port, '127.0.0.1').on('error', () => {})
    let client = open()
    let reuses = 0
    await once(client, 'connect')
    let idleSince = performance.now()
    // The client also waits before its first request, as a load balancer with spare connections does.
    for (const idleMs of [999, 500, 800, 950, 990, 999, 999, 999]) {
      await sleep(idleMs)
      // A busy machine can wake this client too late. Then the server may close the connection.
      const isInTime = performance.now() - idleSince <= keepAliveSeconds * 1000
      if (!isInTime) client = open()
      client.write(GET)
      const [answer] = await once(client, 'data')
      expect(String(answer)).toMatch(/^HTTP\/1\.1 200 /)
      idleSince = performance.now()
      if (isInTime) reuses++
    }
    expect(reuses).toBeGreaterThan(0)
    expect(connections).toBe(9 - reuses)
    client.destroy()
  })

  it('is closed after the time of the setting', async () => {
    const { port } = await start((_, answer) => void answer.end('ok'), { keepAliveSeconds: 1 })
    expect(await rawConnection(port, GET).closed).toContain('Keep-Alive: timeout=1')
  })

  it('the limit of the headers is longer than the life of an idle connection', async () => {
    for (const keepAliveSeconds of [1, 65, 3600]) {
      const { server } = await start(() => {}, { keepAliveSeconds })
      expect(server.keepAliveTimeout).toBe(keepAliveSeconds * 1000)
      expect(server.headersTimeout).toBeGreaterThan(server.keepAliveTimeout)
    }
  })
})
