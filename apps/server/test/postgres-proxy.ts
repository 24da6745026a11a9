import { connect, createServer, type Socket } from 'node:net'

/** Ends every answer: nothing is left to do, and the connection is in no transaction. So what was asked is committed. */
const READY_FOR_QUERY = Buffer.from('Z\0\0\0\x05I', 'latin1')
/** An unlucky batch is cut this often one after the other at most: the engine sends it four times. */
const CUTS_IN_A_ROW_MAX = 3

/** What stands between a server and Postgres, and what a test may do to it. */
export interface PostgresProxy {
  url: string
  /** The chance that the answer of a batch of charges is thrown away, and its connection cut, after the commit. */
  cutChance: number
  /** Batches whose answer was thrown away, and all. */
  cuts: number
  batches: number
  /** Each piece of an answer comes this much later. */
  delayMs: number
  /** From here on nothing goes through, in either direction, on the connections that there are and on new ones. */
  hang(): void
  /** New connections go through again. Those that hung stay dead for good, and nobody is told: as behind a lost NAT entry. */
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
          // A dead line carries no end either.
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
  if (typeof address !== 'object' || address === null) throw new Error('the proxy listens nowhere')
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
