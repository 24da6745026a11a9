import type { UsageSnapshot } from '@keymeter/contract'
import { getAccountAndSequence } from '../billing/get-account.ts'
import type { Scope } from '../scope.ts'

/**
 * Returns the account's current balance and the sequence of its last usage event. Returns null if the account does not exist
 * yet.
 */
export async function usageSnapshot(scope: Scope): Promise<Omit<UsageSnapshot, 'requestId'> | null> {
  const now = await getAccountAndSequence(scope)
  if (now === null) return null
  const { billingCycle, creditsUsed, creditsHeld, creditsRemaining, plan, nextPlan, suspendedAt } = now.account
  return { sequence: now.sequence, billingCycle, creditsUsed, creditsHeld, creditsRemaining, plan, nextPlan, suspendedAt }
}
