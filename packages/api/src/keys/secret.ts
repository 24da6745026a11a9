import type { KeyType } from '@keymeter/contract'
import type { Scope } from '../scope.ts'
import { hashToken, mintToken, tokenPrefix } from './token.ts'

/** Makes a secret for one of the account's keys. Nothing is stored yet. */
export function mintSecret({ userId, keyBrand }: Scope, keyType: KeyType) {
  const secret = mintToken(keyBrand, keyType, userId)
  return { secret, keyPrefix: tokenPrefix(secret), hash: hashToken(secret) }
}

/** Stores `hash` as the key's current secret. The one before must have been ended. */
export async function addSecret({ db, userId }: Scope, keyId: string, hash: Buffer, now: Date): Promise<void> {
  await db
    .insertInto('api_key_secrets')
    .values({ user_id: userId, api_key_id: keyId, key_hash: hash, created_at: now })
    .execute()
}

/** Lets the key's current secret work until `until`, exclusive. */
export async function endCurrentSecret({ db, userId }: Scope, keyId: string, until: Date): Promise<void> {
  await db
    .updateTable('api_key_secrets')
    .set({ valid_until: until })
    .where('user_id', '=', userId)
    .where('api_key_id', '=', keyId)
    .where('valid_until', 'is', null)
    .execute()
}

/** Ends what still works of the key's older secrets. */
export async function endOlderSecrets({ db, userId }: Scope, keyId: string, now: Date): Promise<void> {
  await db
    .updateTable('api_key_secrets')
    .set({ valid_until: now })
    .where('user_id', '=', userId)
    .where('api_key_id', '=', keyId)
    .where('valid_until', '>', now)
    .execute()
}
