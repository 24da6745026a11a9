import type { UsageEventFilters } from '@keymeter/contract'
import { sql } from 'kysely'
import type { Scope } from '../../scope.ts'
import type { Place } from './cursor.ts'
import { matches, mayBeUncounted, ofMonth, oldestExamined, UNCOUNTED_EXAMINED_MAX, uncountedOfMonth } from './examined.ts'
import { newestBucketEnd } from './newest-bucket.ts'
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
 */
async function newestChargeBelow(scope: Scope, place: Place, filters: UsageEventFilters): Promise<Place | null> {
  const end = await newestBucketEnd(scope, place.at, filters)
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
