import { sql } from 'kysely'
import { recordAudit } from '../audit/record.ts'
import { readClock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'

/**
 * Puts the account on another plan: at once, with the difference in credits, when it gives more than the cycle has; else
 * from the next cycle on. The plan that the account is on takes back what was to come.
 *
 * @returns since when it holds.
 * @throws AppError `plan_not_found`.
 * @throws AppError `bad_request` when the account would have more credits than a number in JSON holds.
 */
export async function changePlan(scope: Scope, plan: string): Promise<Date> {
  const { rows } = await sql<{ is_unchanged: boolean; is_too_much: boolean; effective_at: Date }>`
    select * from keymeter.change_plan(${scope.userId}, ${plan})`.execute(scope.db)
  const [changed] = rows
  if (changed === undefined) throw new AppError('plan_not_found', { field: 'plan' })
  if (changed.is_too_much) {
    const message = 'The account would have more credits than there can be: it has too many top-ups for this plan.'
    throw new AppError('bad_request', { field: 'plan', message })
  }
  const { is_unchanged: isUnchanged, effective_at: effectiveAt } = changed
  if (!isUnchanged)
    await recordAudit(scope, await readClock(scope), {
      action: 'account.plan_changed',
      actor: 'operator',
      keyId: null,
      detail: { plan, effectiveAt: effectiveAt.toISOString() },
    })
  return effectiveAt
}
