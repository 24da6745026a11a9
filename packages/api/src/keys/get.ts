import type { Key, KeyWithUsage } from '@keymeter/contract'
import { currentCycle } from '../billing/current-cycle.ts'
import { readClock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { creditsUsed } from './credits-used.ts'
import { selectKeys, toKey } from './key.ts'

/**
 * One key, whatever its status, with what it used in the current billing cycle.
 *
 * @throws AppError `key_not_found` for an unknown id and another account's alike.
 */
export async function getKeyWithUsage(scope: Scope, id: string): Promise<KeyWithUsage> {
  const key = await getKey(scope, id, await readClock(scope))
  const cycle = await currentCycle(scope)
  const used = cycle === null ? undefined : (await creditsUsed(scope, cycle.start, [id])).get(key.id)
  return { ...key, creditsUsed: used ?? 0 }
}

/**
 * One key as it is at the moment `now`.
 *
 * @throws AppError `key_not_found` for an unknown id and another account's alike.
 */
export async function getKey(scope: Scope, id: string, now: Date): Promise<Key> {
  const row = await selectKeys(scope, now)
    .where('keys.id', '=', id)
    .executeTakeFirstOrThrow(() => new AppError('key_not_found'))
  return toKey(row)
}
