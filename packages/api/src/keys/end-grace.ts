import type { Key, KeyRef } from '@keymeter/contract'
import type { Scope } from '../scope.ts'
import { changeKey } from './change.ts'
import { endOlderSecrets } from './secret.ts'

/**
 * Immediately ends the grace period, in which the previous secret of a rotated key still works. If the key has no grace
 * period, nothing changes.
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
