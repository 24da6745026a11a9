import type { UsageEventFilters } from '@keymeter/contract'
import { sql } from 'kysely'
import type { Scope } from '../../scope.ts'
import type { Place } from './cursor.ts'
import { monthOf, ofMonth } from './examined.ts'

/**
 * The search for an older event first reads only this number of earlier months, because Postgres plans a query over few
 * partitions faster.
 */
const NEAR_MONTHS = 3

/** Returns the place where a list without a cursor begins. Returns null if no event is in the range. */
export async function firstPlace(scope: Scope, { from, to }: UsageEventFilters): Promise<Place | null> {
  const account = await scope.db
    .selectFrom('billing_accounts')
    .select(['last_event_sequence as last', 'last_event_at as at'])
    .where('user_id', '=', scope.userId)
    .executeTakeFirst()
  if (account === undefined || account.at === null) return null
  const newest = { before: account.last + 1, at: account.at }
  const place = to !== undefined && new Date(to) <= newest.at ? await placeOfTime(scope, new Date(to)) : newest
  return isWithinRange(place, from) ? place : null
}

/** True if there can be events below the place that were created at `from` or later. */
export function isWithinRange(place: Place | null, from: string | undefined): place is Place {
  return place !== null && (from === undefined || place.at >= new Date(from))
}

/**
 * Returns a place above all events that were created before `time`. The place is at most 1,000 events above the newest of
 * these events. The query finds it by `api_key_usage_milestone_idx`, which contains every thousandth event, or by the last
 * event of the month.
 */
export async function placeOfTime(scope: Scope, time: Date): Promise<Place | null> {
  const at = new Date(time.getTime() - 1)
  const month = ofMonth(scope, { before: Number.MAX_SAFE_INTEGER, at })
  const { rows } = await sql<{ before: number | null }>`
    select coalesce((select sequence from (${month} and sequence % 1000 = 0 and created_at >= ${time}) as events
                      order by created_at, sequence limit 1),
                    (select sequence + 1 from (${month}) as events order by sequence desc limit 1)) as before`.execute(scope.db)
  const before = rows[0]?.before ?? null
  return before === null ? await placeInEarlierMonth(scope, { before: 0, at }, undefined) : { before, at }
}

/**
 * Returns the place of the account's newest event before the month of `at`. Returns null if no such event exists, if it was
 * dropped, or if it was created before `from`.
 */
export async function placeInEarlierMonth(
  { db, userId }: Scope,
  { at }: Place,
  from: string | undefined,
): Promise<Place | null> {
  const { start } = monthOf(at)
  if (from !== undefined && start <= new Date(from)) return null
  const near = new Date(Date.UTC(start.getUTCFullYear(), start.getUTCMonth() - NEAR_MONTHS))
  for (const since of [near, null]) {
    const { rows } = await sql<{ sequence: number; created_at: Date }>`
      select sequence, created_at from api_key_usage
       where user_id = ${userId} and created_at < ${start} ${since === null ? sql`` : sql`and created_at >= ${since}`}
       order by sequence desc limit 1`.execute(db)
    const [newest] = rows
    if (newest !== undefined) {
      const place = { before: newest.sequence + 1, at: newest.created_at }
      return isWithinRange(place, from) ? place : null
    }
  }
  return null
}

/**
 * Returns the lowest sequence that a list has to read in the month of `at`. Normally this is the first sequence of the month.
 * If `from` is in this month, the list skips older events: the result is the sequence after the last event before `from` in
 * `api_key_usage_milestone_idx`. This index contains every thousandth event.
 */
export async function firstSequenceOfMonth(scope: Scope, { at }: Place, from: string | undefined): Promise<number> {
  const month = ofMonth(scope, { before: Number.MAX_SAFE_INTEGER, at })
  const since = new Date(from ?? 0)
  const milestone = sql`
    (select sequence + 1 from (${month} and sequence % 1000 = 0 and created_at < ${since}) as events
      order by created_at desc, sequence desc limit 1)`
  const { rows } = await sql<{ first: number | null }>`
    select coalesce(${since > monthOf(at).start ? milestone : sql`null`},
                    (select sequence from (${month}) as events order by sequence limit 1)) as first`.execute(scope.db)
  return rows[0]?.first ?? Number.MAX_SAFE_INTEGER
}
