import { setTimeout as sleep } from 'node:timers/promises'
import { type Db, isConflict, isLockTimeout, isStatementTimeout, isUnavailable } from '@keymeter/db'
import type { Logger } from 'pino'
import { AppError } from '../errors.ts'
import type { Timed } from './lane.ts'
import { type BatchItem, type Decision, meterBatch, type WaitsFor } from './meter-batch.ts'

/**
 * If Postgres does not answer a batch within this time, the connection is probably dead, and the batch is sent again on another
 * connection. If Postgres is alive, it cancels the batch earlier: after 5 s, the statement timeout of the server's role.
 */
const TRY_MS_MAX = 6_000
/**
 * If all callers of a batch stop waiting within this time, the batch is not sent, because its answer would probably come too
 * late.
 */
const TRY_MS_MIN = 100
/** The pause before each attempt to send a batch. A batch is sent again after a broken connection, a timeout or a deadlock. */
const TRY_PAUSES_MS = [0, 50, 200, 1000]

/**
 * The result of sending a batch:
 * - `decided`: contains one decision for each item, in the order of the items. Items can be left out (see `LeftOut`).
 * - `lock_timeout`: nothing is decided, because the batch waited too long for a lock.
 * - `too_slow`: nothing is decided, because the batch exceeds the statement timeout. Only a batch with several accounts can have
 *   this status. A batch with one account is sent again instead.
 */
export type BatchOutcome = { status: 'decided'; decisions: Decision[] } | { status: 'lock_timeout' } | { status: 'too_slow' }

/**
 * Sends one batch until Postgres answers it, as long as any of its callers waits. A connection can break after the commit, so
 * a batch that is sent again is perhaps already decided. Sending it again is safe: an item with an idempotency key gets its
 * original decision, and an item without an idempotency key takes no credits.
 *
 * @throws AppError `database_unavailable` if Postgres does not answer in time. The batch can still be decided later.
 * @throws Error for any other error from Postgres, e.g. if it rejects an item. In this case nothing is decided.
 */
export async function sendBatch(
  db: Db,
  log: Logger,
  items: readonly (BatchItem & Timed)[],
  waitsFor: WaitsFor,
): Promise<BatchOutcome> {
  let failure: unknown
  for (const pauseMs of TRY_PAUSES_MS) {
    if (pauseMs > 0) await sleep(Math.min(pauseMs, timeLeftMs(items)))
    try {
      return { status: 'decided', decisions: await inTime(items, () => meterBatch(db, items, waitsFor)) }
    } catch (error) {
      if (isLockTimeout(error)) {
        log.warn({ err: error, items: items.length }, 'a batch of charges waited too long for a lock: sending it again')
        return { status: 'lock_timeout' }
      }
      if (isStatementTimeout(error) && items.some(({ userId }) => userId !== items[0]?.userId)) return { status: 'too_slow' }
      if (!isUnavailable(error) && !isConflict(error)) throw error
      failure = error
      if (timeLeftMs(items) < TRY_MS_MIN) break
      log.warn({ err: error, items: items.length }, 'Postgres did not answer a batch of charges: sending it again')
    }
  }
  log.warn({ err: failure, items: items.length }, 'Postgres did not answer a batch of charges: giving it up')
  throw new AppError('database_unavailable', { cause: failure })
}

/**
 * Runs the query and waits for its result, at most `TRY_MS_MAX`, and only as long as any caller waits. After that, Postgres can
 * still execute the query.
 */
async function inTime<T>(items: readonly Timed[], query: () => Promise<T>): Promise<T> {
  const leftMs = timeLeftMs(items)
  if (leftMs < TRY_MS_MIN) throw timedOut()
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(timedOut()), Math.min(leftMs, TRY_MS_MAX))
  return await Promise.race([query(), late]).finally(() => clearTimeout(timer))
}

const timeLeftMs = (items: readonly Timed[]) => Math.max(...items.map(({ deadline }) => deadline)) - performance.now()
const timedOut = () => Object.assign(new Error('Postgres did not answer a batch of charges in time'), { code: 'ETIMEDOUT' })
