import { sql } from 'kysely'
import { originOf } from '../audit/record.ts'
import { lockAccount } from '../billing/lock-account.ts'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'

/** @throws AppError `invitation_not_found` if the account has no such open invitation. */
export async function revokeInvitation(scope: Scope, id: string): Promise<void> {
  await lockAccount(scope)
  const { rows } = await sql<{ isRevoked: boolean }>`
    select keymeter.revoke_invitation(${id}, ${originOf(scope)}) as "isRevoked"`.execute(scope.db)
  if (rows[0]?.isRevoked !== true)
    throw new AppError('invitation_not_found', { message: 'There is no such open invitation: load the list again.' })
}
