import type { BillingCycle, KeyUsage, KeyWithUsage } from '@keymeter/contract'
import { currentCycle, cycleFrom, toBillingCycle } from '../billing/current-cycle.ts'
import { readClock } from '../clock.ts'
import type { Scope } from '../scope.ts'
import { creditsUsed } from './credits-used.ts'
import { selectKeys, toKey } from './key.ts'

/**
 * All live keys, newest first (`api_keys_live_idx`), each with the credits that it used in the billing cycle that starts at
 * `cycleStart`, or in the current one; 0 for a key without usage.
 *
 * @throws AppError `bad_request` when no cycle starts then.
 */
export async function keyUsage(
  scope: Scope,
  { cycleStart }: KeyUsage,
): Promise<{ data: KeyWithUsage[]; billingCycle: BillingCycle | null }> {
  const cycle = cycleStart === undefined ? await currentCycle(scope) : await cycleFrom(scope, cycleStart)
  if (cycle === null) return { data: [], billingCycle: null }
  const rows = await selectKeys(scope, await readClock(scope))
    .where('keys.revoked_at', 'is', null)
    .orderBy('keys.created_at', 'desc')
    .orderBy('keys.id', 'desc')
    .execute()
  const keyIds = rows.map(({ id }) => id)
  const used = await creditsUsed(scope, cycle.start, keyIds)
  return {
    data: rows.map((row) => ({ ...toKey(row), creditsUsed: used.get(row.id) ?? 0 })),
    billingCycle: toBillingCycle(cycle),
  }
}
