import { connect, createServer, type Socket } from 'node:net'

/** Every response of Postgres outside a transaction ends with these bytes. When they arrive, the statement is committed. */
const READY_FOR_QUERY = Buffer.from('Z\0\0\0\x05I', 'latin1')
/** The maximum number of consecutive cuts. The engine resends a batch only a few times, so more cuts would make it fail. */
const CUTS_IN_A_ROW_MAX = 3
/** Each message of Postgres begins with a type, one byte, and a length, four bytes. The length does not count the type. */
const HEADER_BYTES = 5
const NOTIFICATION = 'A'.charCodeAt(0)

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
  /** The time for which the proxy holds back each part of a response. */
  delayMs: number
  /** If false, the proxy drops every notification, as a pooler in transaction mode does. */
  deliversNotifications: boolean
  /** If true, the proxy holds back each announcement that the server sends. `false` sends them. */
  holdsAnnouncements: boolean
  /** The number of announcements that the proxy has held back. */
  held: number
  /** The number of open connections. */
  connections: number
  /** The largest number of connections that were open at the same time. */
  connectionsMax: number
  /** Leads new connections to another Postgres. Open connections stay where they are. */
  switchTo(databaseUrl: string): void
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
  let postgres = new URL(databaseUrl)
  const sockets = new Set<Socket>()
  const held: (() => void)[] = []
  let isHanging = false
  let holdsAnnouncements = false
  let cutsInARow = 0

  const server = createServer((client) => {
    const upstream = connect(Number(postgres.port), postgres.hostname)
    proxy.connectionsMax = Math.max(proxy.connectionsMax, ++proxy.connections)
    client.once('close', () => proxy.connections--)
    const withoutNotifications = createNotificationFilter()
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
      if (data.includes('transaction_read_only')) proxy.pings++
      if (!holdsAnnouncements || !data.includes('pg_notify')) return upstream.write(data)
      proxy.held++
      held.push(() => upstream.write(data))
    })
    const forward = (data: Buffer) => {
      isDead ||= isHanging
      if (!isDead) client.write(data)
    }
    upstream.on('data', (received) => {
      isDead ||= isHanging
      if (isDead) return
      const data = proxy.deliversNotifications ? received : withoutNotifications(received)
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
  const url = new URL(databaseUrl)
  url.port = String(address.port)

  const proxy: PostgresProxy = {
    url: url.href,
    cutChance: 0,
    cuts: 0,
    batches: 0,
    pings: 0,
    delayMs: 0,
    deliversNotifications: true,
    get holdsAnnouncements() {
      return holdsAnnouncements
    },
    set holdsAnnouncements(holds) {
      holdsAnnouncements = holds
      if (!holds) for (const send of held.splice(0)) send()
    },
    held: 0,
    connections: 0,
    connectionsMax: 0,
    switchTo: (otherUrl) => {
      postgres = new URL(otherUrl)
    },
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

/** Returns a function that removes the notifications from what Postgres sends on one connection. */
function createNotificationFilter(): (data: Buffer) => Buffer {
  let rest = Buffer.alloc(0)
  return (data) => {
    rest = Buffer.concat([rest, data])
    const kept: Buffer[] = []
    while (rest.length >= HEADER_BYTES) {
      const end = 1 + rest.readInt32BE(1)
      if (rest.length < end) break
      if (rest[0] !== NOTIFICATION) kept.push(rest.subarray(0, end))
      rest = rest.subarray(end)
    }
    return Buffer.concat(kept)
  }
}
