import { createHash, randomUUID } from 'node:crypto'
import pg from 'pg'
import type { Key } from './accounts.ts'

/** The statement that the engine sends. */
export const CHARGE_BATCH =
  'select * from charge_batch($1::uuid, $2::uuid[], $3::bytea[], $4::bigint[], $5::text[], $6::text[])'

/** One client that sends one batch after the other, without an engine: what the function itself takes. */
export interface BatchLoop {
  /** Resolves to charges a second. */
  run(seconds: number, keys: readonly Key[], operation?: (charge: number) => string): Promise<number>
  charges: number
}

export function createBatchLoop(url: string, size: number): BatchLoop {
  const loop: BatchLoop = { run, charges: 0 }
  async function run(seconds: number, keys: readonly Key[], operation: (charge: number) => string = () => 'default') {
    const hashed = keys.map(({ userId, secret }) => ({ userId, hash: hashKey(secret) }))
    const client = new pg.Client(url)
    await client.connect()
    try {
      const [start, before] = [performance.now(), loop.charges]
      while (performance.now() - start < seconds * 1000) {
        const first = loop.charges
        const items = Array.from({ length: size }, (_, i) => hashed[(first + i) % hashed.length])
        const { rows } = await client.query(CHARGE_BATCH, [
          items[0]?.userId,
          items.map((item) => item?.userId),
          items.map((item) => item?.hash),
          items.map(() => 1),
          items.map(() => randomUUID()),
          items.map((_, i) => operation(first + i)),
        ])
        if (rows.some(({ verdict }) => verdict !== 'charged')) throw new Error('a charge was refused')
        loop.charges += size
      }
      return ((loop.charges - before) * 1000) / (performance.now() - start)
    } finally {
      await client.end()
    }
  }
  return loop
}

/** As the product hashes it. */
export function hashKey(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}
