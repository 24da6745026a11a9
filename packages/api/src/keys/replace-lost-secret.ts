import type { NewKey, ReplaceLostSecret } from '@keymeter/contract'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { changeKey, setKey } from './change.ts'
import { addSecret, endCurrentSecret, mintSecret } from './secret.ts'

/**
 * Makes a new secret in place of one whose answer never arrived. The lost one ends at once; a secret before it, which may
 * be what calls are made with, keeps its grace period.
 *
 * @throws AppError `secret_not_lost` when somebody has the secret after all, or it is not the current one any more: another
 *   tab may have been faster.
 * @throws AppError `key_not_found`, `key_revoked`.
 */
export async function replaceLostSecret(scope: Scope, { id, keyPrefix }: ReplaceLostSecret): Promise<NewKey> {
  let secret = ''
  const key = await changeKey(scope, id, async ({ keyType, keyPrefix: replaced, isSecretSaved }, now) => {
    if (isSecretSaved || replaced !== keyPrefix) throw new AppError('secret_not_lost')
    const minted = mintSecret(scope, keyType)
    await endCurrentSecret(scope, id, now)
    await addSecret(scope, id, minted.hash, now)
    await setKey(scope, id, { key_prefix: minted.keyPrefix })
    secret = minted.secret
    return { action: 'key.secret_replaced', detail: { keyPrefix: { from: replaced, to: minted.keyPrefix } } }
  })
  return { ...key, secret }
}
