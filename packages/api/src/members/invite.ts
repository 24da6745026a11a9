import type { Invitation, InviteMember } from '@keymeter/contract'
import { sql } from 'kysely'
import { originOf } from '../audit/record.ts'
import { lockAccount } from '../billing/lock-account.ts'
import type { Context } from '../context.ts'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { hashInvitationToken, mintInvitationToken } from './invitation-token.ts'
import { getInvitation } from './list-invitations.ts'

/**
 * Invites an address to the account. An earlier open invitation of the address ends. The function never reads whether the address has
 * a user, so its answers, errors and statements are the same for known and unknown addresses. Only the members of this account are
 * compared with the address, and the caller can list them.
 *
 * @returns The invitation, and its token, which is not stored.
 * @throws AppError `role_insufficient` if an admin invites an owner. `already_member`, `too_many_members`.
 */
export async function inviteMember(
  scope: Scope,
  { email, role }: InviteMember,
): Promise<{ invitation: Invitation; token: string }> {
  await lockAccount(scope)
  if (role === 'owner' && scope.member !== null && scope.member.role !== 'owner')
    throw new AppError('role_insufficient', {
      field: 'role',
      message: 'Only an owner can invite an owner: choose another role.',
    })
  const token = mintInvitationToken()
  const { rows } = await sql<{ id: string | null; refusal: string | null }>`
    select id, refusal
      from keymeter.invite_member(${hashInvitationToken(token)}, ${email}, ${role}, ${originOf(scope)})`.execute(scope.db)
  const [{ id, refusal } = { id: null, refusal: null }] = rows
  if (refusal === 'already_member') throw new AppError('already_member', { field: 'email' })
  if (refusal === 'too_many') throw new AppError('too_many_members')
  if (id === null) throw new Error('keymeter.invite_member returned no invitation')
  return { invitation: await getInvitation(scope, id), token }
}

/**
 * Returns the link of an invitation. The token is in the fragment, which browsers send to no server and in no referrer. Without
 * `publicUrl`, the link is a path that the dashboard completes with its own origin.
 */
export function invitationLink({ publicUrl }: Pick<Context, 'publicUrl'>, token: string): string {
  const path = `/invite#${token}`
  return publicUrl === null ? path : new URL(path, publicUrl).href
}
