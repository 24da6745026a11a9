import type { Key } from '@keymeter/contract'
import type { DB } from '@keymeter/db'
import type { Updateable } from 'kysely'
import { type AuditRecord, recordAudit } from '../audit/record.ts'
import { lockAccount } from '../billing/lock-account.ts'
import { readClock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { getKey } from './get.ts'

/** The entry for the audit log. Null means that nothing changed. */
type KeyChange = Omit<AuditRecord, 'keyId'> | null

/**
 * Changes a key, and adds an entry to the audit log. The account is locked first, so that changes and charges of the account's
 * keys happen one after the other. `change` receives the current key, read under this lock, and the time of the change.
 *
 * @returns The key after the change.
 * @throws AppError `key_not_found` if the id does not exist or belongs to another account.
 * @throws AppError `role_insufficient` if a developer did not create the key, or if the key belongs to no person.
 * @throws AppError `key_revoked` if the key is revoked and `includingRevoked` is false.
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
  const { member } = scope
  const isOwn = key.createdBy?.id === member?.id && !key.isService
  if (member?.access[member.role] === 'own keys' && !isOwn) throw new AppError('role_insufficient', { message: NOT_YOUR_KEY })
  if (key.revokedAt !== null && !includingRevoked) throw new AppError('key_revoked')
  const done = await change(key, now)
  if (done === null) return key
  await recordAudit(scope, { ...done, keyId: key.id })
  return await getKey(scope, id, now)
}

export async function setKey({ db, userId }: Scope, id: string, columns: Updateable<DB['api_keys']>): Promise<void> {
  await db.updateTable('api_keys').set(columns).where('user_id', '=', userId).where('id', '=', id).execute()
}

const NOT_YOUR_KEY = 'Developers change only the keys that they created themselves: ask an owner or an admin.'
