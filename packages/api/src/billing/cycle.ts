import type { BillingCycle } from '@keymeter/contract'
import { sql } from 'kysely'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'

/** A billing cycle: the half-open interval `[start, end)`, and the credits that the account used in it. */
export interface Cycle {
  start: Date
  end: Date
  creditsUsed: number
}

/**
 * The account's current billing cycle, or the one that starts at `cycleStart`. Null until the account exists. The database
 * computes it, so a cycle that has ended since the last write counts as ended.
 *
 * @throws AppError `bad_request` if no cycle of the account starts at `cycleStart`.
 */
export async function getCycle({ db, userId }: Scope, cycleStart?: string): Promise<Cycle | null> {
  const { rows } = await sql<Cycle & { isWanted: boolean }>`
    select cycle_start as start, cycle_end as "end", credits_used as "creditsUsed",
           ${cycleStart === undefined ? sql`is_current` : sql`cycle_start = ${cycleStart}::timestamptz`} as "isWanted"
      from keymeter.account_cycles(${userId}, keymeter.now())`.execute(db)
  if (rows.length === 0 && cycleStart === undefined) return null
  const cycle = rows.find(({ isWanted }) => isWanted)
  if (cycle !== undefined) return cycle
  const message = 'No billing cycle of this account starts at this time. Use the start or the end of a cycle that exists.'
  throw new AppError('bad_request', { field: 'cycleStart', message })
}

export function toBillingCycle({ start, end }: Cycle): BillingCycle {
  return { start: start.toISOString(), end: end.toISOString() }
}
