import { ensureAccount } from '../billing/ensure-account.ts'
import type { Scope } from '../scope.ts'

/** Percent of the cycle's credits, ascending. */
export async function getAlertThresholds({ db, userId }: Scope): Promise<number[]> {
  const account = await db
    .selectFrom('billing_accounts')
    .select('alert_thresholds')
    .where('user_id', '=', userId)
    .executeTakeFirst()
  return account?.alert_thresholds ?? []
}

/** Applies from the next charge on. That charge also reaches each threshold that the usage has already passed. */
export async function setAlertThresholds(scope: Scope, thresholds: readonly number[]): Promise<number[]> {
  // meter_batch looks only at the first threshold to decide whether a charge can reach one.
  const ascending = thresholds.toSorted((a, b) => a - b)
  await ensureAccount(scope)
  await scope.db
    .updateTable('billing_accounts')
    .set({ alert_thresholds: ascending })
    .where('user_id', '=', scope.userId)
    .execute()
  return await getAlertThresholds(scope)
}
