import type { NewKey, ReplaceLostSecret } from '@keymeter/contract'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { changeKey, setKey } from './change.ts'
import { addSecret, endCurrentSecret, mintSecret } from './secret.ts'

/**
 * Replaces the current secret of a key, because the response with the secret was lost. The lost secret ends immediately. The
 * previous secret is perhaps still in use, so it keeps its grace period.
 *
 * @throws AppError `secret_not_lost` if the secret was saved or used, or if it is no longer the current secret, e.g. because
 *   another tab replaced it.
 * @throws AppError `key_not_found`, `key_revoked`.
 */
export async function replaceLostSecret(scope: Scope, { id, keyPrefix }: ReplaceLostSecret): Promise<NewKey> {
  let secret = ''
  const key = await changeKey(scope, id, async ({ keyType, keyPrefix: previous, isSecretSaved }, now) => {
    if (isSecretSaved || previous !== keyPrefix) throw new AppError('secret_not_lost')
    const minted = mintSecret(scope, keyType)
    await endCurrentSecret(scope, id, now)
    await addSecret(scope, id, minted.hash, now)
    await setKey(scope, id, { key_prefix: minted.keyPrefix })
    secret = minted.secret
    return { action: 'key.secret_replaced', detail: { keyPrefix: { from: previous, to: minted.keyPrefix } } }
  })
  return { ...key, secret }
}
