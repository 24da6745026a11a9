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

/** Holds from the next charge on: a threshold that the cycle's usage has passed already fires with that. */
export async function setAlertThresholds(scope: Scope, thresholds: readonly number[]): Promise<number[]> {
  // meter_batch takes the first for the lowest.
  const ascending = thresholds.toSorted((a, b) => a - b)
  await ensureAccount(scope)
  await scope.db
    .updateTable('billing_accounts')
    .set({ alert_thresholds: ascending })
    .where('user_id', '=', scope.userId)
    .execute()
  return await getAlertThresholds(scope)
}
