import type { Key, KeyRef } from '@keymeter/contract'
import type { Scope } from '../scope.ts'
import { changeKey, setKey } from './change.ts'

/**
 * Disables a key from the next charge on, until `enableKey` is called. If the key is already disabled, nothing changes.
 *
 * @throws AppError `key_not_found`, `key_revoked`.
 */
export async function disableKey(scope: Scope, { id }: KeyRef): Promise<Key> {
  return await changeKey(scope, id, async (key, now) => {
    if (key.disabledAt !== null) return null
    await setKey(scope, id, { disabled_at: now })
    return { action: 'key.disabled' }
  })
}

/**
 * Enables a disabled key. If the key is not disabled, nothing changes.
 *
 * @throws AppError `key_not_found`, `key_revoked`.
 */
export async function enableKey(scope: Scope, { id }: KeyRef): Promise<Key> {
  return await changeKey(scope, id, async (key) => {
    if (key.disabledAt === null) return null
    await setKey(scope, id, { disabled_at: null })
    return { action: 'key.enabled' }
  })
}
