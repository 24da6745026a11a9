import type { Key, RevokeKeyOfCustomer } from '@keymeter/contract'
import { sql } from 'kysely'
import { originOf } from '../audit/record.ts'
import { readClock } from '../clock.ts'
import { getKey } from '../keys/get.ts'
import type { Scope } from '../scope.ts'

/**
 * Revokes a key and all its secrets, from the next charge on, in the name of the operator. The audit log of the account contains
 * the reason. A revoke cannot be undone. If the key is already revoked, nothing changes.
 *
 * @returns The key before this call and after it.
 * @throws AppError `key_not_found` if the account has no key with this id.
 */
export async function revokeKeyOfCustomer(
  scope: Scope,
  { keyId, reason }: RevokeKeyOfCustomer,
): Promise<{ before: Key; after: Key }> {
  const before = await getKey(scope, keyId, await readClock(scope))
  await sql`select keymeter.revoke_key(${scope.userId}, ${keyId}, ${reason}, ${originOf(scope)})`.execute(scope.db)
  return { before, after: await getKey(scope, keyId, await readClock(scope)) }
}
