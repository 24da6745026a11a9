import type { BillingCycle, KeyWithUsage } from '@keymeter/contract'
import { currentCycle, toBillingCycle } from '../billing/current-cycle.ts'
import { readClock } from '../clock.ts'
import type { Scope } from '../scope.ts'
import { creditsUsed } from './credits-used.ts'
import { selectKeys, toKey } from './key.ts'

/**
 * All live keys, newest first (`api_keys_live_idx`), each with the credits that it used in the current billing cycle, 0
 * for a key without usage.
 */
export async function keyUsage(scope: Scope): Promise<{ data: KeyWithUsage[]; billingCycle: BillingCycle | null }> {
  const cycle = await currentCycle(scope)
  if (cycle === null) return { data: [], billingCycle: null }
  const rows = await selectKeys(scope, await readClock(scope))
    .where('keys.revoked_at', 'is', null)
    .orderBy('keys.created_at', 'desc')
    .orderBy('keys.id', 'desc')
    .execute()
  const used = await creditsUsed(
    scope,
    cycle,
    rows.map(({ id }) => id),
  )
  return {
    data: rows.map((row) => ({ ...toKey(row), creditsUsed: used.get(row.id) ?? 0 })),
    billingCycle: toBillingCycle(cycle),
  }
}
