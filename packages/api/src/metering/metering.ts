import { setTimeout as sleep } from 'node:timers/promises'
import { CHARGES_MAX, type Charge, type Verdict } from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import type { Logger } from 'pino'
import { AppError } from '../errors.ts'
import { hashToken, parseToken } from '../keys/token.ts'
import { isConflict, isUnavailable } from '../scope.ts'
import { type BatchItem, chargeBatch } from './charge-batch.ts'
import { Lane } from './lane.ts'

/** Calls that wait at most; past it a call is told `overloaded` at once. */
const WAITING_MAX = 10_000
/** A batch whose connection broke, or that met a deadlock, is sent again this often, after these pauses. */
const RESEND_PAUSES_MS = [0, 50, 200, 1000]
const RETRY_AFTER_MS_MIN = 100

export interface MeteringOptions {
  /** A pool of its own: charges must not wait behind the dashboard's calls. */
  db: Db
  keyBrand: string
  log: Logger
  /**
   * `all`: one batch at a time, of any accounts, which is the fastest on one Postgres. `account`: one batch at a time for
   * each account, for tables that are distributed by account.
   */
  lanes?: 'all' | 'account'
  waitingMax?: number
}

/** The charge engine of one process. */
export interface Metering {
  /**
   * Takes credits for the key that `key` is the secret of, durably, before it answers.
   *
   * @throws AppError `database_unavailable` when it could not be decided. Trying again with the same idempotency key is safe.
   */
  charge(request: Charge): Promise<Verdict>
  /** At most 500 of them, decided in their order, each with its own verdict. */
  chargeMany(requests: readonly Charge[]): Promise<Verdict[]>
}

export function createMetering({ db, keyBrand, log, lanes = 'all', waitingMax = WAITING_MAX }: MeteringOptions): Metering {
  const open = new Map<string, Lane<BatchItem, Verdict>>()
  let waiting = 0
  let lastBatchMs = 0

  const send = async (items: BatchItem[]) => {
    const start = performance.now()
    const verdicts = await decide(db, log, items)
    lastBatchMs = performance.now() - start
    return verdicts
  }

  const charge = async ({ key, credits, idempotencyKey, operation }: Charge): Promise<Verdict> => {
    const token = parseToken(keyBrand, key)
    // No token of ours: a typo or a probe, which costs the database nothing.
    if (token === null) return { verdict: 'not_found' }
    if (waiting >= waitingMax) {
      const retryAfterMs = Math.max(RETRY_AFTER_MS_MIN, Math.ceil((waiting / CHARGES_MAX) * lastBatchMs))
      return { verdict: 'overloaded', retryAfterMs }
    }
    const name = lanes === 'all' ? '' : token.userId
    const lane = open.get(name) ?? new Lane<BatchItem, Verdict>(CHARGES_MAX, send, () => open.delete(name))
    open.set(name, lane)
    waiting++
    try {
      return await lane.enqueue({ userId: token.userId, keyHash: hashToken(key), credits, idempotencyKey, operation })
    } finally {
      waiting--
    }
  }

  const chargeMany = async (requests: readonly Charge[]): Promise<Verdict[]> => {
    if (requests.length > CHARGES_MAX) throw new AppError('bad_request', { message: `Charge at most ${CHARGES_MAX} at once.` })
    return await Promise.all(requests.map(charge))
  }

  return { charge, chargeMany }
}

async function decide(db: Db, log: Logger, items: BatchItem[]): Promise<PromiseSettledResult<Verdict>[]> {
  try {
    const verdicts = await sendUntilAnswered(db, log, items)
    return verdicts.map((value) => ({ status: 'fulfilled', value }))
  } catch (reason) {
    if (items.length === 1 || reason instanceof AppError) return items.map(() => ({ status: 'rejected', reason }))
    // One item that the database cannot take must not fail those of other callers.
    log.error({ err: reason, items: items.length }, 'a batch of charges failed: sending its items one by one')
    const each: PromiseSettledResult<Verdict>[] = []
    for (const item of items) each.push(...(await decide(db, log, [item])))
    return each
  }
}

/**
 * A connection that broke may have broken after the commit. Sent again, what has an idempotency key is answered its first
 * verdict, and what has none took nothing.
 */
async function sendUntilAnswered(db: Db, log: Logger, items: BatchItem[]): Promise<Verdict[]> {
  let failure: unknown
  for (const pause of RESEND_PAUSES_MS) {
    if (pause > 0) await sleep(pause)
    try {
      return await chargeBatch(db, items)
    } catch (error) {
      if (!isUnavailable(error) && !isConflict(error)) throw error
      failure = error
      log.warn({ err: error, items: items.length }, 'a batch of charges was not answered: sending it again')
    }
  }
  throw new AppError('database_unavailable', { cause: failure })
}
