import type { UsageSnapshot } from '@keymeter/contract'
import { getAccountAndSequence } from '../billing/get-account.ts'
import type { Scope } from '../scope.ts'

/** The account's balance now, with the sequence of its last usage event. Null until the account exists. */
export async function usageSnapshot(scope: Scope): Promise<Omit<UsageSnapshot, 'requestId'> | null> {
  const now = await getAccountAndSequence(scope)
  if (now === null) return null
  const { billingCycle, creditsUsed, creditsHeld, creditsRemaining, plan, nextPlan, suspendedAt } = now.account
  return { sequence: now.sequence, billingCycle, creditsUsed, creditsHeld, creditsRemaining, plan, nextPlan, suspendedAt }
}
