import type { Key, RevokeKey } from '@keymeter/contract'
import { sql } from 'kysely'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { KEY_COLUMNS, toKey } from './key.ts'

/**
 * Revokes a key: for good, and the moment of the first time stays. One atomic statement, found by the primary key.
 *
 * @throws AppError `key_not_found` for an unknown id and another account's alike.
 */
export async function revokeKey({ db, userId }: Scope, { id }: RevokeKey): Promise<Key & { revokedAt: string }> {
  const row = await db
    .updateTable('api_keys')
    .set((eb) => ({ revoked_at: eb.fn.coalesce('revoked_at', sql<Date>`now()`) }))
    .where('user_id', '=', userId)
    .where('id', '=', id)
    .returning([...KEY_COLUMNS, 'api_keys.revoked_at as revokedAt'])
    .executeTakeFirstOrThrow(() => new AppError('key_not_found'))
  if (row.revokedAt === null) throw new Error('a key that was just revoked has no time of it')
  return { ...toKey(row), revokedAt: row.revokedAt.toISOString() }
}
