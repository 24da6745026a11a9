import { InvitationState, MemberRole, type ReceivedInvitation } from '@keymeter/contract'
import { isUnavailable } from '@keymeter/db'
import { sql } from 'kysely'
import type { Context } from '../context.ts'
import { AppError } from '../errors.ts'
import { networkOf } from '../limits/network.ts'
import { hashInvitationToken } from './invitation-token.ts'

interface Row extends Omit<ReceivedInvitation, 'role' | 'expiresAt' | 'state'> {
  role: string
  expiresAt: Date
  state: string
}

/**
 * Returns the invitation with this token. Nobody needs to be signed in: the token is the right to read it. All calls from one network
 * wait in one queue, so strangers cannot take the connections of members.
 *
 * @throws AppError `invitation_not_found`, `database_unavailable`, `account_busy`.
 */
export async function readInvitation(ctx: Context, token: string): Promise<ReceivedInvitation> {
  // The unique key of `token_hash` finds the row.
  const find = sql<Row>`
    select account_name as "accountName", email, role, invited_by as "invitedBy", expires_at as "expiresAt", state
      from keymeter.find_invitation(${hashInvitationToken(token)})`
  try {
    const { rows } = await ctx.accountCalls.run(`network ${networkOf(ctx.clientAddress)}`, () => find.execute(ctx.db))
    const [row] = rows
    if (row === undefined) throw new AppError('invitation_not_found')
    const { role, expiresAt, state, ...rest } = row
    return { ...rest, role: MemberRole.parse(role), expiresAt: expiresAt.toISOString(), state: InvitationState.parse(state) }
  } catch (error) {
    if (isUnavailable(error)) throw new AppError('database_unavailable', { cause: error })
    throw error
  }
}
