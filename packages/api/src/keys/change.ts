import type { Key } from '@keymeter/contract'
import type { DB } from '@keymeter/db'
import type { Updateable } from 'kysely'
import { type AuditRecord, recordAudit } from '../audit/record.ts'
import { lockAccount } from '../billing/lock-account.ts'
import { readClock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { getKey } from './get.ts'

/** What a change was, for the audit log; null when there was nothing to change. */
type KeyChange = Omit<AuditRecord, 'keyId'> | null

/**
 * One change of a key and its entry in the audit log. The account is locked first, so that changes and charges of its keys
 * happen one after the other; `key` is how it stands then, and `now` the moment of the change.
 *
 * @returns the key as it is afterwards.
 * @throws AppError `key_not_found` for an unknown id and another account's alike; `key_revoked`, unless `includingRevoked`.
 */
export async function changeKey(
  scope: Scope,
  id: string,
  change: (key: Key, now: Date) => Promise<KeyChange>,
  { includingRevoked = false } = {},
): Promise<Key> {
  if (!(await lockAccount(scope))) throw new AppError('key_not_found')
  const now = await readClock(scope)
  const key = await getKey(scope, id, now)
  if (key.revokedAt !== null && !includingRevoked) throw new AppError('key_revoked')
  const done = await change(key, now)
  if (done === null) return key
  await recordAudit(scope, now, { ...done, keyId: key.id })
  return await getKey(scope, id, now)
}

/** Writes columns of the key `id`. */
export async function setKey({ db, userId }: Scope, id: string, columns: Updateable<DB['api_keys']>): Promise<void> {
  await db.updateTable('api_keys').set(columns).where('user_id', '=', userId).where('id', '=', id).execute()
}
