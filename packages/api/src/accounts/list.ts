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
 * of the person that the memberships contain, whether the person has ever opened an account,
 * and whether the person has ever been a member of one.
 */
export async function listMemberAccounts({ db }: PersonScope): Promise<{
  accounts: MemberAccount[]
  storedEmails: (string | null)[]
  hasOpenedAccount: boolean
  hasBeenMember: boolean
}> {
  const { rows } = await sql<Row>`
    select account as id, name, owner as "ownerEmail", role, needs_second_factor as "requiresSecondFactor", email as "storedEmail"
      from keymeter.accounts_of_member()`.execute(db)
  const past = await sql<{ hasOpened: boolean; hasBeen: boolean }>`
    select keymeter.has_opened_account() as "hasOpened", keymeter.has_been_member() as "hasBeen"`.execute(db)
  const accounts = rows.map(({ storedEmail: _, role, ...account }) => ({ ...account, role: MemberRole.parse(role) }))
  const { hasOpened = false, hasBeen = false } = past.rows[0] ?? {}
  const storedEmails = rows.map(({ storedEmail }) => storedEmail)
  return { accounts, storedEmails, hasOpenedAccount: hasOpened, hasBeenMember: hasBeen }
}
