import type { NewKey, RotateKey } from '@keymeter/contract'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { attemptOf } from './attempt.ts'
import { setKey } from './change.ts'
import { isExpired, parseExpiry } from './expiry.ts'
import { giveSecret } from './give-secret.ts'
import { endOlderSecrets } from './secret.ts'

/**
 * Gives a key a new secret. The key keeps its id, name, limits and usage. The current secret still works for `graceSeconds`,
 * and older secrets keep their grace periods.
 *
 * The secrets of an expired key do not work, and the new expiry does not make them work again: they have no grace period.
 *
 * @throws AppError `secret_changed` if `keyPrefix` is not that of the current secret.
 * @throws AppError `bad_request` if the key has expired and the input contains no expiry, or if the expiry is not in the future.
 * @throws AppError the errors of `giveSecret`.
 */
export async function rotateKey(scope: Scope, input: RotateKey): Promise<NewKey> {
  const { id, graceSeconds, keyPrefix, expiresAt } = input
  return await giveSecret(scope, id, attemptOf('keys.rotate', input), async (key, now) => {
    if (keyPrefix !== undefined && keyPrefix !== key.keyPrefix) throw new AppError('secret_changed')
    const wasExpired = isExpired(key, now)
    if (wasExpired && expiresAt === undefined) {
      throw new AppError('bad_request', { field: 'expiresAt', message: EXPIRY_NEEDED })
    }
    const seconds = wasExpired ? 0 : graceSeconds
    if (wasExpired) await endOlderSecrets(scope, id, now)
    const detail: Record<string, unknown> = { graceSeconds: seconds }
    if (expiresAt !== undefined) {
      const expiry = parseExpiry(expiresAt, now)
      await setKey(scope, id, { expires_at: expiry })
      detail['expiresAt'] = { from: key.expiresAt, to: expiry?.toISOString() ?? null }
    }
    return { worksUntil: new Date(now.getTime() + seconds * 1000), action: 'key.rotated', detail }
  })
}

const EXPIRY_NEEDED = 'This key has expired, so a new secret would not work: choose a later expiry, or none.'
