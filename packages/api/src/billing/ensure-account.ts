import { sql } from 'kysely'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { lockAccount } from './lock-account.ts'

/**
 * Creates the billing account on the plan `free` if it does not exist, and locks its row until the transaction ends. A
 * concurrent call for the same account waits for that lock.
 *
 * @throws AppError `not_signed_in` if the user is being deleted.
 */
export async function ensureAccount(scope: Scope): Promise<void> {
  await sql`select keymeter.create_account(${scope.userId})`.execute(scope.db)
  if (!(await lockAccount(scope))) throw new AppError('not_signed_in')
}
