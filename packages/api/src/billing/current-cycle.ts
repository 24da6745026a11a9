import type { BillingCycle } from '@keymeter/contract'
import { sql } from 'kysely'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { type Cycle, cycleAt } from './cycle.ts'

/**
 * The account's billing cycle by its own time, computed from the anchor: the stored cycle start may be months old. Null until
 * the account has been provisioned.
 */
export async function currentCycle(scope: Scope): Promise<Cycle | null> {
  const account = await readAnchor(scope)
  return account === undefined ? null : cycleAt(account.anchor, account.now)
}

/**
 * The cycle that starts at `cycleStart`, the current one or one that has ended.
 *
 * @throws AppError `bad_request` when none of the account's cycles starts then.
 */
export async function cycleFrom(scope: Scope, cycleStart: string): Promise<Cycle> {
  const account = await readAnchor(scope)
  const start = new Date(cycleStart)
  const cycle = account && start <= account.now ? cycleAt(account.anchor, start) : null
  if (cycle?.start.getTime() === start.getTime()) return cycle
  const message = 'No billing cycle of this account starts then: take the start or the end of one that you know.'
  throw new AppError('bad_request', { field: 'cycleStart', message })
}

export function toBillingCycle(cycle: Cycle): BillingCycle {
  return { start: cycle.start.toISOString(), end: cycle.end.toISOString() }
}

/** An account's time is the database's clock, and never runs backwards: not before its last event or its cycle. */
async function readAnchor({ db, userId }: Scope): Promise<{ anchor: Date; now: Date } | undefined> {
  return await db
    .selectFrom('billing_accounts')
    .select([
      'billing_cycle_anchor as anchor',
      sql<Date>`greatest(keymeter_now(), last_event_at, billing_cycle_start)`.as('now'),
    ])
    .where('user_id', '=', userId)
    .executeTakeFirst()
}
