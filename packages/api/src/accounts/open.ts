import { randomUUID } from 'node:crypto'
import { MEMBERS_MAX, type MemberAccount, type NewKey } from '@keymeter/contract'
import { sql } from 'kysely'
import { provision } from '../auth/provision.ts'
import { requireRecentSignIn } from '../auth/require-recent-sign-in.ts'
import type { VerifiedToken } from '../auth/verify-access-token.ts'
import { decideFreeCredits } from '../billing/free-credits.ts'
import type { Context } from '../context.ts'
import { AppError } from '../errors.ts'
import { asPerson, inAccount } from '../scope.ts'
import { listMemberAccounts } from './list.ts'

/**
 * Opens an account for a person who owns none, e.g. after an invitation to the account of somebody else. The first account of a person
 * has the id of the person, and a later one has a new id. Each mailbox gets free credits only once.
 *
 * @throws AppError `sign_in_too_old`, because the answer contains a secret.
 * @throws AppError `account_exists` if the person already owns an account. `too_many_accounts`.
 */
export async function openAccount(
  ctx: Context,
  caller: VerifiedToken,
): Promise<{ account: MemberAccount; defaultKey: NewKey | null }> {
  requireRecentSignIn(caller)
  const person = { ...ctx, caller }
  const known = await asPerson(person, 'read only', listMemberAccounts)
  requireNoOwnAccount(known.accounts)
  const id = known.hasOpenedAccount ? randomUUID() : caller.userId
  await ctx.limits.newKeys.attempt(caller.userId)
  const freeCredits = decideFreeCredits(ctx.freeCredits, await ctx.checkSession(ctx.authorization, caller.userId))
  const call = { ...ctx, userId: id, by: { caller, call: 'auth.provision' as const, opensAccount: true } }
  const defaultKey = await inAccount(call, 'read write', async (scope) => {
    // Concurrent calls of one person wait for each other here. Later accounts have new ids, so the lock of an account does not suffice.
    await sql`select pg_advisory_xact_lock(keymeter.edit_lock(${caller.userId}))`.execute(scope.db)
    requireNoOwnAccount((await listMemberAccounts({ ...scope, caller })).accounts)
    return await provision(scope, freeCredits)
  })
  const { accounts } = await asPerson(person, 'read only', listMemberAccounts)
  const account = accounts.find((one) => one.id === id)
  if (account === undefined) throw new Error('the new account is not in the list of the accounts of its owner')
  return { account, defaultKey }
}

function requireNoOwnAccount(accounts: MemberAccount[]): void {
  if (accounts.some(({ role }) => role === 'owner')) throw new AppError('account_exists')
  // The new account would not be in the list of the accounts.
  if (accounts.length >= MEMBERS_MAX) throw new AppError('too_many_accounts')
}
