import type { KeyType } from '@keymeter/contract'
import type { Scope } from '../scope.ts'
import { hashToken, mintToken, tokenPrefix } from './token.ts'

/** Generates a secret for a key of the account. Stores nothing. */
export function mintSecret({ userId, keyBrand }: Scope, keyType: KeyType) {
  const secret = mintToken(keyBrand, keyType, userId)
  return { secret, keyPrefix: tokenPrefix(secret), hash: hashToken(secret) }
}

/** Stores `hash` as the key's current secret. The previous secret must already have an end. */
export async function addSecret({ db, userId }: Scope, keyId: string, hash: Buffer, now: Date): Promise<void> {
  await db
    .insertInto('api_key_secrets')
    .values({ user_id: userId, api_key_id: keyId, key_hash: hash, created_at: now })
    .execute()
}

/** Makes the key's current secret an older one, which works until `until` (exclusive). */
export async function endCurrentSecret({ db, userId }: Scope, keyId: string, until: Date): Promise<void> {
  await db
    .updateTable('api_key_secrets')
    .set({ valid_until: until })
    .where('user_id', '=', userId)
    .where('api_key_id', '=', keyId)
    .where('valid_until', 'is', null)
    .execute()
}

/** Ends the older secrets of the key that still work. */
export async function endOlderSecrets({ db, userId }: Scope, keyId: string, now: Date): Promise<void> {
  await db
    .updateTable('api_key_secrets')
    .set({ valid_until: now })
    .where('user_id', '=', userId)
    .where('api_key_id', '=', keyId)
    .where('valid_until', '>', now)
    .execute()
}
