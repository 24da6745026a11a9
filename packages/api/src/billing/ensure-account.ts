import { sql } from 'kysely'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { lockAccount } from './lock-account.ts'

/**
 * Makes sure that the billing account exists (on the plan `free`, which gives 1,000 credits a cycle unless the operator
 * changed it) and locks its row until the transaction ends, so that whoever provisions the account at the same time waits here.
 *
 * @throws AppError `not_signed_in` when the user is being deleted.
 */
export async function ensureAccount(scope: Scope): Promise<void> {
  await sql`select keymeter.create_account(${scope.userId})`.execute(scope.db)
  if (!(await lockAccount(scope))) throw new AppError('not_signed_in')
}
