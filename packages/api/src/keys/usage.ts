import type { BillingCycle, KeyUsage, KeyWithUsage } from '@keymeter/contract'
import { getCycle, toBillingCycle } from '../billing/cycle.ts'
import { readClock } from '../clock.ts'
import type { Scope } from '../scope.ts'
import { selectKeysWithUsage, toKeyWithUsage } from './key.ts'

interface Usage {
  data: KeyWithUsage[]
  revokedCreditsUsed: number
  billingCycle: BillingCycle | null
}

/**
 * All live keys, newest first (`api_keys_live_idx`), each with the credits that it used in the current billing cycle, or in
 * the one that starts at `cycleStart`; 0 for a key without usage. `revokedCreditsUsed` is what revoked keys used, so both
 * together are the credits that the account used.
 *
 * @throws AppError `bad_request` when no cycle starts then.
 */
export async function keyUsage(scope: Scope, { cycleStart }: KeyUsage): Promise<Usage> {
  const cycle = await getCycle(scope, cycleStart)
  if (cycle === null) return { data: [], revokedCreditsUsed: 0, billingCycle: null }
  const rows = await selectKeysWithUsage(scope, await readClock(scope), cycle.start)
    .where('keys.revoked_at', 'is', null)
    .orderBy('keys.created_at', 'desc')
    .orderBy('keys.id', 'desc')
    .execute()
  const data = rows.map(toKeyWithUsage)
  const ofLiveKeys = data.reduce((sum, { creditsUsed }) => sum + creditsUsed, 0)
  // Never negative, unless `reconcile` reports a difference: keys are still shown then.
  return { data, revokedCreditsUsed: Math.max(0, cycle.creditsUsed - ofLiveKeys), billingCycle: toBillingCycle(cycle) }
}
