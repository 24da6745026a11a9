import { type MemberAccount, MemberRole } from '@keymeter/contract'
import { sql } from 'kysely'
import type { PersonScope } from '../scope.ts'

interface Row {
  id: string
  name: string | null
  ownerEmail: string | null
  role: string
  requiresSecondFactor: boolean
  storedEmail: string | null
}

/**
 * Returns the accounts of which the person is a member, the oldest membership first, at most `MEMBERS_MAX`. Also returns the addresses
 * of the person that the memberships contain, and whether the person has ever opened an account.
 */
export async function listMemberAccounts({
  db,
}: PersonScope): Promise<{ accounts: MemberAccount[]; storedEmails: (string | null)[]; hasOpenedAccount: boolean }> {
  const { rows } = await sql<Row>`
    select account as id, name, owner as "ownerEmail", role, needs_second_factor as "requiresSecondFactor", email as "storedEmail"
      from keymeter.accounts_of_member()`.execute(db)
  const opened = await sql<{ has: boolean }>`select keymeter.has_opened_account() as has`.execute(db)
  const accounts = rows.map(({ storedEmail: _, role, ...account }) => ({ ...account, role: MemberRole.parse(role) }))
  return { accounts, storedEmails: rows.map(({ storedEmail }) => storedEmail), hasOpenedAccount: opened.rows[0]?.has === true }
}
