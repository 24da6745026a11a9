import { sql } from 'kysely'
import type { Scope } from './scope.ts'

/**
 * The database's clock, to the millisecond. It decides everything about accounts and keys. Read it once for a decision, after
 * the account is locked. Otherwise a change that waits for the lock gets an earlier time than the change that holds the lock.
 */
export async function readClock({ db }: Scope): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`select keymeter.now() as now`.execute(db)
  if (rows[0] === undefined) throw new Error('keymeter.now() returned no row')
  return rows[0].now
}
