import type { KeyType } from '@keymeter/contract'
import { sql } from 'kysely'
import type { Scope } from '../scope.ts'
import { hashToken, mintToken, tokenPrefix } from './token.ts'

/** Generates a secret for a key of the account, but does not store it. */
export function mintSecret({ userId, keyBrand }: Scope, keyType: KeyType) {
  const secret = mintToken(keyBrand, keyType, userId)
  return { secret, keyPrefix: tokenPrefix(secret), hash: hashToken(secret) }
}

/**
 * Stores `hash` as the hash of the key's current secret. The caller must first end the previous secret with
 * `endCurrentSecret`.
 */
export async function addSecret({ db, userId }: Scope, keyId: string, hash: Buffer, now: Date): Promise<void> {
  await db
    .insertInto('api_key_secrets')
    .values({ user_id: userId, api_key_id: keyId, key_hash: hash, created_at: now })
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
