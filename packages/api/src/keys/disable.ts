import type { Key, KeyRef } from '@keymeter/contract'
import type { Scope } from '../scope.ts'
import { changeKey, setKey } from './change.ts'

/**
 * Switches a key off, from the very next charge on, until `enableKey`. Doing it again changes nothing.
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
 * Switches a disabled key on again.
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
