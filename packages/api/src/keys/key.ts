import { type Key, KeyStatus, KeyType, type KeyWithUsage } from '@keymeter/contract'
import { sql } from 'kysely'
import type { Scope } from '../scope.ts'

/**
 * Selects the account's keys, with their status at the time `now`. The caller adds filters and the sort order. The subqueries
 * for the secrets use `api_key_secrets_current_idx` and `api_key_secrets_key_idx`.
 */
export function selectKeys({ db, userId }: Scope, now: Date) {
  return db
    .selectFrom('api_keys as keys')
    .where('keys.user_id', '=', userId)
    .select((eb) => {
      const secrets = eb
        .selectFrom('api_key_secrets as secrets')
        .whereRef('secrets.user_id', '=', 'keys.user_id')
        .whereRef('secrets.api_key_id', '=', 'keys.id')
      return [
        'keys.id as id',
        'keys.name as name',
        currentKeyPrefix.as('keyPrefix'),
        'keys.key_type as keyType',
        'keys.credit_limit as creditLimit',
        'keys.created_at as createdAt',
        'keys.last_used_at as lastUsedAt',
        'keys.expires_at as expiresAt',
        'keys.disabled_at as disabledAt',
        'keys.revoked_at as revokedAt',
        'keys.created_by as creatorId',
        'keys.is_service as isService',
        eb
          .selectFrom('account_members as creators')
          .whereRef('creators.user_id', '=', 'keys.user_id')
          .whereRef('creators.member_id', '=', 'keys.created_by')
          .select('creators.email')
          .as('creatorEmail'),
        keyStatus(now).as('status'),
        // With `exists`, Postgres could read the secrets of all keys that the account ever had, to hash them. It runs a subquery
        // with an aggregate only for the selected keys.
        secrets
          .select((of) => sql<boolean>`${of.fn.countAll()} = 0`.as('isSecretSaved'))
          .where('secrets.valid_until', 'is', null)
          .where('secrets.saved_at', 'is', null)
          .where('secrets.last_used_at', 'is', null)
          .as('isSecretSaved'),
        secrets
          .select((of) => of.fn.max(sql<Date>`least(secrets.valid_until, keys.expires_at)`).as('graceEndsAt'))
          .where('secrets.valid_until', '>', now)
          .where(sql<boolean>`coalesce(keys.expires_at > ${now}, true)`)
          .as('graceEndsAt'),
      ]
    })
}

/** The SQL expression for the key prefix of a key's current secret, for a query that selects from `api_keys as keys`. */
export const currentKeyPrefix = sql<string>`(
  select secrets.key_prefix from api_key_secrets as secrets
   where secrets.user_id = keys.user_id and secrets.api_key_id = keys.id and secrets.valid_until is null)`

/**
 * Selects the account's keys like `selectKeys`, and the credits that each key used in the billing cycle that starts at
 * `cycleStart`. A key without usage has 0 credits. The query finds one row of `usage_by_cycle` for each key by the primary
 * key, so its cost does not depend on the number of usage events.
 */
export function selectKeysWithUsage(scope: Scope, now: Date, cycleStart: Date) {
  return selectKeys(scope, now)
    .leftJoinLateral(
      (eb) =>
        eb
          .selectFrom('usage_by_cycle')
          .whereRef('usage_by_cycle.user_id', '=', 'keys.user_id')
          .whereRef('usage_by_cycle.api_key_id', '=', 'keys.id')
          .where('usage_by_cycle.cycle_start', '=', cycleStart)
          .select((of) => sql<number>`${of.fn.coalesce(of.fn.sum('credits_charged'), sql.lit(0))}::bigint`.as('creditsUsed'))
          .as('usage'),
      (join) => join.onTrue(),
    )
    .select(({ ref }) => ref('usage.creditsUsed').$notNull().as('creditsUsed'))
}

/**
 * Returns the SQL expression for a key's status, for a query that selects from `api_keys as keys`. The expression tests
 * revoked, disabled and expired in the same order as the charge engine.
 */
export function keyStatus(now: Date) {
  return sql<string>`case
    when keys.revoked_at is not null then 'revoked'
    when keys.disabled_at is not null then 'disabled'
    when keys.expires_at <= ${now} then 'expired'
    else 'active' end`
}

export function toKeyWithUsage(row: KeyRow & { creditsUsed: number }): KeyWithUsage {
  return { ...toKey(row), creditsUsed: row.creditsUsed }
}

type KeyRow = Awaited<ReturnType<ReturnType<typeof selectKeys>['executeTakeFirstOrThrow']>>

export function toKey(row: KeyRow): Key {
  return {
    id: row.id,
    name: row.name,
    keyPrefix: row.keyPrefix,
    keyType: KeyType.parse(row.keyType),
    status: KeyStatus.parse(row.status),
    creditLimit: row.creditLimit,
    isSecretSaved: Boolean(row.isSecretSaved),
    createdAt: row.createdAt.toISOString(),
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
    expiresAt: row.expiresAt?.toISOString() ?? null,
    // A revoked or expired key has no grace period, because none of its secrets works.
    graceEndsAt: row.revokedAt === null ? (row.graceEndsAt?.toISOString() ?? null) : null,
    disabledAt: row.disabledAt?.toISOString() ?? null,
    revokedAt: row.revokedAt?.toISOString() ?? null,
    createdBy: row.creatorId === null ? null : { id: row.creatorId, email: row.creatorEmail },
    isService: row.isService,
  }
}
