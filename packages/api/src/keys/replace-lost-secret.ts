import type { NewKey, ReplaceLostSecret } from '@keymeter/contract'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { attemptOf } from './attempt.ts'
import { isExpired } from './expiry.ts'
import { giveSecret } from './give-secret.ts'

/**
 * Replaces the current secret of a key, because the response with the secret was lost. The lost secret ends immediately. The
 * previous secrets are perhaps still in use, so they keep their grace periods.
 *
 * @throws AppError `secret_not_lost` if the secret was saved or used, or if it is no longer the current secret, e.g. because
 *   another tab replaced it. A repeat is not refused for these reasons.
 * @throws AppError `key_expired`.
 * @throws AppError the errors of `giveSecret`.
 */
export async function replaceLostSecret(scope: Scope, input: ReplaceLostSecret): Promise<NewKey> {
  return await giveSecret(scope, input.id, attemptOf('keys.replaceLostSecret', input), (key, now) => {
    if (key.isSecretSaved || key.keyPrefix !== input.keyPrefix) throw new AppError('secret_not_lost')
    if (isExpired(key, now)) throw new AppError('key_expired')
    return { worksUntil: now, action: 'key.secret_replaced' }
  })
}
