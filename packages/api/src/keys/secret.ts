import type { KeyType } from '@keymeter/contract'
import { sql } from 'kysely'
import type { Scope } from '../scope.ts'
import type { Attempt } from './attempt.ts'
import { hashToken, mintToken, tokenPrefix } from './token.ts'

/** A new secret. The database stores only its key prefix and its hash. */
interface MintedSecret {
  secret: string
  keyPrefix: string
  hash: Buffer
}

/** Generates a secret for a key of the account, but does not store it. */
export function mintSecret({ userId, keyBrand }: Scope, keyType: KeyType): MintedSecret {
  const secret = mintToken(keyBrand, keyType, userId)
  return { secret, keyPrefix: tokenPrefix(secret), hash: hashToken(secret) }
}

/**
 * Stores the key's current secret. The caller must first end the previous secret with `endCurrentSecret`. `attempt` is the call
 * that creates the secret, and is null if it has no idempotency key.
 */
export async function addSecret(
  { db, userId }: Scope,
  keyId: string,
  { hash, keyPrefix }: MintedSecret,
  attempt: Attempt | null,
  now: Date,
): Promise<void> {
  await db
    .insertInto('api_key_secrets')
    .values({
      user_id: userId,
      api_key_id: keyId,
      key_hash: hash,
      key_prefix: keyPrefix,
      idempotency_key: attempt?.idempotencyKey ?? null,
      request_hash: attempt?.requestHash ?? null,
      created_at: now,
    })
    .execute()
}

/** Turns the key's current secret into a previous secret, which works until `until` (exclusive), for at most 7 days. */
export async function endCurrentSecret({ db }: Scope, keyId: string, until: Date): Promise<void> {
  await sql`select keymeter.end_secret(${keyId}, true, ${until})`.execute(db)
}

/** Ends all previous secrets of the key that still work. The current secret continues to work. */
export async function endOlderSecrets({ db }: Scope, keyId: string, now: Date): Promise<void> {
  await sql`select keymeter.end_secret(${keyId}, false, ${now})`.execute(db)
}

/**
 * Returns how many previous secrets of the key are in their grace periods, and when the last of these grace periods ends
 * (`api_key_secrets_key_idx`). A key has few of them, and any number of secrets that have ended.
 */
export async function readPreviousSecrets(
  { db, userId }: Scope,
  keyId: string,
  now: Date,
): Promise<{ count: number; lastEnd: Date | null }> {
  return await db
    .selectFrom('api_key_secrets')
    .select(({ fn }) => [fn.countAll<number>().as('count'), fn.max('valid_until').as('lastEnd')])
    .where('user_id', '=', userId)
    .where('api_key_id', '=', keyId)
    .where('valid_until', '>', now)
    .executeTakeFirstOrThrow()
}
