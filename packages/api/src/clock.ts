import { sql } from 'kysely'
import type { Scope } from './scope.ts'

/**
 * Reads the database's clock, to the millisecond. All decisions about accounts and keys use this clock.
 *
 * Read the clock only once for a decision, and only after the account is locked. If a call read the clock and then waited for
 * the lock, its change would get an earlier time than the change that it waited for.
 */
export async function readClock({ db }: Scope): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`select keymeter.now() as now`.execute(db)
  if (rows[0] === undefined) throw new Error('keymeter.now() returned no row')
  return rows[0].now
}
