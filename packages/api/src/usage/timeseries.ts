import type { UsageSeries, UsageTimeseries } from '@keymeter/contract'
import { isInvalidParameter } from '@keymeter/db'
import { type RawBuilder, sql } from 'kysely'
import { getCycle } from '../billing/cycle.ts'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { dayParts, QUARTERS_PER_DAY } from './day-parts.ts'

interface Range {
  start: Date
  end: Date
}

interface Timeseries {
  from: string
  to: string
  /** The start of each hour or day. */
  buckets: string[]
  series: UsageSeries[]
}

const EPOCH = new Date(0).toISOString()

/**
 * Returns an account's usage over time, by hours or days of any time zone. An hour or day without usage has 0 credits. If the
 * range is a billing cycle and each series is a key, the sum of a series equals the credits that `keys.usage` returns for the
 * key. This is true even if the cycle starts inside a 15-minute bucket, because each cycle has its own roll-ups.
 *
 * @throws AppError `bad_request` if no cycle of the account starts at `cycleStart`, or if Postgres does not know the time zone.
 */
export async function usageTimeseries(scope: Scope, input: UsageTimeseries): Promise<Timeseries> {
  const { by, cycleStart, from, to } = input
  const range =
    from === undefined || to === undefined ? await getCycle(scope, cycleStart) : { start: new Date(from), end: new Date(to) }
  if (range === null) return { from: EPOCH, to: EPOCH, buckets: [], series: [] }

  const starts = await intervalStarts(scope, range, input)
  const used = await readUsage(scope, range, starts, input)

  const keys = by === 'key' ? await keysById(scope, [...used.keys()]) : null
  const series = [...used].map(([of, { credits, charges }]) => ({
    keyId: keys && of,
    keyName: keys?.get(of)?.name ?? null,
    keyPrefix: keys?.get(of)?.key_prefix ?? null,
    operation: keys ? null : of,
    credits,
    charges,
  }))
  return {
    from: range.start.toISOString(),
    to: range.end.toISOString(),
    buckets: starts.map((start) => start.toISOString()),
    series: series.sort((a, b) => total(b) - total(a)),
  }
}

/** Returns the starts of the hours or days that overlap the range. The first hour or day can start before the range. */
async function intervalStarts({ db }: Scope, { start, end }: Range, { unit, timeZone }: UsageTimeseries): Promise<Date[]> {
  const first = sql`date_bin('15 minutes', ${start}::timestamptz, 'epoch')`
  const last = sql`${end}::timestamptz - interval '1 microsecond'`
  const { rows } = await sql<{ start: Date }>`${
    unit === 'hour'
      ? // When the clock changes, the hour ends and another hour starts, even if the change is only half an hour.
        sql`select min(moment) as start
              from (select moment, moment at time zone ${timeZone} as shown
                      from generate_series(${first} - interval '45 minutes', ${last}, interval '15 minutes') as moment) as moments
             group by date_trunc('hour', shown), shown - moment at time zone 'UTC'
            having max(moment) >= ${first}`
      : // On a day on which the clock goes back, midnight can occur twice. Postgres converts this day to its second midnight.
        // So search the 3 hours before that for the first moment with the same date: the day starts there.
        sql`select coalesce((select min(earlier)
                               from generate_series(midnight - interval '3 hours', midnight - interval '15 minutes', interval '15 minutes') as earlier
                              where (earlier at time zone ${timeZone})::date = day), midnight) as start
              from (select distinct (moment at time zone ${timeZone})::date as day
                      from (select generate_series(${first}, ${last}, interval '1 hour') as moment union select ${last}) as moments) as days
             cross join lateral (select day::timestamp at time zone ${timeZone} as midnight) as local`
  } order by start`
    .execute(db)
    .catch((error) => {
      // Node knows a few time zones that Postgres does not know.
      if (!isInvalidParameter(error)) throw error
      const message = 'Postgres does not know this time zone. Choose another one.'
      throw new AppError('bad_request', { field: 'timeZone', message })
    })
  return rows.map((row) => row.start)
}

interface Used {
  credits: number[]
  charges: number[]
}

/** The usage of one series on one UTC day, from the SQL function `keymeter.usage_totals`. */
interface DayTotals {
  series: string
  /** The UTC day, as the number of days since 1970-01-01. */
  day: number
  /**
   * The numbers of the 15-minute buckets (0 to 95) that the totals belong to: there is one total for each bucket, up to the end
   * of the bucket. Null means that there is one total for each part of the day (`DayParts`), up to the end of the part.
   */
  quarters: number[] | null
  /**
   * Running totals: the credits from the start of the day to the end of each bucket or part. `charges` contains running totals
   * too.
   */
  credits: number[]
  charges: number[]
}

/** Returns the usage of each series in the hours or days that start at `starts`. Series without usage are left out. */
async function readUsage(
  { db, userId }: Scope,
  range: Range,
  starts: Date[],
  input: UsageTimeseries,
): Promise<Map<string, Used>> {
  const { by, keyId = null, operation = null } = input
  const isCycle = input.from === undefined
  // Each cycle has its own rows in the roll-ups. So usage before the start or after the end of the cycle need not be left out
  // here.
  const { ends, intervalsOf } = isCycle ? dayParts(starts, null) : dayParts([range.start, ...starts.slice(1)], range.end)
  const { rows } = await sql<DayTotals>`
    select series, day - date 'epoch' as day, ${quartersOf(ends)} as quarters, ${totalsAt(ends, 'credits')} as credits, ${totalsAt(ends, 'charges')} as charges
      from keymeter.usage_totals(${userId}, ${range.start}, ${range.end}, ${isCycle ? range.start : null},
                                 ${by === 'key' ? 'api_key_id' : 'operation'}, ${keyId}, ${operation})`.execute(db)

  const used = new Map<string, Used>()
  for (const { series, day, quarters, credits, charges } of rows) {
    const intervals = intervalsOf(day)
    for (const [n, quarter] of (quarters ?? ends).entries()) {
      const interval = intervals[quarter] ?? null
      const more = increase(charges, n)
      if (interval === null || more === 0) continue
      const own = used.get(series) ?? { credits: starts.map(() => 0), charges: starts.map(() => 0) }
      used.set(series, own)
      own.credits[interval] = (own.credits[interval] ?? 0) + increase(credits, n)
      own.charges[interval] = (own.charges[interval] ?? 0) + more
    }
  }
  return used
}

/**
 * If a day has at most this number of parts, Postgres looks up the total at the end of each part. If a day has more parts, it
 * is cheaper to return the totals of all its buckets.
 */
const SEARCHED_ENDS_MAX = 8
/**
 * True if the day has usage in all 96 buckets. The total of bucket n is then element n + 1 of the array, and needs no search.
 */
const IS_FULL = sql`cardinality(quarters) = ${sql.lit(QUARTERS_PER_DAY)}`

/**
 * Returns the SQL expression for the running totals of a day: one for each part of the day, or one for each bucket with usage.
 */
function totalsAt(ends: number[], column: 'credits' | 'charges'): RawBuilder<number[]> {
  const totals = sql.ref(column)
  const inPlace = ends.map((end) => sql`${totals}[${sql.lit(end + 1)}]`)
  const searched = ends.map((end) => sql`coalesce(${totals}[width_bucket(${sql.lit(end)}::smallint, quarters)], 0)`)
  const otherwise = ends.length > SEARCHED_ENDS_MAX ? totals : sql`array[${sql.join(searched)}]`
  return sql`case when ${IS_FULL} then array[${sql.join(inPlace)}] else ${otherwise} end`
}

/**
 * Returns the SQL expression for `DayTotals.quarters`: the buckets that the totals of a day belong to, or null if there is one
 * total for each part of the day.
 */
function quartersOf(ends: number[]): RawBuilder<number[] | null> {
  return ends.length > SEARCHED_ENDS_MAX ? sql`case when not ${IS_FULL} then quarters end` : sql`null::smallint[]`
}

function increase(totals: number[], n: number): number {
  return (totals[n] ?? 0) - (totals[n - 1] ?? 0)
}

function total({ credits }: UsageSeries): number {
  return credits.reduce((sum, value) => sum + value, 0)
}

async function keysById({ db, userId }: Scope, ids: string[]): Promise<Map<string, { name: string; key_prefix: string }>> {
  if (ids.length === 0) return new Map()
  const rows = await db
    .selectFrom('api_keys')
    .select(['id', 'name', 'key_prefix'])
    .where('user_id', '=', userId)
    .where('id', 'in', ids)
    .execute()
  return new Map(rows.map((row) => [row.id, row]))
}
