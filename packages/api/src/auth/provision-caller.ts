import type { MemberAccount, NewKey } from '@keymeter/contract'
import { sql } from 'kysely'
import { listMemberAccounts } from '../accounts/list.ts'
import { isAccountDecided } from '../billing/ensure-account.ts'
import { decideFreeCredits, UNDECIDED } from '../billing/free-credits.ts'
import type { Context } from '../context.ts'
import { isInvited } from '../members/is-invited.ts'
import { storableEmail } from '../members/storable-email.ts'
import { asPerson, type Caller, inAccount } from '../scope.ts'
import { provision } from './provision.ts'

/**
 * Prepares the accounts of a person who has signed in. Opens an account if the person has none, and decides about its free credits
 * while nothing is decided. A person who has an open invitation, who is or was a member of the account of somebody else, or who has left
 * or closed the own account, gets no account until they ask for one (`accounts.open`).
 *
 * The auth server is asked for the e-mail address only if something must be decided. So the dashboard, which makes this call once in
 * each session, works during an outage of the auth server. The e-mail address in the access token is only stored for lists: it can be
 * outdated, and the token does not contain whether the address is confirmed.
 *
 * @throws AppError `not_signed_in`, `too_many_key_changes`, `auth_unavailable`, `account_busy`.
 */
export async function provisionCaller(
  ctx: Context,
  caller: Caller,
): Promise<{ accounts: MemberAccount[]; defaultKey: NewKey | null }> {
  const person = { ...ctx, caller }
  const known = await asPerson(person, 'read only', listMemberAccounts)
  const isFirstVisit = known.accounts.length === 0 && (await isNew(ctx, caller, known))
  const own = known.accounts.find(({ id, role }) => id === caller.userId && role === 'owner')
  // The page of the second factor comes first.
  const isUsable = own !== undefined && (!own.requiresSecondFactor || caller.isSecondFactor)
  const defaultKey = isFirstVisit || isUsable ? await completeAccount(ctx, caller) : null
  const email = storableEmail(caller.email)
  if (email !== null && known.storedEmails.some((stored) => stored !== email))
    await asPerson(person, 'read write', async ({ db }) => await sql`select keymeter.note_member_email(${email})`.execute(db))
  const { accounts } = isFirstVisit ? await asPerson(person, 'read only', listMemberAccounts) : known
  return { accounts, defaultKey }
}

/** Returns true if the person, who has no account now, has never had one and has no invitation to one. */
async function isNew(
  ctx: Context,
  caller: Caller,
  known: { hasOpenedAccount: boolean; hasBeenMember: boolean },
): Promise<boolean> {
  // The user was perhaps deleted since the access token was issued.
  const person = await ctx.checkSession(ctx.authorization, caller.userId)
  if (known.hasOpenedAccount || known.hasBeenMember) return false
  return !(await asPerson({ ...ctx, caller }, 'read only', async (scope) => await isInvited(scope, person)))
}

/** Provisions the account with the id of the caller. */
async function completeAccount(ctx: Context, caller: Caller): Promise<NewKey | null> {
  const call = { ...ctx, userId: caller.userId, by: { caller, call: 'auth.provision' as const } }
  let freeCredits = UNDECIDED
  if (!(await inAccount(call, 'read only', isAccountDecided))) {
    await ctx.limits.keyChanges.attempt(caller.userId)
    freeCredits = decideFreeCredits(ctx.freeCredits, await ctx.checkSession(ctx.authorization, caller.userId))
  }
  return await inAccount(call, 'read write', async (scope) => await provision(scope, freeCredits))
}
