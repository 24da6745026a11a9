import { sql } from 'kysely'
import type { Scope } from '../scope.ts'

/**
 * Locks the account until the transaction ends, so that changes of an account, its keys and its credits happen one after the
 * other. Every call takes this lock before any other lock, so two calls cannot deadlock. The lock also shows the charge engine
 * that the account is being edited, so charges of other accounts do not wait for it.
 *
 * The deletion of a user takes locks in another order, so it can deadlock with a call. Postgres then cancels the deletion or
 * the call. The call can fail with `database_unavailable` or `not_signed_in`.
 *
 * @returns False if the account does not exist.
 */
export async function lockAccount({ db, userId }: Scope): Promise<boolean> {
  const { rows } = await sql<{ exists: boolean }>`select keymeter.lock_account(${userId}) as exists`.execute(db)
  return rows[0]?.exists === true
}
