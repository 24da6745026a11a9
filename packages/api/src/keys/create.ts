import type { CreateKey, NewKey } from '@keymeter/contract'
import type { Scope } from '../scope.ts'
import { KEY_COLUMNS, toKey } from './key.ts'
import { hashToken, mintToken, tokenPrefix } from './token.ts'

/** Creates a key of an account that exists. Its secret is in the answer and nowhere else: only the hash is stored. */
export async function createKey({ db, userId, keyBrand }: Scope, { name, keyType }: CreateKey): Promise<NewKey> {
  const secret = mintToken(keyBrand, keyType, userId)
  const row = await db
    .insertInto('api_keys')
    .values({ user_id: userId, name, key_type: keyType, key_prefix: tokenPrefix(secret), key_hash: hashToken(secret) })
    .returning(KEY_COLUMNS)
    .executeTakeFirstOrThrow()
  const { lastUsedAt: _, ...key } = toKey(row)
  return { ...key, secret }
}
