import { CreateKey, type NewKey } from '@keymeter/contract'
import { ensureAccount } from '../billing/ensure-account.ts'
import type { FreeCreditsDecision } from '../billing/free-credits.ts'
import { createKey } from '../keys/create.ts'
import type { Scope } from '../scope.ts'

const DEFAULT_KEY = CreateKey.parse({ name: 'default' })

/**
 * Creates the account if it does not exist, and the key `default` if the account has never had a key. Returns the key with its
 * secret if this call created it, otherwise null. `ensureAccount` locks the account, so only one of several concurrent calls
 * creates the key.
 */
export async function provision(scope: Scope, freeCredits?: FreeCreditsDecision): Promise<NewKey | null> {
  await ensureAccount(scope, freeCredits)
  const anyKey = await scope.db
    .selectFrom('api_keys')
    .select('id')
    .where('user_id', '=', scope.userId)
    // Order by the columns of `api_keys_created_idx`. Otherwise Postgres may read the whole table if an account has many keys.
    .orderBy('created_at', 'desc')
    .limit(1)
    .executeTakeFirst()
  return anyKey === undefined ? await createKey(scope, DEFAULT_KEY) : null
}
