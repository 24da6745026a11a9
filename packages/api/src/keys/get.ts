import type { Key, KeyWithUsage } from '@keymeter/contract'
import { getCycle } from '../billing/cycle.ts'
import { readClock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { selectKeys, selectKeysWithUsage, toKey, toKeyWithUsage } from './key.ts'

/**
 * Returns one key with any status, and the credits that it used in the current billing cycle.
 *
 * @throws AppError `key_not_found` if the account has no key with this id.
 */
export async function getKeyWithUsage(scope: Scope, id: string): Promise<KeyWithUsage> {
  const cycle = await getCycle(scope)
  if (cycle === null) throw new AppError('key_not_found')
  const row = await selectKeysWithUsage(scope, await readClock(scope), cycle.start)
    .where('keys.id', '=', id)
    .executeTakeFirstOrThrow(() => new AppError('key_not_found'))
  return toKeyWithUsage(row)
}

/**
 * Returns one key, with its status at the time `now`.
 *
 * @throws AppError `key_not_found` if the account has no key with this id.
 */
export async function getKey(scope: Scope, id: string, now: Date): Promise<Key> {
  const row = await selectKeys(scope, now)
    .where('keys.id', '=', id)
    .executeTakeFirstOrThrow(() => new AppError('key_not_found'))
  return toKey(row)
}
