import type { ConfirmSecretSaved, Key } from '@keymeter/contract'
import type { Scope } from '../scope.ts'
import { changeKey } from './change.ts'

/**
 * Records that the owner has saved the key's current secret, so that the dashboard no longer offers to replace it. If the
 * secret has been replaced, so that `keyPrefix` belongs to an older secret, nothing changes.
 *
 * @throws AppError `key_not_found`, `key_revoked`.
 */
export async function confirmSecretSaved(scope: Scope, { id, keyPrefix }: ConfirmSecretSaved): Promise<Key> {
  return await changeKey(scope, id, async (key, now) => {
    if (key.isSecretSaved || (keyPrefix !== undefined && keyPrefix !== key.keyPrefix)) return null
    await scope.db
      .updateTable('api_key_secrets')
      .set({ saved_at: now })
      .where('user_id', '=', scope.userId)
      .where('api_key_id', '=', id)
      .where('valid_until', 'is', null)
      .execute()
    return { action: 'key.secret_saved', detail: { keyPrefix: key.keyPrefix } }
  })
}
