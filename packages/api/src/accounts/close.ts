import { deletionTextOf, isConfirmed, type MemberCall } from '@keymeter/contract'
import { sql } from 'kysely'
import { originOf } from '../audit/record.ts'
import { accountOfCall } from '../auth/account-of-call.ts'
import { requireRecentSignIn } from '../auth/require-recent-sign-in.ts'
import type { VerifiedToken } from '../auth/verify-access-token.ts'
import { lockAccount } from '../billing/lock-account.ts'
import type { Context } from '../context.ts'
import { AppError } from '../errors.ts'
import { changeMembers } from '../members/change-members.ts'
import { asPerson, type Caller, inAccount, type Scope } from '../scope.ts'

const CALL = 'accounts.close' satisfies MemberCall

/**
 * Deletes the account of the call for its customers (keymeter.close_account). All its keys are revoked from the next charge on, and
 * nobody is a member any more. If the caller has already deleted the account, e.g. because an answer was lost, nothing changes.
 *
 * @param confirmation is compared with the name of the account of the call. So a page that shows another account deletes nothing.
 * @throws AppError `not_a_member`, `role_insufficient`, `second_factor_required`, `sign_in_too_old`, `too_many_attempts`, `not_signed_in`,
 *   `auth_unavailable`, and `bad_request` if the confirmation is wrong.
 */
export async function closeAccount(ctx: Context, caller: VerifiedToken, confirmation: string): Promise<void> {
  const accountId = accountOfCall(ctx, caller)
  try {
    await inAccount({ ...ctx, userId: accountId, by: { caller, call: CALL } }, 'read only', async () => {})
  } catch (error) {
    const isGone = error instanceof AppError && error.reason === 'not_a_member'
    if (isGone && (await hasClosedAccount(ctx, caller, accountId))) return
    throw error
  }
  requireRecentSignIn(caller)
  await ctx.limits.memberChanges.attempt(caller.userId)
  await ctx.checkSession(ctx.authorization, caller.userId)
  await changeMembers({ ...ctx, userId: accountId, by: { caller, call: CALL } }, async (scope) => {
    // The account is locked first, so its name cannot change any more.
    await lockAccount(scope)
    if (!isConfirmed(confirmation, deletionTextOf(await readName(scope))))
      throw new AppError('bad_request', { field: 'confirmation', message: WRONG_CONFIRMATION })
    await closeLockedAccount(scope)
  })
}
const WRONG_CONFIRMATION = 'This is not the name of the account: type its name, or the address of its owner if it has no name.'

/**
 * Deletes the account of the scope, also in the name of the operator. The caller has locked the account, and has checked that somebody
 * confirmed the deletion. A repeat by the operator changes nothing.
 */
export async function closeLockedAccount(scope: Scope): Promise<void> {
  await sql`select keymeter.close_account(${originOf(scope)})`.execute(scope.db)
}

async function hasClosedAccount(ctx: Context, caller: Caller, accountId: string): Promise<boolean> {
  return await asPerson({ ...ctx, caller }, 'read only', async ({ db }) => {
    const { rows } = await sql<{ has: boolean }>`select keymeter.has_closed_account(${accountId}) as has`.execute(db)
    return rows[0]?.has === true
  })
}

async function readName({ db, userId }: Scope): Promise<{ name: string | null; ownerEmail: string | null }> {
  const account = await db.selectFrom('billing_accounts').select('name').where('user_id', '=', userId).executeTakeFirstOrThrow()
  // The same owner as in keymeter.accounts_of_member, whose list shows the address to the person.
  const owner = await db
    .selectFrom('account_members')
    .select('email')
    .where('user_id', '=', userId)
    .where('role', '=', 'owner')
    .orderBy('created_at')
    .orderBy('member_id')
    .limit(1)
    .executeTakeFirst()
  return { name: account.name, ownerEmail: owner?.email ?? null }
}
