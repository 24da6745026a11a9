import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { lockAccount } from './lock-account.ts'

/**
 * Makes sure that the billing account exists (plan `free`, 1,000 credits a cycle: the table's defaults) and locks its
 * row until the transaction ends, so that whoever provisions the account at the same time waits here.
 *
 * @throws AppError `not_signed_in` when the user has been deleted since the token was issued.
 */
export async function ensureAccount(scope: Scope): Promise<void> {
  const { db, userId } = scope
  try {
    await db
      .insertInto('billing_accounts')
      .values({ user_id: userId })
      .onConflict((conflict) => conflict.column('user_id').doNothing())
      .execute()
  } catch (cause) {
    const isUserGone = cause instanceof Error && 'constraint' in cause && cause.constraint === 'billing_accounts_user_id_fkey'
    throw isUserGone ? new AppError('not_signed_in', { cause }) : cause
  }
  await lockAccount(scope)
}
