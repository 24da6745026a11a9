import type { SetAlertThresholds } from '@keymeter/contract'
import { sql } from 'kysely'
import { ensureAccount } from '../billing/ensure-account.ts'
import type { Scope } from '../scope.ts'

interface Thresholds {
  thresholds: number[]
  creditsLeft: number[]
}

/**
 * Returns the percentages in ascending order, and the numbers of credits left in descending order. If the customer has set no
 * numbers of credits left, the plan of the current cycle decides which ones apply.
 */
export async function getAlertThresholds({ db, userId }: Scope): Promise<Thresholds> {
  const { rows } = await sql<Thresholds>`
    select accounts.alert_thresholds as thresholds,
           keymeter.credits_left_alerts(accounts.alert_credits_left, cycles.credits_granted) as "creditsLeft"
      from billing_accounts as accounts
     cross join keymeter.account_cycles(${userId}, keymeter.now()) as cycles
     where accounts.user_id = ${userId} and is_current`.execute(db)
  return rows[0] ?? { thresholds: [], creditsLeft: [] }
}

/**
 * Sets the thresholds of an account. A missing list does not change, so that two pages which change different lists do not
 * overwrite each other's changes. The next charge records an alert for each threshold that the account has already reached.
 */
export async function setAlertThresholds(scope: Scope, { thresholds, creditsLeft }: SetAlertThresholds): Promise<Thresholds> {
  await ensureAccount(scope)
  await scope.db
    .updateTable('billing_accounts')
    .set({
      // The database stores the thresholds in the order in which an account reaches them.
      ...(thresholds !== undefined && { alert_thresholds: thresholds.toSorted((a, b) => a - b) }),
      ...(creditsLeft !== undefined && { alert_credits_left: creditsLeft.toSorted((a, b) => b - a) }),
      // The next charge finds out which threshold is the next one.
      next_alert_percent: sql`default`,
      next_alert_credits_left: sql`default`,
      next_alert_at_refusal: sql`default`,
    })
    .where('user_id', '=', scope.userId)
    .execute()
  return await getAlertThresholds(scope)
}
