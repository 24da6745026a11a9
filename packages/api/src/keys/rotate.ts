import type { NewKey, RotateKey } from '@keymeter/contract'
import type { Scope } from '../scope.ts'
import { changeKey, setKey } from './change.ts'
import { addSecret, endCurrentSecret, endOlderSecrets, mintSecret } from './secret.ts'

/**
 * Gives a key a new secret. The key keeps its id, name, limits and usage. The previous secret still works for `graceSeconds`.
 * If an even older secret is still in its grace period, that secret ends immediately. So at most two secrets of a key work.
 *
 * @throws AppError `key_not_found`, `key_revoked`.
 */
export async function rotateKey(scope: Scope, { id, graceSeconds }: RotateKey): Promise<NewKey> {
  let secret = ''
  const key = await changeKey(scope, id, async ({ keyType, keyPrefix: previous }, now) => {
    const minted = mintSecret(scope, keyType)
    await endOlderSecrets(scope, id, now)
    await endCurrentSecret(scope, id, new Date(now.getTime() + graceSeconds * 1000))
    await addSecret(scope, id, minted.hash, now)
    await setKey(scope, id, { key_prefix: minted.keyPrefix })
    secret = minted.secret
    return { action: 'key.rotated', detail: { graceSeconds, keyPrefix: { from: previous, to: minted.keyPrefix } } }
  })
  return { ...key, secret }
}
