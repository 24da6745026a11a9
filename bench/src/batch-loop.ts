import { createHash, randomUUID } from 'node:crypto'
import pg from 'pg'
import type { Key } from './accounts.ts'

/** The statement that the charge engine sends for each batch. */
export const METER_BATCH =
  'select * from keymeter.meter_batch($1::uuid, $2::text[], $3::uuid[], $4::bytea[], $5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::int[])'

/** Returns the parameters of METER_BATCH for one charge of one credit for each of `keys`. */
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

/**
 * A single client that sends batches of charges one after another. It measures the SQL function `meter_batch` without the
 * engine.
 */
export interface BatchLoop {
  /**
   * Charges one key after another, and returns the charges per second. `operation` returns the operation of the n-th charge.
   */
  run(seconds: number, keys: readonly Key[], operation?: (charge: number) => string): Promise<number>
  /** The number of charges of all runs. */
  charges: number
}

/** @param size the number of charges in each batch. */
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

/** Returns the hash of the secret that the product stores. */
export function hashKey(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}
