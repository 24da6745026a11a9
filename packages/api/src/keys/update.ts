import type { Key, UpdateKey } from '@keymeter/contract'
import type { Scope } from '../scope.ts'
import { changeKey, setKey } from './change.ts'
import { parseExpiry } from './expiry.ts'

/**
 * Changes what the input names of a key: its name, when it expires, what it may spend in a billing cycle.
 *
 * @throws AppError `key_not_found`, `key_revoked`, `bad_request` for an expiry that is not in the future.
 */
export async function updateKey(scope: Scope, { id, ...input }: UpdateKey): Promise<Key> {
  return await changeKey(scope, id, async (key, now) => {
    const wanted = {
      name: input.name ?? key.name,
      // One that stays as it is may have passed.
      expiresAt: input.expiresAt === undefined ? key.expiresAt : (parseExpiry(input.expiresAt, now)?.toISOString() ?? null),
      creditLimit: input.creditLimit === undefined ? key.creditLimit : input.creditLimit,
    }
    const detail: Record<string, { from: string | number | null; to: string | number | null }> = {}
    for (const field of ['name', 'expiresAt', 'creditLimit'] as const) {
      if (wanted[field] !== key[field]) detail[field] = { from: key[field], to: wanted[field] }
    }
    if (Object.keys(detail).length === 0) return null
    await setKey(scope, id, { name: wanted.name, expires_at: wanted.expiresAt, credit_limit: wanted.creditLimit })
    return { action: 'key.updated', detail }
  })
}
