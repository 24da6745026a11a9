import { DELETION_WORD, type DeleteMe, isConfirmed } from '@keymeter/contract'
import { closeLockedAccount } from '../accounts/close.ts'
import { getDeletion } from '../accounts/get-deletion.ts'
import { lockAccount } from '../billing/lock-account.ts'
import type { Context } from '../context.ts'
import { AppError } from '../errors.ts'
import { changeMembers } from '../members/change-members.ts'
import { setRole } from '../members/set-role.ts'
import { asPerson, type Caller } from '../scope.ts'
import { deleteUser } from './delete-user.ts'
import { requireRecentSignIn } from './require-recent-sign-in.ts'
import type { VerifiedToken } from './verify-access-token.ts'

/** Enough for 10,000 accounts. */
const PASSES_MAX = 100

/**
 * Deletes the sign-in of a person. First deletes the accounts of which the person is the last owner, and leaves all others, each in a
 * transaction of its own. The user in Supabase comes last. So the call can be repeated after any failure, and an account never loses
 * its last owner.
 *
 * @returns False if the operator must delete the user in Supabase, because this server has no secret key of the project.
 * @throws AppError `bad_request` if the confirmation is wrong.
 * @throws AppError `last_owner` if the person has not confirmed the deletion of each account without another owner. Then nothing was
 *   changed, unless the person became the last owner during the call.
 * @throws AppError `second_factor_required`, `sign_in_too_old`, `too_many_attempts`, `not_signed_in`, `auth_unavailable`.
 */
export async function deleteMe(
  ctx: Context,
  caller: VerifiedToken,
  { confirmation, closedAccounts }: DeleteMe,
): Promise<{ isSignInDeleted: boolean }> {
  if (!isConfirmed(confirmation, caller.email ?? DELETION_WORD))
    throw new AppError('bad_request', {
      field: 'confirmation',
      message: 'This is not your address: type the address with which you sign in.',
    })
  requireRecentSignIn(caller)
  await ctx.limits.memberChanges.attempt(caller.userId)
  await ctx.checkSession(ctx.authorization, caller.userId)
  // A list contains at most 100 accounts, and each pass ends the membership in all of them.
  for (let pass = 0; pass < PASSES_MAX; pass++) {
    const accounts = await asPerson({ ...ctx, caller }, 'read only', getDeletion)
    if (accounts.length === 0) return { isSignInDeleted: await deleteUser(ctx, caller.userId) }
    const closing = accounts.filter(({ isLastOwner }) => isLastOwner)
    if (closing.some(({ id }) => !closedAccounts.includes(id)))
      throw new AppError('last_owner', {
        message: 'You are the last owner of an account: confirm that it is deleted too, or make another member its owner.',
      })
    if (accounts.some(({ requiresSecondFactor }) => requiresSecondFactor) && !caller.isSecondFactor)
      throw new AppError('second_factor_required')
    for (const { id, role } of accounts) {
      const mayClose = role === 'owner' && closedAccounts.includes(id)
      await (mayClose ? closeOrLeave(ctx, caller, id) : leave(ctx, caller, id))
    }
  }
  throw new Error('a person is still a member of accounts after they were deleted or left')
}

/**
 * Deletes the account if the person is its last owner, and otherwise leaves it. The account is locked, because another owner can join or
 * leave after the list was read.
 */
async function closeOrLeave(ctx: Context, caller: Caller, accountId: string): Promise<void> {
  await changeMembers({ ...ctx, userId: accountId, by: { caller, call: 'accounts.close' } }, async (scope) => {
    await lockAccount(scope)
    const otherOwner = await scope.db
      .selectFrom('account_members')
      .select('member_id')
      .where('user_id', '=', accountId)
      .where('role', '=', 'owner')
      .where('member_id', '<>', caller.userId)
      .limit(1)
      .executeTakeFirst()
    if (otherOwner === undefined) await closeLockedAccount(scope)
    else await setRole(scope, caller.userId, null)
  })
}

async function leave(ctx: Context, caller: Caller, accountId: string): Promise<void> {
  const call = { ...ctx, userId: accountId, by: { caller, call: 'members.leave' as const } }
  await changeMembers(call, async (scope) => await setRole(scope, caller.userId, null))
}
