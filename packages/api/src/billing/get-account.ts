import { BillingAccount } from '@keymeter/contract'
import type { Scope } from '../scope.ts'
import { currentCycle, toBillingCycle } from './current-cycle.ts'

/**
 * The account and what all its keys, revoked ones too, used in the current cycle. The balance on the row is that of the
 * cycle of the last charge: when that has ended, nothing is used yet. Null until it is provisioned.
 */
export async function getAccount(scope: Scope): Promise<BillingAccount | null> {
  const account = await scope.db
    .selectFrom('billing_accounts')
    .select([
      'plan',
      'credits_per_cycle as creditsPerCycle',
      'credits_used as creditsUsed',
      'billing_cycle_start as cycleStart',
    ])
    .where('user_id', '=', scope.userId)
    .executeTakeFirst()
  const cycle = await currentCycle(scope)
  if (account === undefined || cycle === null) return null
  return {
    plan: BillingAccount.shape.plan.parse(account.plan),
    creditsPerCycle: account.creditsPerCycle,
    creditsUsed: account.cycleStart.getTime() === cycle.start.getTime() ? account.creditsUsed : 0,
    billingCycle: toBillingCycle(cycle),
  }
}
