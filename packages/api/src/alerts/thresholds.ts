import { ensureAccount } from '../billing/ensure-account.ts'
import type { Scope } from '../scope.ts'

/** Returns the thresholds in percent of the cycle's credits, in ascending order. */
export async function getAlertThresholds({ db, userId }: Scope): Promise<number[]> {
  const account = await db
    .selectFrom('billing_accounts')
    .select('alert_thresholds')
    .where('user_id', '=', userId)
    .executeTakeFirst()
  return account?.alert_thresholds ?? []
}

/**
 * Sets the thresholds of an account. The next charge records an alert for each threshold that the usage has already reached.
 */
export async function setAlertThresholds(scope: Scope, thresholds: readonly number[]): Promise<number[]> {
  // `meter_batch` compares the usage with the first threshold to decide whether a charge can reach any threshold, so the first
  // threshold must be the lowest.
  const ascending = thresholds.toSorted((a, b) => a - b)
  await ensureAccount(scope)
  await scope.db
    .updateTable('billing_accounts')
    .set({ alert_thresholds: ascending })
    .where('user_id', '=', scope.userId)
    .execute()
  return await getAlertThresholds(scope)
}
