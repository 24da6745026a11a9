import type { Db } from '@keymeter/db'
import { sql } from 'kysely'

/** A row is kept for this time after its window has ended, because the clocks of other processes may be late. */
const KEPT_AFTER_END_MS = 300_000
/** The number of rows that one statement deletes. Such a statement takes far less time than the statement timeout of 5 s. */
export const DELETED_ROWS_MAX = 5_000

/**
 * Deletes the counters whose window has ended, one batch after the other, by `rate_limits_expire_idx`. A row that another process
 * is counting or deleting is left for the next run. The keys are an array and not a join, because without statistics Postgres would
 * compare each row with each key. Returns the number of deleted rows.
 */
export async function deleteEndedLimits(db: Db, now = Date.now()): Promise<number> {
  let total = 0
  for (;;) {
    const { rows } = await sql`
      delete from rate_limits where key = any(array(
        select key from rate_limits where expire < ${now - KEPT_AFTER_END_MS} order by expire limit ${DELETED_ROWS_MAX} for update skip locked))
      returning 1`.execute(db)
    total += rows.length
    if (rows.length < DELETED_ROWS_MAX) return total
  }
}
