import type { Key } from '@keymeter/contract'
import type { DB } from '@keymeter/db'
import type { Updateable } from 'kysely'
import { type AuditRecord, recordAudit } from '../audit/record.ts'
import { lockAccount } from '../billing/lock-account.ts'
import { readClock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { getKey } from './get.ts'

/** The entry for the audit log. Null when there was nothing to change. */
type KeyChange = Omit<AuditRecord, 'keyId'> | null

/**
 * Changes a key, and adds an entry to the audit log. The account is locked first, so that changes and charges of its keys
 * happen one after the other. `change` receives the locked key and the moment of the change.
 *
 * @returns the key after the change.
 * @throws AppError `key_not_found` for an id that does not exist or belongs to another account; `key_revoked`, unless
 * `includingRevoked`.
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

export async function setKey({ db, userId }: Scope, id: string, columns: Updateable<DB['api_keys']>): Promise<void> {
  await db.updateTable('api_keys').set(columns).where('user_id', '=', userId).where('id', '=', id).execute()
}
