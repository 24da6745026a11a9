import { createHash } from 'node:crypto'
import type { CreateKey, ReplaceLostSecret, RotateKey } from '@keymeter/contract'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'

/** One attempt of a call that creates a secret. Attempts of the same call have equal idempotency keys and equal hashes. */
export interface Attempt {
  /** The procedure, e.g. `keys.rotate`. */
  call: string
  idempotencyKey: string
  /** The SHA-256 hash of the procedure and its parsed input. The input itself is not stored. */
  requestHash: Buffer
}

/** Returns null if the call has no idempotency key. Then it cannot be repeated. */
export function attemptOf(...request: Request): Attempt | null {
  const [call, { idempotencyKey, ...input }] = request
  if (idempotencyKey === null) return null
  // The schemas put the fields of an input in a fixed order, so equal inputs have equal texts. One moment can be written in several
  // ways.
  const writtenOnce = (field: string, value: unknown) =>
    field === 'expiresAt' && typeof value === 'string' ? new Date(value).toISOString() : value
  const requestHash = createHash('sha256')
    .update(JSON.stringify([call, input], writtenOnce))
    .digest()
  return { call, idempotencyKey, requestHash }
}

type Request =
  | [call: 'keys.create', input: CreateKey]
  | [call: 'keys.rotate', input: RotateKey]
  | [call: 'keys.replaceLostSecret', input: ReplaceLostSecret]

/** What an earlier attempt of the same call left. */
export interface EarlierAttempt {
  keyId: string
  /** True if a secret of one of the attempts is the current secret of the key. */
  isCurrent: boolean
}

/**
 * Returns what earlier attempts of the same call left (`api_key_secrets_idempotency_idx`), or null if this is the first attempt.
 * The account must be locked, so that a concurrent attempt has ended.
 *
 * @throws AppError `idempotency_key_reused` if another call, or the same call with another input, has used the idempotency key.
 */
export async function findEarlierAttempt({ db, userId }: Scope, attempt: Attempt | null): Promise<EarlierAttempt | null> {
  if (attempt === null) return null
  const earlier = await db
    .selectFrom('api_key_secrets')
    .select(['api_key_id as keyId', 'request_hash as requestHash', 'valid_until as validUntil'])
    .where('user_id', '=', userId)
    .where('idempotency_key', '=', attempt.idempotencyKey)
    // All attempts of one call have the same key and the same hash. The current secret comes first: it has no end.
    .orderBy('valid_until', (order) => order.desc().nullsFirst())
    .limit(1)
    .executeTakeFirst()
  if (earlier === undefined) return null
  if (!earlier.requestHash?.equals(attempt.requestHash)) throw new AppError('idempotency_key_reused')
  return { keyId: earlier.keyId, isCurrent: earlier.validUntil === null }
}
