import { randomUUID } from 'node:crypto'
import { Metering } from '@keymeter/api/server'
import type { Db } from '@keymeter/db'
import type { KyselyPlugin } from 'kysely'
import { pino } from 'pino'
import type { Key } from './accounts.ts'
import { closedLoop } from './measure.ts'

/** The product's charge engine, which counts its charges and its batches. */
export interface Engine {
  /** Charges one key after another, one credit each, with `callers` concurrent callers. */
  charge(callers: number, seconds: number, keys: readonly Key[]): Promise<{ perSecond: number; p50Ms: number; p95Ms: number }>
  charges: number
  batches: number
}

/**
 * @param newIdempotencyKey returns the idempotency key of a new charge. By default, the key is random, as with most real
 *   callers.
 */
export function createEngine(db: Db, newIdempotencyKey: () => string = randomUUID): Engine {
  const log = pino({ level: 'warn' }, pino.destination(2))
  const engine: Engine = { charge, charges: 0, batches: 0 }
  // The engine sends one statement for each batch, so the number of statements is the number of batches.
  const countsBatches: KyselyPlugin = {
    transformQuery: ({ node }) => {
      engine.batches++
      return node
    },
    transformResult: async ({ result }) => result,
  }
  const metering = new Metering({ db: db.withPlugin(countsBatches), keyBrand: 'km', log })

  async function charge(callers: number, seconds: number, keys: readonly Key[]) {
    return await closedLoop(callers, seconds, async () => {
      const key = keys[engine.charges++ % keys.length]?.secret ?? ''
      const verdict = await metering.charge({ key, credits: 1, idempotencyKey: newIdempotencyKey(), operation: 'default' })
      if (verdict.verdict !== 'charged') throw new Error(`a charge was ${verdict.verdict}`)
    })
  }
  return engine
}
