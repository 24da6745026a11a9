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
 * Returns all live keys, newest first (`api_keys_live_idx`), each with the credits that it used in the current billing cycle,
 * or in the cycle that starts at `cycleStart`.
 *
 * `revokedCreditsUsed` is the number of credits that the account used, minus those of its live keys. A sum over the revoked
 * keys would have to read each of them, and an account can have any number of revoked keys
 * (docs/decisions/0017-usage-of-revoked-keys.md).
 *
 * @throws AppError `bad_request` if no cycle of the account starts at `cycleStart`.
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
  // The difference is negative only if stored totals are wrong, which `reconcile` reports. The call then returns 0 instead of
  // an error, so that the caller still gets the keys.
  return { data, revokedCreditsUsed: Math.max(0, cycle.creditsUsed - ofLiveKeys), billingCycle: toBillingCycle(cycle) }
}
