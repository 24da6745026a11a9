import { MEMBERS_MAX, type Member, MemberRole } from '@keymeter/contract'
import type { Scope } from '../scope.ts'

/** Returns the members of the account, owners first, at most `MEMBERS_MAX`. */
export async function listMembers({ db, userId }: Scope): Promise<Member[]> {
  const rows = await db
    .selectFrom('account_members as members')
    .where('members.user_id', '=', userId)
    .where('members.role', 'is not', null)
    .select((eb) => [
      'members.member_id as id',
      'members.email as email',
      'members.role as role',
      'members.created_at as createdAt',
      // Uses `api_keys_creator_idx`.
      eb
        .selectFrom('api_keys as keys')
        .whereRef('keys.user_id', '=', 'members.user_id')
        .whereRef('keys.created_by', '=', 'members.member_id')
        .where('keys.revoked_at', 'is', null)
        .where('keys.is_service', '=', false)
        .select((of) => of.fn.countAll<number>().as('count'))
        .as('liveKeys'),
    ])
    .orderBy('members.created_at')
    .orderBy('members.member_id')
    .limit(MEMBERS_MAX)
    .execute()
  const members = rows.map(({ role, createdAt, liveKeys, ...member }) => ({
    ...member,
    role: MemberRole.parse(role),
    createdAt: createdAt.toISOString(),
    liveKeys: liveKeys ?? 0,
  }))
  const rank = ({ role }: Member) => MemberRole.options.indexOf(role)
  return members.toSorted((one, other) => rank(one) - rank(other))
}
