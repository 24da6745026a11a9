import type { Scope } from '../scope.ts'

/**
 * Locks the account's row until the transaction ends: of all that changes an account, its keys or its credits, one thing
 * happens at a time. Everything of ours takes this lock first, so that no two calls can wait for each other; deleting a
 * user does not, and may deadlock with them: whoever is the victim is told to try again.
 *
 * @returns false when the account has not been provisioned.
 */
export async function lockAccount({ db, userId }: Scope): Promise<boolean> {
  const account = await db
    .selectFrom('billing_accounts')
    .select('user_id')
    .where('user_id', '=', userId)
    .forNoKeyUpdate()
    .executeTakeFirst()
  return account !== undefined
}
