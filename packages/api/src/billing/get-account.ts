import { BillingAccount } from '@keymeter/contract'
import type { Scope } from '../scope.ts'
import { currentCycle, toBillingCycle } from './current-cycle.ts'

/** The account and what all its keys, revoked ones too, used in the current cycle. Null until it is provisioned. */
export async function getAccount(scope: Scope): Promise<BillingAccount | null> {
  const account = await scope.db
    .selectFrom('billing_accounts')
    .select(['plan', 'credits_per_cycle as creditsPerCycle'])
    .where('user_id', '=', scope.userId)
    .executeTakeFirst()
  const cycle = await currentCycle(scope)
  if (account === undefined || cycle === null) return null
  // By way of the keys, so that `api_key_usage_key_time_idx` bounds each sum to the cycle.
  const { creditsUsed } = await scope.db
    .selectFrom('api_keys')
    .innerJoin('api_key_usage', (join) =>
      join
        .onRef('api_key_usage.user_id', '=', 'api_keys.user_id')
        .onRef('api_key_usage.api_key_id', '=', 'api_keys.id')
        .on('api_key_usage.created_at', '>=', cycle.start)
        .on('api_key_usage.created_at', '<', cycle.end),
    )
    .select((eb) => eb.fn.coalesce(eb.fn.sum<number>('api_key_usage.credits_charged'), eb.lit(0)).as('creditsUsed'))
    .where('api_keys.user_id', '=', scope.userId)
    .executeTakeFirstOrThrow()
  return {
    plan: BillingAccount.shape.plan.parse(account.plan),
    creditsPerCycle: account.creditsPerCycle,
    creditsUsed,
    billingCycle: toBillingCycle(cycle),
  }
}
