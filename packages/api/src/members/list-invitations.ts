import { type Invitation, MEMBERS_MAX, MemberRole } from '@keymeter/contract'
import { readClock } from '../clock.ts'
import type { Scope } from '../scope.ts'

/**
 * Returns the invitations of the account that were neither accepted nor revoked, newest first (`account_invitations_open_idx`).
 * Expired ones are included, so that they can be sent again.
 */
export async function listInvitations(scope: Scope): Promise<Invitation[]> {
  const rows = await selectInvitations(scope)
    .where('invitations.accepted_at', 'is', null)
    .where('invitations.revoked_at', 'is', null)
    .orderBy('invitations.created_at', 'desc')
    .orderBy('invitations.id')
    .limit(MEMBERS_MAX)
    .execute()
  const now = await readClock(scope)
  return rows.map((row) => toInvitation(row, now))
}

export async function getInvitation(scope: Scope, id: string): Promise<Invitation> {
  const row = await selectInvitations(scope).where('invitations.id', '=', id).executeTakeFirstOrThrow()
  return toInvitation(row, await readClock(scope))
}

function selectInvitations({ db, userId }: Scope) {
  return db
    .selectFrom('account_invitations as invitations')
    .where('invitations.user_id', '=', userId)
    .select((eb) => [
      'invitations.id as id',
      'invitations.email as email',
      'invitations.role as role',
      'invitations.invited_by as inviterId',
      'invitations.created_at as createdAt',
      'invitations.expires_at as expiresAt',
      eb
        .selectFrom('account_members as inviters')
        .whereRef('inviters.user_id', '=', 'invitations.user_id')
        .whereRef('inviters.member_id', '=', 'invitations.invited_by')
        .select('inviters.email')
        .as('inviterEmail'),
    ])
}

type Row = Awaited<ReturnType<ReturnType<typeof selectInvitations>['executeTakeFirstOrThrow']>>

function toInvitation({ id, email, role, inviterId, inviterEmail, createdAt, expiresAt }: Row, now: Date): Invitation {
  return {
    id,
    email,
    role: MemberRole.parse(role),
    invitedBy: inviterId === null ? null : { id: inviterId, email: inviterEmail },
    createdAt: createdAt.toISOString(),
    expiresAt: expiresAt.toISOString(),
    isExpired: expiresAt <= now,
  }
}
