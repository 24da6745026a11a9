import type { UsageEventFilters } from '@keymeter/contract'
import { sql } from 'kysely'
import type { Scope } from '../../scope.ts'
import type { Place } from './cursor.ts'
import { matches, mayBeUncounted, ofMonth, oldestExamined, UNCOUNTED_EXAMINED_MAX, uncountedOfMonth } from './examined.ts'
import { firstSequenceOfMonth, isWithinRange, placeInEarlierMonth, placeOfTime } from './place.ts'

/**
 * Returns the place where a list continues after a read of `newestOfMonth`: below the examined events, or in an earlier month.
 * With a filter by key or operation, the place skips events that cannot match. Returns null if no matching event is left.
 */
export async function nextAfterExamined(scope: Scope, place: Place, filters: UsageEventFilters): Promise<Place | null> {
  const { from, keyId, operation } = filters
  const below = { before: oldestExamined(place), at: place.at }
  const isMonthLeft = below.before > (await firstSequenceOfMonth(scope, place, from))
  const isSkipping = keyId !== undefined || operation !== undefined
  if (isMonthLeft && !isSkipping) return below
  const next = isMonthLeft ? await lowerTime(scope, below) : await placeInEarlierMonth(scope, place, from)
  if (next === null || !isSkipping) return next
  // Check the charge and the uncounted event against `from` separately. Otherwise a charge before `from` could hide a refusal
  // after `from`.
  const withinRange = (found: Place | null) => (isWithinRange(found, from) ? found : null)
  const charge = withinRange(await newestChargeBelow(scope, next, filters))
  const uncounted = mayBeUncounted(filters) ? withinRange(await newestUncountedBelow(scope, next, filters)) : null
  return charge !== null && (uncounted === null || charge.before > uncounted.before) ? charge : uncounted
}

/** Returns the place where a list continues after a read of `uncountedOfMonth`. Returns null if no event is left. */
export async function nextAfterUncounted(scope: Scope, place: Place, { from }: UsageEventFilters): Promise<Place | null> {
  const { rows } = await sql<{ last: number | null }>`
    select case when count(*) = ${sql.lit(UNCOUNTED_EXAMINED_MAX)} then min(sequence) end as last
      from (${uncountedOfMonth(scope, place)}) as events`.execute(scope.db)
  const last = rows[0]?.last ?? null
  if (last === null) return await placeInEarlierMonth(scope, place, from)
  return last > (await firstSequenceOfMonth(scope, place, from)) ? { before: last, at: place.at } : null
}

/**
 * Returns `place` with the time of the newest event below `place`. The given time is the time of an event that was already
 * examined. With that time, `newestChargeBelow` could find the 15-minute bucket of the examined events again, and the list
 * would skip nothing.
 */
async function lowerTime(scope: Scope, place: Place): Promise<Place> {
  const { rows } = await sql<{ at: Date }>`
    select created_at as at from (${ofMonth(scope, place)}) as events order by sequence desc limit 1`.execute(scope.db)
  return { ...place, at: rows[0]?.at ?? place.at }
}

/**
 * Returns a place above the newest charge below `place` that has the key and the operation of the filters. Returns null if
 * there is no such charge.
 *
 * The query finds the 15-minute bucket of this charge in `usage_by_quarter_hour`. It makes one look-up for each operation of
 * the key, or one for each key of the operation. To make few look-ups, the query reads few cycles. For a key, it reads the two
 * newest cycles in which the key was used. All usage in the newest cycle can be after `place`, but all usage in the other cycle
 * is before `place`. For an operation of any key, the query reads one cycle. If it finds no bucket in these cycles, the list
 * continues at their start.
 */
async function newestChargeBelow(scope: Scope, place: Place, { keyId, operation }: UsageEventFilters): Promise<Place | null> {
  const { db, userId } = scope
  const isKey = keyId === undefined ? sql`true` : sql`used.api_key_id = ${keyId}`
  const isOperation = operation === undefined ? sql`true` : sql`labels.operation = ${operation}`
  const cyclesMax = sql.lit(keyId === undefined ? 1 : 2)
  const { rows } = await sql<{ end: Date | null }>`
    with cycles as (
      select distinct cycle_start from usage_by_cycle as used
       where user_id = ${userId} and ${isKey} and cycle_start <= ${place.at} order by cycle_start desc limit ${cyclesMax})
    select coalesce(max(quarter_hour) + interval '15 minutes',
                    (select min(cycle_start) from cycles having count(*) = ${cyclesMax})) as end
      from cycles
      join usage_by_cycle as used on used.user_id = ${userId} and used.cycle_start = cycles.cycle_start and ${isKey}
      join operations as labels on labels.user_id = ${userId} and ${isOperation}
     cross join lateral (
       select quarter_hour from usage_by_quarter_hour as buckets
        where buckets.user_id = ${userId} and buckets.api_key_id = used.api_key_id and buckets.cycle_start = used.cycle_start
          and buckets.operation = labels.operation and buckets.quarter_hour <= ${place.at}
        order by quarter_hour desc limit 1) as newest`.execute(db)
  const end = rows[0]?.end ?? null
  if (end === null) return null
  if (end > place.at) return place
  const found = await placeOfTime(scope, end)
  return found !== null && found.before > place.before ? { before: place.before, at: found.at } : found
}

/**
 * Finds the newest uncounted event below `place` that matches the filters, and returns the place directly above this event. If
 * none of the examined events matches, the returned place is below all of them. Returns null if no event is left.
 */
async function newestUncountedBelow(scope: Scope, place: Place, filters: UsageEventFilters): Promise<Place | null> {
  const { rows } = await sql<{ before: number | null }>`
    select coalesce(max(sequence) filter (where ${matches(filters)}) + 1,
                    case when count(*) = ${sql.lit(UNCOUNTED_EXAMINED_MAX)} then min(sequence) end) as before
      from (${uncountedOfMonth(scope, place)}) as events`.execute(scope.db)
  const before = rows[0]?.before ?? null
  return before === null ? await placeInEarlierMonth(scope, place, filters.from) : { before, at: place.at }
}
