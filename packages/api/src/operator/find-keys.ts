import { type FindKeyBySecret, type FindKeysByPrefix, type FoundKey, KEYS_FOUND_MAX } from '@keymeter/contract'
import type { DB } from '@keymeter/db'
import { type RawBuilder, sql, type Transaction } from 'kysely'
import { readClock } from '../clock.ts'
import { selectKeys, toKey } from '../keys/key.ts'
import { hashToken, parseToken } from '../keys/token.ts'
import type { Scope } from '../scope.ts'
import { addressOfAccount } from './address-of-account.ts'

/** What is wrong with a text that should be a secret. It contains no part of the text. */
export type SecretFault = 'not_a_secret' | 'wrong_checksum' | 'other_brand' | 'unknown'

/**
 * Finds the keys of all accounts that have, or had, this secret or a secret with this key prefix. Several keys can have the same key
 * prefix. Secrets of revoked keys, and secrets that were rotated away, are found too. `db` must be a transaction of the database's
 * owner.
 *
 * A secret contains the id of its account, so it is found by the primary key. A key prefix is found by `api_key_secrets_prefix_idx`.
 *
 * @param scopeOf returns the scope of one account in the same transaction.
 * @param keyBrand is the brand of this deployment.
 * @returns `fault` explains why a secret was not found. It is null for a key prefix.
 */
export async function findKeys(
  db: Transaction<DB>,
  scopeOf: (accountId: string) => Scope,
  wanted: FindKeysByPrefix | FindKeyBySecret,
  keyBrand: string,
): Promise<{ keys: FoundKey[]; hasMore: boolean; fault: SecretFault | null }> {
  if ('keyPrefix' in wanted) {
    const rows = await selectSecrets(db, sql`secrets.key_prefix = ${wanted.keyPrefix}`)
    return { keys: await describe(scopeOf, rows.slice(0, KEYS_FOUND_MAX)), hasMore: rows.length > KEYS_FOUND_MAX, fault: null }
  }
  const { secret } = wanted
  const none = (fault: SecretFault) => ({ keys: [], hasMore: false, fault })
  const brand = /^([a-z][a-z0-9]{0,15})_(?:dev|prod)_[0-9A-Za-z]{55}$/.exec(secret)?.[1]
  if (brand === undefined) return none('not_a_secret')
  const token = parseToken(brand, secret)
  if (token === null) return none('wrong_checksum')
  const rows = await selectSecrets(db, sql`secrets.user_id = ${token.userId} and secrets.key_hash = ${hashToken(secret)}`)
  if (rows.length === 0) return none(brand === keyBrand ? 'unknown' : 'other_brand')
  return { keys: await describe(scopeOf, rows), hasMore: false, fault: null }
}

interface Row {
  accountId: string
  email: string | null
  keyId: string
  secretPrefix: string
  createdAt: Date
  validUntil: Date | null
  lastUsedAt: Date | null
}

async function selectSecrets(db: Transaction<DB>, condition: RawBuilder<boolean>): Promise<Row[]> {
  const { rows } = await sql<Row>`
    select secrets.user_id as "accountId", ${addressOfAccount(sql`secrets.user_id`)} as email,
           secrets.api_key_id as "keyId", secrets.key_prefix as "secretPrefix", secrets.created_at as "createdAt",
           secrets.valid_until as "validUntil", secrets.last_used_at as "lastUsedAt"
      from api_key_secrets as secrets where ${condition}
     order by secrets.user_id, secrets.api_key_id, secrets.created_at desc limit ${KEYS_FOUND_MAX + 1}`.execute(db)
  return rows
}

async function describe(scopeOf: (accountId: string) => Scope, rows: Row[]): Promise<FoundKey[]> {
  const found: FoundKey[] = []
  for (const { accountId, email, keyId, secretPrefix, createdAt, validUntil, lastUsedAt } of rows) {
    const scope = scopeOf(accountId)
    const now = await readClock(scope)
    const key = toKey(await selectKeys(scope, now).where('keys.id', '=', keyId).executeTakeFirstOrThrow())
    found.push({
      accountId,
      email,
      key,
      secret: {
        keyPrefix: secretPrefix,
        state: validUntil === null ? 'current' : validUntil > now ? 'previous' : 'ended',
        validUntil: validUntil?.toISOString() ?? null,
        isWorking: key.status === 'active' && (validUntil === null || validUntil > now),
        createdAt: createdAt.toISOString(),
        lastUsedAt: lastUsedAt?.toISOString() ?? null,
      },
    })
  }
  return found
}
