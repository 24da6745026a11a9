import { sql } from 'kysely'
import type { Person } from '../auth/check-session.ts'
import type { PersonScope } from '../scope.ts'

/**
 * Returns true if an open invitation is for the confirmed address of the person. Such a person gets no account of their own until they
 * ask for one. The token of the invitation is not needed: the person perhaps confirms the address in a browser that does not have it.
 */
export async function isInvited({ db }: PersonScope, { email, isEmailConfirmed }: Person): Promise<boolean> {
  if (email === null || !isEmailConfirmed) return false
  const { rows } = await sql<{ isInvited: boolean }>`select keymeter.is_invited(${email}) as "isInvited"`.execute(db)
  return rows[0]?.isInvited === true
}
