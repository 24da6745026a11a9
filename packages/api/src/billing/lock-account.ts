import { MemberRole } from '@keymeter/contract'
import { sql } from 'kysely'
import { requireRole, type Scope } from '../scope.ts'

/**
 * Locks the account until the transaction ends, so that changes of an account, its keys and its credits happen one after the
 * other. Every call takes this lock before any other lock, so two calls cannot deadlock. The lock also shows the charge engine
 * that the account is being edited, so charges of other accounts do not wait for it.
 *
 * The role is read again under the lock, and it then stays valid until the transaction ends: a change of members takes this lock too, and
 * the deletion of the user waits. Without this, a member who is removed while the call waits could still make the change.
 *
 * @returns False if the account does not exist.
 * @throws AppError `not_a_member`, `role_insufficient`.
 */
export async function lockAccount({ db, userId, member }: Scope): Promise<boolean> {
  const { rows } = await sql<{ role: string | null }>`select role from keymeter.lock_for_call(${userId})`.execute(db)
  const [locked] = rows
  if (locked === undefined) return false
  if (member !== null) member.role = requireRole(member.access, MemberRole.nullable().parse(locked.role))
  return true
}
