import type { Key, KeyRef } from '@keymeter/contract'
import type { Scope } from '../scope.ts'
import { changeKey } from './change.ts'
import { endOlderSecrets } from './secret.ts'

/**
 * Ends the grace period of a rotated key's previous secret immediately. Without a grace period it changes nothing.
 *
 * @throws AppError `key_not_found`, `key_revoked`.
 */
export async function endGrace(scope: Scope, { id }: KeyRef): Promise<Key> {
  return await changeKey(scope, id, async ({ graceEndsAt }, now) => {
    if (graceEndsAt === null) return null
    await endOlderSecrets(scope, id, now)
    return { action: 'key.grace_ended', detail: { graceEndsAt: { from: graceEndsAt, to: now.toISOString() } } }
  })
}
