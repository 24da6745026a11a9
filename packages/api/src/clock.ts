import { sql } from 'kysely'
import type { Scope } from './scope.ts'

/**
 * The database's clock, to the millisecond: the one that decides everything about accounts and keys. Read it once for a
 * decision; when the decision takes the account's lock, read it after that.
 */
export async function readClock({ db }: Scope): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`select keymeter.now() as now`.execute(db)
  if (rows[0] === undefined) throw new Error('the database has no clock')
  return rows[0].now
}
