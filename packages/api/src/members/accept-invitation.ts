import { MEMBERS_MAX, type MemberAccount, type Reason } from '@keymeter/contract'
import { sql } from 'kysely'
import { listMemberAccounts } from '../accounts/list.ts'
import { originOf } from '../audit/record.ts'
import type { Context } from '../context.ts'
import { AppError } from '../errors.ts'
import { asPerson, type Caller } from '../scope.ts'
import { hashInvitationToken } from './invitation-token.ts'

type Outcome = 'accepted' | 'already_member' | keyof typeof REFUSALS

/** The reasons for the outcomes of keymeter.accept_invitation that refuse. */
const REFUSALS = {
  not_found: 'invitation_not_found',
  expired: 'invitation_expired',
  revoked: 'invitation_revoked',
  used: 'invitation_used',
  closed: 'invitation_closed',
  other_address: 'invitation_other_address',
} as const satisfies Record<string, Reason>

/**
 * Makes the caller a member of the account of an invitation. The auth server is asked for the address first, because the address in an
 * access token can be outdated and is perhaps not confirmed. A repeat by the same person changes nothing and succeeds.
 *
 * @throws AppError `email_not_confirmed`, `too_many_accounts`, the reasons in `REFUSALS`, and the errors of `checkSession`.
 */
export async function acceptInvitation(
  ctx: Context,
  caller: Caller,
  token: string,
): Promise<{ account: MemberAccount; isNew: boolean }> {
  const { email, isEmailConfirmed } = await ctx.checkSession(ctx.authorization, caller.userId)
  if (email === null || !isEmailConfirmed) throw new AppError('email_not_confirmed')
  return await asPerson({ ...ctx, caller }, 'read write', async (scope) => {
    const { rows } = await sql<{ outcome: Outcome; account: string }>`
      select outcome, account
        from keymeter.accept_invitation(${hashInvitationToken(token)}, ${caller.userId}, ${email}, ${originOf(scope)})`.execute(
      scope.db,
    )
    const [done] = rows
    if (done === undefined) throw new Error('keymeter.accept_invitation returned no row')
    if (done.outcome !== 'accepted' && done.outcome !== 'already_member') throw new AppError(REFUSALS[done.outcome])
    const { accounts } = await listMemberAccounts(scope)
    const account = accounts.find(({ id }) => id === done.account)
    if (account === undefined && accounts.length >= MEMBERS_MAX) throw new AppError('too_many_accounts')
    // The person has accepted before, and has left the account or was removed since.
    if (account === undefined) throw new AppError('invitation_used', { message: NO_LONGER_A_MEMBER })
    return { account, isNew: done.outcome === 'accepted' }
  })
}

const NO_LONGER_A_MEMBER = 'You have already used this invitation, and you are no longer a member: ask for a new one.'
