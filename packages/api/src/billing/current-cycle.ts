import type { BillingCycle } from '@keymeter/contract'
import { sql } from 'kysely'
import type { Scope } from '../scope.ts'
import { type Cycle, cycleAt } from './cycle.ts'

/**
 * The account's billing cycle by the database's clock, computed from the anchor: the stored cycle start may be months
 * old. Null until the account has been provisioned.
 */
export async function currentCycle(scope: Scope): Promise<Cycle | null> {
  const account = await scope.db
    .selectFrom('billing_accounts')
    .select(['billing_cycle_anchor as anchor', sql<Date>`keymeter_now()`.as('now')])
    .where('user_id', '=', scope.userId)
    .executeTakeFirst()
  return account === undefined ? null : cycleAt(account.anchor, account.now)
}

export function toBillingCycle(cycle: Cycle): BillingCycle {
  return { start: cycle.start.toISOString(), end: cycle.end.toISOString() }
}
