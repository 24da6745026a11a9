import { GRACE_SECONDS_DEFAULT, type Key, type NewKey, SECRETS_WORKING_MAX } from '@keymeter/contract'
import type { AuditRecord } from '../audit/record.ts'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { type Attempt, type EarlierAttempt, findEarlierAttempt } from './attempt.ts'
import { changeKey } from './change.ts'
import { isExpired } from './expiry.ts'
import { addSecret, endCurrentSecret, mintSecret, readPreviousSecrets } from './secret.ts'

/** What happens to the secret that is replaced, and the entry for the audit log. */
interface Replacement extends Pick<AuditRecord, 'action' | 'detail'> {
  /** The time until which the replaced secret still works (exclusive). */
  worksUntil: Date
}
type Decide = (key: Key, now: Date) => Replacement | Promise<Replacement>

/**
 * Gives a key another secret. `decide` decides only about the first attempt of a call. If it throws, nothing changes. A repeat
 * of the call is `repeatSecret`.
 *
 * @throws AppError `idempotency_key_reused`, and the errors of `repeatSecret`.
 */
export async function giveSecret(scope: Scope, id: string, attempt: Attempt | null, decide: Decide): Promise<NewKey> {
  return await replaceSecret(scope, id, attempt, async (key, now) => {
    const earlier = await findEarlierAttempt(scope, attempt)
    return attempt === null || earlier === null ? await decide(key, now) : decideRepeat(key, now, attempt, earlier)
  })
}

/**
 * Gives a key one more secret, because a call that gave it a secret is repeated. The client perhaps received the secret of an
 * earlier attempt, so this secret works for another 24 hours, and every previous secret keeps its grace period.
 *
 * @throws AppError `key_not_found`, `key_revoked`.
 * @throws AppError `secret_changed` if another call has given the key its current secret since. This secret is perhaps in use, and
 *   a repeat must not end it.
 * @throws AppError `key_expired` if the key has expired since the first attempt.
 * @throws AppError `too_many_secrets` if more than `SECRETS_WORKING_MAX` secrets of the key would work.
 */
export async function repeatSecret(scope: Scope, attempt: Attempt, earlier: EarlierAttempt): Promise<NewKey> {
  return await replaceSecret(scope, earlier.keyId, attempt, (key, now) => decideRepeat(key, now, attempt, earlier))
}

function decideRepeat(key: Key, now: Date, { call }: Attempt, { isCurrent }: EarlierAttempt): Replacement {
  if (!isCurrent) throw new AppError('secret_changed')
  if (isExpired(key, now)) throw new AppError('key_expired')
  return {
    worksUntil: new Date(now.getTime() + GRACE_SECONDS_DEFAULT * 1000),
    action: 'key.secret_repeated',
    detail: { call, graceSeconds: GRACE_SECONDS_DEFAULT },
  }
}

async function replaceSecret(scope: Scope, id: string, attempt: Attempt | null, decide: Decide): Promise<NewKey> {
  let secret = ''
  const key = await changeKey(scope, id, async (key, now) => {
    const { worksUntil, action, detail } = await decide(key, now)
    await endCurrentSecret(scope, id, worksUntil)
    // The new secret works too.
    if ((await readPreviousSecrets(scope, id, now)).count >= SECRETS_WORKING_MAX) throw new AppError('too_many_secrets')
    const minted = mintSecret(scope, key.keyType)
    await addSecret(scope, id, minted, attempt, now)
    secret = minted.secret
    return { action, detail: { ...detail, keyPrefix: { from: key.keyPrefix, to: minted.keyPrefix } } }
  })
  return { ...key, secret }
}
