import type { Key, UpdateKey } from '@keymeter/contract'
import type { Scope } from '../scope.ts'
import { changeKey, setKey } from './change.ts'
import { parseExpiry } from './expiry.ts'

type Fields = { [F in Exclude<keyof UpdateKey, 'id'>]-?: Exclude<UpdateKey[F], undefined> }
type Value = Fields[keyof Fields]
type Changes = Record<string, { from: Value; to: Value }>

/**
 * Changes only the fields of a key that the input contains.
 *
 * @throws AppError `key_not_found`, `key_revoked`.
 * @throws AppError `bad_request` if a new expiry is not in the future.
 */
export async function updateKey(scope: Scope, { id, ...input }: UpdateKey): Promise<Key> {
  return await changeKey(scope, id, async (key, now) => {
    const fields: Fields = {
      name: input.name ?? key.name,
      // Only a new expiry must be in the future, because the current expiry can be in the past.
      expiresAt: input.expiresAt === undefined ? key.expiresAt : (parseExpiry(input.expiresAt, now)?.toISOString() ?? null),
      creditLimit: input.creditLimit === undefined ? key.creditLimit : input.creditLimit,
    }
    const detail = changesOf<keyof Fields>(key, fields)
    if (Object.keys(detail).length === 0) return null
    const { name, expiresAt, creditLimit, ...unhandled } = fields
    unhandled satisfies Record<string, never>
    await setKey(scope, id, { name, expires_at: expiresAt, credit_limit: creditLimit })
    return { action: 'key.updated', detail }
  })
}

function changesOf<Field extends string>(from: Record<Field, Value>, to: Record<Field, Value>): Changes {
  const changes: Changes = {}
  for (const field in to) if (from[field] !== to[field]) changes[field] = { from: from[field], to: to[field] }
  return changes
}
