import type { UsageEventFilters } from '@keymeter/contract'
import { type RawBuilder, type SqlBool, sql } from 'kysely'
import type { Scope } from '../../scope.ts'
import type { Place } from './cursor.ts'

/** The maximum number of events that one read of `newestOfMonth` examines. */
const EXAMINED_MAX = 3_000
/**
 * The maximum number of events that one read of `uncountedOfMonth` examines. It is smaller than `EXAMINED_MAX`, because
 * uncounted events lie far apart in the table.
 */
export const UNCOUNTED_EXAMINED_MAX = 600

/**
 * Selects the account's events in the month of `at` whose sequence is below `before`. The query reads one partition by its
 * primary key.
 */
export function ofMonth({ userId }: Scope, { before, at }: Place): RawBuilder<unknown> {
  const { start, end } = monthOf(at)
  return sql`
    select * from api_key_usage
     where user_id = ${userId} and created_at >= ${start} and created_at < ${end} and sequence < ${before}`
}

/** Selects the newest events of `ofMonth`, as many as one read may examine. */
export function newestOfMonth(scope: Scope, place: Place): RawBuilder<unknown> {
  return sql`${ofMonth(scope, place)} and sequence > ${oldestExamined(place) - 1}`
}

/** Returns the lowest sequence that `newestOfMonth` can contain. Sequences have no gaps. */
export function oldestExamined({ before }: Place): number {
  return before - EXAMINED_MAX
}

/**
 * Selects the newest uncounted events of the month: all events except charges with the verdict `charged`. The query uses
 * `api_key_usage_uncounted_idx`.
 */
export function uncountedOfMonth(scope: Scope, place: Place): RawBuilder<unknown> {
  return sql`
    ${ofMonth(scope, place)} and (verdict <> 'charged' or action <> 'charge')
     order by sequence desc limit ${sql.lit(UNCOUNTED_EXAMINED_MAX)}`
}

/**
 * Selects the account's events with this idempotency key in all months. There is at most one such event in 35 days. The query
 * uses `api_key_usage_idempotency_idx`.
 */
export function byIdempotencyKey({ userId }: Scope, { before }: Place, idempotencyKey: string): RawBuilder<unknown> {
  return sql`
    select * from api_key_usage where user_id = ${userId} and sequence < ${before} and idempotency_key = ${idempotencyKey}`
}

/** Returns the UTC month that contains `time`. Each partition of the usage events contains one UTC month. */
export function monthOf(time: Date): { start: Date; end: Date } {
  const [year, month] = [time.getUTCFullYear(), time.getUTCMonth()]
  return { start: new Date(Date.UTC(year, month)), end: new Date(Date.UTC(year, month + 1)) }
}

export function matches(filters: UsageEventFilters): RawBuilder<SqlBool> {
  const { keyId, operation, verdicts, action, from, to, idempotencyKey } = filters
  const conditions = [
    keyId !== undefined && sql`api_key_id = ${keyId}`,
    operation !== undefined && sql`operation = ${operation}`,
    verdicts !== undefined && sql`verdict = any(${verdicts}::text[])`,
    action !== undefined && sql`action = ${action}`,
    from !== undefined && sql`created_at >= ${new Date(from)}`,
    to !== undefined && sql`created_at < ${new Date(to)}`,
    idempotencyKey !== undefined && sql`idempotency_key = ${idempotencyKey}`,
  ]
  return sql<SqlBool>`(${sql.join([sql`true`, ...conditions.filter((condition) => condition !== false)], sql` and `)})`
}

export function mayBeCounted({ verdicts, action = 'charge' }: UsageEventFilters): boolean {
  return (verdicts === undefined || verdicts.includes('charged')) && action === 'charge'
}

export function mayBeUncounted({ verdicts, action }: UsageEventFilters): boolean {
  return action !== 'charge' || verdicts?.every((verdict) => verdict === 'charged') !== true
}
