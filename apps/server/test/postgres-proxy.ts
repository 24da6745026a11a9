import { connect, createServer, type Socket } from 'node:net'

/** Every response of Postgres outside a transaction ends with these bytes. When they arrive, the statement is committed. */
const READY_FOR_QUERY = Buffer.from('Z\0\0\0\x05I', 'latin1')
/** The maximum number of consecutive cuts. The engine resends a batch only a few times, so more cuts would make it fail. */
const CUTS_IN_A_ROW_MAX = 3

/** A proxy between a server and Postgres. The proxy can cause faults. */
export interface PostgresProxy {
  url: string
  /** The probability, from 0 to 1, that the response to a batch is dropped after the commit and its connection is cut. */
  cutChance: number
  /** The number of batches whose response was dropped. */
  cuts: number
  /** The number of all batches. */
  batches: number
  /** The number of pings, which are queries that only ask whether the database answers. */
  pings: number
  /** The number of open connections of clients. */
  connections(): number
  /** The time for which the proxy holds back each part of a response. */
  delayMs: number
  /** Stops the flow of data in both directions, on open connections and on new connections. */
  hang(): void
  /**
   * Lets new connections work. Connections that already hang stay dead, and neither end is notified. A router that has lost a
   * NAT entry has the same effect.
   */
  resume(): void
  close(): void
}

export async function startPostgresProxy(databaseUrl: string): Promise<PostgresProxy> {
  const postgres = new URL(databaseUrl)
  const [port, host] = [Number(postgres.port), postgres.hostname]
  const sockets = new Set<Socket>()
  let isHanging = false
  let cutsInARow = 0

  const clients = new Set<Socket>()
  const server = createServer((client) => {
    clients.add(client)
    client.once('close', () => clients.delete(client))
    const upstream = connect(port, host)
    let isDead = isHanging
    let isBatch = false
    let answer = Buffer.alloc(0)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket
        .on('error', () => {})
        .on('close', () => {
          sockets.delete(socket)
          // If a connection is dead, neither end learns that the other end has closed it.
          if (!isDead) for (const other of [client, upstream]) other.destroy()
        })
    }
    client.on('data', (data) => {
      isDead ||= isHanging
      if (isDead) return
      if (data.includes('meter_batch')) isBatch = true
      if (data.includes('select 1')) proxy.pings++
      upstream.write(data)
    })
    const forward = (data: Buffer) => {
      isDead ||= isHanging
      if (!isDead) client.write(data)
    }
    upstream.on('data', (data) => {
      isDead ||= isHanging
      if (isDead) return
      if (!isBatch) {
        if (proxy.delayMs === 0) forward(data)
        else setTimeout(forward, proxy.delayMs, data)
        return
      }
      answer = Buffer.concat([answer, data])
      if (!answer.subarray(-READY_FOR_QUERY.length).equals(READY_FOR_QUERY)) return
      proxy.batches++
      const isCut = Math.random() < proxy.cutChance && cutsInARow < CUTS_IN_A_ROW_MAX
      cutsInARow = isCut ? cutsInARow + 1 : 0
      if (isCut) {
        proxy.cuts++
        client.destroy()
      } else if (proxy.delayMs === 0) forward(answer)
      else setTimeout(forward, proxy.delayMs, answer)
      isBatch = false
      answer = Buffer.alloc(0)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('The proxy has no port.')
  postgres.port = String(address.port)

  const proxy: PostgresProxy = {
    url: postgres.href,
    cutChance: 0,
    cuts: 0,
    batches: 0,
    pings: 0,
    connections: () => clients.size,
    delayMs: 0,
    hang: () => {
      isHanging = true
    },
    resume: () => {
      isHanging = false
    },
    close: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
  return proxy
}
