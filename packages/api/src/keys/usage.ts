import type { BillingCycle, KeyWithUsage } from '@keymeter/contract'
import { currentCycle, toBillingCycle } from '../billing/current-cycle.ts'
import type { Scope } from '../scope.ts'
import { KEY_COLUMNS, toKey } from './key.ts'

/**
 * The live keys, newest first, each with the credits it used in the current billing cycle. The cycle's bounds are part
 * of the join, so that a key without usage stays in the list. Keys by `api_keys_live_idx`, sums from
 * `api_key_usage_key_time_idx` alone.
 */
export async function keyUsage(scope: Scope): Promise<{ data: KeyWithUsage[]; billingCycle: BillingCycle | null }> {
  const cycle = await currentCycle(scope)
  if (cycle === null) return { data: [], billingCycle: null }
  const rows = await scope.db
    .selectFrom('api_keys')
    .leftJoin('api_key_usage', (join) =>
      join
        .onRef('api_key_usage.user_id', '=', 'api_keys.user_id')
        .onRef('api_key_usage.api_key_id', '=', 'api_keys.id')
        .on('api_key_usage.created_at', '>=', cycle.start)
        .on('api_key_usage.created_at', '<', cycle.end),
    )
    .select(KEY_COLUMNS)
    .select((eb) => eb.fn.coalesce(eb.fn.sum<number>('api_key_usage.credits_charged'), eb.lit(0)).as('creditsUsed'))
    .where('api_keys.user_id', '=', scope.userId)
    .where('api_keys.revoked_at', 'is', null)
    .groupBy(['api_keys.user_id', 'api_keys.id'])
    .orderBy('api_keys.created_at', 'desc')
    .orderBy('api_keys.id', 'desc')
    .execute()
  return {
    data: rows.map((row) => ({ ...toKey(row), creditsUsed: row.creditsUsed })),
    billingCycle: toBillingCycle(cycle),
  }
}
