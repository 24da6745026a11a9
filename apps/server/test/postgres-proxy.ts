import { connect, createServer, type Socket } from 'node:net'

/** The end of every response of Postgres outside a transaction. When it arrives, the statement is committed. */
const READY_FOR_QUERY = Buffer.from('Z\0\0\0\x05I', 'latin1')
/** The most cuts in a row, so that no batch is cut more often than the engine resends it. */
const CUTS_IN_A_ROW_MAX = 3

/** A proxy between a server and Postgres, which can cause faults. */
export interface PostgresProxy {
  url: string
  /** The chance, from 0 to 1, that a batch's response is dropped after the commit and its connection is cut. */
  cutChance: number
  /** The batches whose response was dropped. */
  cuts: number
  /** All batches. */
  batches: number
  /** The delay of each part of a response. */
  delayMs: number
  /** From now on, neither open nor new connections carry data, in either direction. */
  hang(): void
  /** New connections work again. Those that hung stay dead, and neither end is notified, like after a lost NAT entry. */
  resume(): void
  close(): void
}

export async function startPostgresProxy(databaseUrl: string): Promise<PostgresProxy> {
  const postgres = new URL(databaseUrl)
  const [port, host] = [Number(postgres.port), postgres.hostname]
  const sockets = new Set<Socket>()
  let isHanging = false
  let cutsInARow = 0

  const server = createServer((client) => {
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
          // A dead connection does not carry the end of the other side either.
          if (!isDead) for (const other of [client, upstream]) other.destroy()
        })
    }
    client.on('data', (data) => {
      isDead ||= isHanging
      if (isDead) return
      if (data.includes('meter_batch')) isBatch = true
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
