import type { NewKey } from '@keymeter/contract'
import { ensureAccount } from '../billing/ensure-account.ts'
import { createKey } from '../keys/create.ts'
import type { Scope } from '../scope.ts'

const DEFAULT_KEY = { name: 'default', keyType: 'dev', expiresAt: null, creditLimit: null } as const

/**
 * Makes sure that the account exists and has had a key. Answers the `default` key, with its secret, in the one call
 * that makes it; null in every other. An account that ever had a key, a revoked one too, gets none. The account's row
 * is locked while looking, so that of any number of calls at once exactly one makes the key.
 */
export async function provision(scope: Scope): Promise<NewKey | null> {
  await ensureAccount(scope)
  const anyKey = await scope.db
    .selectFrom('api_keys')
    .select('id')
    .where('user_id', '=', scope.userId)
    // An order that an index has, or Postgres may read the whole table for an account with many keys.
    .orderBy('created_at', 'desc')
    .limit(1)
    .executeTakeFirst()
  return anyKey === undefined ? await createKey(scope, DEFAULT_KEY) : null
}
