import type { BillingCycle } from '@keymeter/contract'
import { sql } from 'kysely'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'

/** A billing cycle as the half-open interval `[start, end)`, and the credits that the account used in it. */
export interface Cycle {
  start: Date
  end: Date
  creditsUsed: number
}

/**
 * Returns the account's current billing cycle, or the cycle that starts at `cycleStart`. Returns null if the account does not
 * exist yet. The database computes the current cycle from its clock, so the result is correct even if the rollover has not
 * been written yet.
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
