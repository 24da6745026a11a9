import type { Key, KeyRef } from '@keymeter/contract'
import type { Scope } from '../scope.ts'
import { changeKey } from './change.ts'
import { endOlderSecrets, readPreviousSecrets } from './secret.ts'

/**
 * Immediately ends all previous secrets of a key that are in their grace periods. If there are none, nothing changes. The
 * previous secrets of an expired key end too, so that a later expiry does not make them work again.
 *
 * @throws AppError `key_not_found`, `key_revoked`.
 */
export async function endGrace(scope: Scope, { id }: KeyRef): Promise<Key> {
  return await changeKey(scope, id, async (_, now) => {
    const { count, lastEnd } = await readPreviousSecrets(scope, id, now)
    if (lastEnd === null) return null
    await endOlderSecrets(scope, id, now)
    const graceEndsAt = { from: lastEnd.toISOString(), to: now.toISOString() }
    return { action: 'key.grace_ended', detail: { graceEndsAt, secretsEnded: count } }
  })
}
