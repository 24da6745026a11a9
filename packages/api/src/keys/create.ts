import { type CreateKey, KEYS_LIVE_MAX, type NewKey } from '@keymeter/contract'
import { sql } from 'kysely'
import { recordAudit } from '../audit/record.ts'
import { ensureAccount } from '../billing/ensure-account.ts'
import type { FreeCreditsDecision } from '../billing/free-credits.ts'
import { readClock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { attemptOf, findEarlierAttempt } from './attempt.ts'
import { parseExpiry } from './expiry.ts'
import { getKey } from './get.ts'
import { repeatSecret } from './give-secret.ts'
import { addSecret, mintSecret } from './secret.ts'

/**
 * Creates a key, and the account if it does not exist yet. Only this response contains the secret, because the database stores
 * only its hash. The live keys are counted under the account's lock, so concurrent calls cannot exceed the limit.
 *
 * A repeat returns the key of the first attempt with another secret. It does not check the input again: the key exists, and it
 * has perhaps been changed since.
 *
 * @throws AppError `key_limit_reached`, and `role_insufficient` if a developer creates a key that belongs to no person.
 * @throws AppError `bad_request` if the expiry is not in the future.
 * @throws AppError `idempotency_key_reused`, and for a repeat the errors of `repeatSecret`.
 */
export async function createKey(scope: Scope, input: CreateKey, freeCredits?: FreeCreditsDecision): Promise<NewKey> {
  const { name, keyType, expiresAt, creditLimit, isService, idempotencyKey: _, ...unhandled } = input
  unhandled satisfies Record<string, never>
  const { db, userId, member } = scope
  await ensureAccount(scope, freeCredits)
  if (isService && member !== null && member.access[member.role] === 'own keys') throw new AppError('role_insufficient')
  const attempt = attemptOf('keys.create', input)
  const earlier = await findEarlierAttempt(scope, attempt)
  if (attempt !== null && earlier !== null) return await repeatSecret(scope, attempt, earlier)
  const now = await readClock(scope)
  const expiry = parseExpiry(expiresAt, now)
  const { live } = await db
    .selectFrom('api_keys')
    .select((eb) => eb.fn.countAll<number>().as('live'))
    .where('user_id', '=', userId)
    .where('revoked_at', 'is', null)
    .executeTakeFirstOrThrow()
  if (live >= KEYS_LIVE_MAX) throw new AppError('key_limit_reached')

  const minted = mintSecret(scope, keyType)
  const { id } = await db
    .insertInto('api_keys')
    .values({
      user_id: userId,
      name,
      key_type: keyType,
      expires_at: expiry,
      credit_limit: creditLimit,
      created_by: member?.id ?? null,
      is_service: isService,
      // The creation time of the new key must be later than that of every other key of the account. Otherwise the new key could
      // appear in the middle of a list that is sorted by time.
      created_at: sql<Date>`greatest(${now}::timestamptz,
        (select max(created_at) + interval '1 microsecond' from api_keys where user_id = ${userId}))`,
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  await addSecret(scope, id, minted, attempt, now)
  const detail = {
    name,
    keyType,
    keyPrefix: minted.keyPrefix,
    expiresAt: expiry?.toISOString() ?? null,
    creditLimit,
    isService,
  }
  await recordAudit(scope, { action: 'key.created', keyId: id, detail })
  return { ...(await getKey(scope, id, now)), secret: minted.secret }
}
