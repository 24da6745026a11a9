import type { Key, KeyRef } from '@keymeter/contract'
import type { Scope } from '../scope.ts'
import { changeKey, setKey } from './change.ts'

/**
 * Revokes a key and all its secrets, from the next charge on. A revoke cannot be undone. If the key is already revoked,
 * nothing changes.
 *
 * @throws AppError `key_not_found`.
 */
export async function revokeKey(scope: Scope, { id }: KeyRef): Promise<Key> {
  return await changeKey(
    scope,
    id,
    async (key, now) => {
      if (key.revokedAt !== null) return null
      await setKey(scope, id, { revoked_at: now })
      return { action: 'key.revoked' }
    },
    { includingRevoked: true },
  )
}
