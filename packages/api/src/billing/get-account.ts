import type { BillingAccount } from '@keymeter/contract'
import type { Scope } from '../scope.ts'
import { currentCycle, toBillingCycle } from './current-cycle.ts'

/** The account and what all its keys, revoked ones too, used in the current cycle. Null until it is provisioned. */
export async function getAccount(scope: Scope): Promise<BillingAccount | null> {
  const cycle = await currentCycle(scope)
  if (cycle === null) return null
  const account = await scope.db
    .selectFrom('billing_accounts')
    .select((eb) => [
      'credits_per_cycle as creditsPerCycle',
      eb
        .selectFrom('api_key_usage')
        .select((usage) => usage.fn.coalesce(usage.fn.sum<number>('credits_charged'), usage.lit(0)).as('creditsUsed'))
        .where('user_id', '=', scope.userId)
        .where('created_at', '>=', cycle.start)
        .where('created_at', '<', cycle.end)
        .as('creditsUsed'),
    ])
    .where('user_id', '=', scope.userId)
    .executeTakeFirstOrThrow()
  return {
    plan: 'free',
    creditsPerCycle: account.creditsPerCycle,
    creditsUsed: account.creditsUsed ?? 0,
    billingCycle: toBillingCycle(cycle),
  }
}
