import type { NewKey } from '@keymeter/contract'
import { isAccountDecided } from '../billing/ensure-account.ts'
import { decideFreeCredits, UNDECIDED } from '../billing/free-credits.ts'
import type { Context } from '../context.ts'
import { inAccount } from '../scope.ts'
import { provision } from './provision.ts'

/**
 * Provisions the account of the caller. The auth server is asked for the e-mail address only while the account does not exist or
 * nothing is decided about its free credits. So the dashboard, which makes this call once in each session, works during an outage
 * of the auth server. The e-mail address in the access token is not used: it can be outdated, and the token does not contain
 * whether the address is confirmed.
 *
 * @throws AppError `not_signed_in`, `too_many_key_changes`, `auth_unavailable`, `account_busy`.
 */
export async function provisionCaller(ctx: Context, userId: string): Promise<NewKey | null> {
  const call = { ...ctx, userId }
  let freeCredits = UNDECIDED
  if (!(await inAccount(call, 'read only', isAccountDecided))) {
    await ctx.limits.keyChanges.attempt(userId)
    freeCredits = decideFreeCredits(ctx.freeCredits, await ctx.checkSession(ctx.authorization, userId))
  }
  return await inAccount(call, 'read write', async (scope) => await provision(scope, freeCredits))
}
