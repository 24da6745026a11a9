import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { lockAccount } from './lock-account.ts'

/**
 * Makes sure that the billing account exists (plan `free`, 1,000 credits a cycle: the table's defaults) and locks its
 * row until the transaction ends, so that whoever provisions the account at the same time waits here.
 *
 * @throws AppError `not_signed_in` when the user is being deleted.
 */
export async function ensureAccount(scope: Scope): Promise<void> {
  await scope.db
    .insertInto('billing_accounts')
    .values({ user_id: scope.userId })
    .onConflict((conflict) => conflict.column('user_id').doNothing())
    .execute()
  if (!(await lockAccount(scope))) throw new AppError('not_signed_in')
}
