import { MemberId, MemberRole, withAsciiDomain } from '@keymeter/contract'
import { sql } from 'kysely'
import { AppError } from '../errors.ts'
import { setRole } from '../members/set-role.ts'
import type { Scope } from '../scope.ts'

export interface ChangedMember {
  id: string
  /** Null if the user signs in without an address. */
  email: string | null
  roleBefore: MemberRole
  isChanged: boolean
}

/**
 * Changes the role of a member in the name of the operator, or removes the member if `role` is null. The entry of the audit log does not
 * name the operator's staff. The scope must have the rights of the database's owner, who sees all users.
 *
 * @param member is the id of the user, or the e-mail address of the user.
 * @throws AppError `member_not_found` if the account has no such member, or more than one. `last_owner`.
 */
export async function changeRoleOfMember(scope: Scope, member: string, role: MemberRole | null): Promise<ChangedMember> {
  const found = await findMember(scope, member)
  return { ...found, isChanged: await setRole(scope, found.id, role) }
}

/** Both the present address and the address in the customers' list find a member. The primary key serves the query. */
async function findMember({ db, userId }: Scope, idOrEmail: string): Promise<Omit<ChangedMember, 'isChanged'>> {
  const { data: id } = MemberId.safeParse(idOrEmail)
  const { rows } = await sql<{ id: string; email: string | null; role: string }>`
    select members.member_id as id, coalesce(users.email, members.email) as email, members.role
      from account_members as members left join auth.users as users on users.id = members.member_id
     where members.user_id = ${userId} and members.role is not null
       and ${
         id !== undefined
           ? sql`members.member_id = ${id}::uuid`
           : sql`lower(${withAsciiDomain(idOrEmail.trim())}) in (lower(users.email), lower(members.email))`
       }
     limit 2`.execute(db)
  const [found] = rows
  if (found !== undefined && rows.length === 1)
    return { id: found.id, email: found.email, roleBefore: MemberRole.parse(found.role) }
  const message =
    rows.length === 0
      ? `Account ${userId} has no member ${idOrEmail}. "keymeter account ${userId}" lists the members.`
      : `Account ${userId} has more than one member ${idOrEmail}. Use the id of the user: "keymeter account ${userId}" lists the members.`
  throw new AppError('member_not_found', { message })
}
