import type { MemberRole } from '@keymeter/contract'
import { sql } from 'kysely'
import { originOf } from '../audit/record.ts'
import { lockAccount } from '../billing/lock-account.ts'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'

/**
 * Changes the role of a member of the account, or removes the member if `role` is null. keymeter.set_member_role decides who may do
 * that, and keeps an owner in the account.
 *
 * @returns False if the member already had this role.
 * @throws AppError `member_not_found`, `role_insufficient`, `last_owner`.
 */
export async function setRole(scope: Scope, memberId: string, role: MemberRole | null): Promise<boolean> {
  await lockAccount(scope)
  const { rows } = await sql<{ outcome: string }>`
    select keymeter.set_member_role(${memberId}, ${role}, ${originOf(scope)}) as outcome`.execute(scope.db)
  switch (rows[0]?.outcome) {
    case 'changed':
      return true
    case 'unchanged':
      return false
    case 'member_not_found':
      throw new AppError('member_not_found')
    case 'last_owner':
      throw new AppError('last_owner')
    default:
      throw new AppError('role_insufficient')
  }
}
