import { sql } from 'kysely'
import { originOf } from '../audit/record.ts'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'

/**
 * Changes the plan of an account. A plan with fewer credits than the current cycle has applies from the next cycle on. Any
 * other plan applies immediately, and the account gets the additional credits. A change to the current plan cancels a planned
 * change. The plan `free` gives 0 credits to an account whose free credits were refused.
 *
 * @returns The time from which the plan applies.
 * @throws AppError `plan_not_found`, `account_closed`.
 * @throws AppError `bad_request` if the account would have more than 2^53 - 1 credits.
 */
export async function changePlan(scope: Scope, plan: string): Promise<Date> {
  const { rows } = await sql<{ is_too_much: boolean; is_closed: boolean; effective_at: Date }>`
    select * from keymeter.change_plan(${scope.userId}, ${plan}, ${originOf(scope)})`.execute(scope.db)
  const [changed] = rows
  if (changed === undefined) throw new AppError('plan_not_found', { field: 'plan' })
  if (changed.is_closed) throw new AppError('account_closed', { field: 'accountId' })
  if (changed.is_too_much) {
    const message = 'The account would have more credits than the maximum, because of its top-ups. Choose a smaller plan.'
    throw new AppError('bad_request', { field: 'plan', message })
  }
  return changed.effective_at
}
