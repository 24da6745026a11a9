import type { BillingAccount, Invitation, Member } from '@keymeter/contract'
import { sql } from 'kysely'
import { getAccount } from '../billing/get-account.ts'
import { listMembers } from '../members/list.ts'
import { listInvitations } from '../members/list-invitations.ts'
import type { Scope } from '../scope.ts'

export interface AccountAndMembers {
  account: BillingAccount
  /** The name that owners and admins have given to the account. */
  name: string | null
  /** The members and the inviters have their present addresses. The addresses in the customer's list can be outdated. */
  members: Member[]
  invitations: Invitation[]
}

/**
 * Returns an account with its members and its open invitations, at most `MEMBERS_MAX` of each. Returns null if the account does not
 * exist. The scope must have the rights of the database's owner, who sees all users.
 */
export async function getAccountAndMembers(scope: Scope): Promise<AccountAndMembers | null> {
  const account = await getAccount(scope)
  if (account === null) return null
  const { name } = await scope.db
    .selectFrom('billing_accounts')
    .select('name')
    .where('user_id', '=', scope.userId)
    .executeTakeFirstOrThrow()
  const members = await listMembers(scope)
  const invitations = await listInvitations(scope)
  const inviters = invitations.flatMap(({ invitedBy }) => (invitedBy === null ? [] : [invitedBy]))
  const { rows: users } = await sql<{ id: string; email: string | null }>`
    select id, email from auth.users where id = any(${[...members, ...inviters].map(({ id }) => id)}::uuid[])`.execute(scope.db)
  const present = new Map(users.map(({ id, email }) => [id, email]))
  const withPresentAddress = <Person extends { id: string; email: string | null }>(person: Person): Person => ({
    ...person,
    email: present.get(person.id) ?? person.email,
  })
  return {
    account,
    name,
    members: members.map(withPresentAddress),
    invitations: invitations.map(({ invitedBy, ...invitation }) => ({
      ...invitation,
      invitedBy: invitedBy && withPresentAddress(invitedBy),
    })),
  }
}
