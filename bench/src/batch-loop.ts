import { createHash, randomUUID } from 'node:crypto'
import pg from 'pg'
import type { Key } from './accounts.ts'

/** The statement that the engine sends. */
export const METER_BATCH =
  'select * from keymeter.meter_batch($1::uuid, $2::text[], $3::uuid[], $4::bytea[], $5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::int[])'

/** The parameters of METER_BATCH for charges of one credit each. */
export function chargesOf(keys: readonly { userId: string; hash: Buffer }[], operation: (i: number) => string): unknown[] {
  return [
    keys[0]?.userId,
    keys.map(() => 'charge'),
    keys.map(({ userId }) => userId),
    keys.map(({ hash }) => hash),
    keys.map(() => null),
    keys.map(() => 1),
    keys.map(() => randomUUID()),
    keys.map((_, i) => operation(i)),
    keys.map(() => null),
  ]
}

/** One client that sends batches one after another, without the engine. It measures the SQL function. */
export interface BatchLoop {
  /** Resolves to charges per second. */
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
        const items = Array.from({ length: size }, (_, i) => hashed[(first + i) % hashed.length]).filter(
          (item) => item !== undefined,
        )
        const { rows } = await client.query(
          METER_BATCH,
          chargesOf(items, (i) => operation(first + i)),
        )
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

/** The hash that the product stores. */
export function hashKey(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}
