import { timeseriesSeriesMax, type UsageTimeseries, type UsageTimeseriesOutput } from '@keymeter/contract'
import { isInvalidParameter } from '@keymeter/db'
import { type RawBuilder, sql } from 'kysely'
import { getCycle } from '../billing/cycle.ts'
import { AppError } from '../errors.ts'
import { currentKeyPrefix } from '../keys/key.ts'
import type { Scope } from '../scope.ts'
import { dayParts, QUARTERS_PER_DAY } from './day-parts.ts'
import { largestSeries } from './largest-series.ts'
import { type Range, type UsageSelection, usageTotals } from './usage-totals.ts'

type Timeseries = Omit<UsageTimeseriesOutput, 'requestId'>

const EPOCH = new Date(0).toISOString()

/**
 * Returns an account's usage over time, by hours or days of any time zone. An hour or day without usage has 0 credits. The keys
 * or operations with the most credits have a series of their own, and `rest` is the sum of all others.
 *
 * If the range is a billing cycle and each series is a key, the sum of a series equals the credits that `keys.usage` returns for
 * the key. This is true even if the cycle starts inside a 15-minute bucket, because each cycle has its own roll-ups.
 *
 * @throws AppError `bad_request` if no cycle of the account starts at `cycleStart`, or if Postgres does not know the time zone.
 */
export async function usageTimeseries(scope: Scope, input: UsageTimeseries): Promise<Timeseries> {
  const { by, cycleStart, from, to, keyId, operation } = input
  const isCycle = from === undefined || to === undefined
  const range = isCycle ? await getCycle(scope, cycleStart) : { start: new Date(from), end: new Date(to) }
  if (range === null) return { from: EPOCH, to: EPOCH, buckets: [], series: [], rest: null }

  const starts = await intervalStarts(scope, range, input)
  const all: UsageSelection = {
    range,
    isCycle,
    seriesBy: by === 'key' ? 'api_key_id' : 'operation',
    keyIds: keyId === undefined ? null : [keyId],
    operations: operation === undefined ? null : [operation],
  }
  const found = await largestSeries(scope, all, timeseriesSeriesMax(starts.length))
  const shown = found === null ? all : { ...all, [by === 'key' ? 'keyIds' : 'operations']: found.names }
  const used = await readUsage(scope, shown, starts)
  const names = found?.names ?? namesInOrder(used)
  const others = (found?.count ?? names.length) - names.length

  const keys = by === 'key' ? await keysById(scope, names) : null
  return {
    from: range.start.toISOString(),
    to: range.end.toISOString(),
    buckets: starts.map((start) => start.toISOString()),
    series: names.map((name) => ({
      keyId: keys && name,
      keyName: keys?.get(name)?.name ?? null,
      keyPrefix: keys?.get(name)?.keyPrefix ?? null,
      operation: keys ? null : name,
      ...(used.get(name) ?? noUsage(starts)),
    })),
    rest: others === 0 ? null : { count: others, ...(await usageOfOthers(scope, all, starts, used)) },
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

/** One number for each hour or day. */
interface Used {
  credits: number[]
  charges: number[]
}

/**
 * Returns the usage of all series except the `largest`. It is the usage of all series together minus the usage of the largest.
 * Both come from one snapshot of the database, and the roll-ups contain the sums over all keys and over all operations. So the
 * difference is exact, and its cost does not depend on the number of keys.
 */
async function usageOfOthers(scope: Scope, all: UsageSelection, starts: Date[], largest: Map<string, Used>): Promise<Used> {
  const [rest = noUsage(starts)] = (await readUsage(scope, { ...all, seriesBy: null }, starts)).values()
  // The difference is negative only if stored totals are wrong, which `reconcile` reports. The call then returns 0 instead of an
  // error, so that the caller still gets the series.
  const subtract = (from: number[], numbers: number[]) => {
    for (const [i, number] of numbers.entries()) from[i] = Math.max(0, (from[i] ?? 0) - number)
  }
  for (const { credits, charges } of largest.values()) {
    subtract(rest.credits, credits)
    subtract(rest.charges, charges)
  }
  return rest
}

/** Returns the names of all series with usage, in the same order as `largestSeries`. */
function namesInOrder(used: Map<string, Used>): string[] {
  const totals = [...used].map(([name, { credits, charges }]) => ({ name, credits: total(credits), charges: total(charges) }))
  return totals
    .filter(({ charges }) => charges > 0)
    .sort((a, b) => b.credits - a.credits || b.charges - a.charges || (a.name < b.name ? -1 : 1))
    .map(({ name }) => name)
}

function total(numbers: number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0)
}

function noUsage(starts: Date[]): Used {
  return { credits: starts.map(() => 0), charges: starts.map(() => 0) }
}

/** The usage of one series on one UTC day, from the SQL function `keymeter.usage_totals`. */
interface DayTotals {
  /** Null if all usage is one series. */
  series: string | null
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

/**
 * Returns the usage of each selected series in the hours or days that start at `starts`. If
 * all usage is one series, its name is empty.
 */
async function readUsage(scope: Scope, selection: UsageSelection, starts: Date[]): Promise<Map<string, Used>> {
  const { range, isCycle } = selection
  // Each cycle has its own rows in the roll-ups. So usage before the start or after the end of the cycle need not be left out
  // here.
  const { ends, intervalsOf } = isCycle ? dayParts(starts, null) : dayParts([range.start, ...starts.slice(1)], range.end)
  const { rows } = await sql<DayTotals>`
    select coalesce(series_key::text, series_operation) as series, day - date 'epoch' as day, ${quartersOf(ends)} as quarters, ${totalsAt(ends, 'credits')} as credits, ${totalsAt(ends, 'charges')} as charges
      from ${usageTotals(scope, selection)} as days`.execute(scope.db)

  const used = new Map<string, Used>()
  for (const { series, day, quarters, credits, charges } of rows) {
    const intervals = intervalsOf(day)
    const own = used.get(series ?? '') ?? noUsage(starts)
    used.set(series ?? '', own)
    for (const [n, quarter] of (quarters ?? ends).entries()) {
      const interval = intervals[quarter] ?? null
      if (interval === null) continue
      own.credits[interval] = (own.credits[interval] ?? 0) + increase(credits, n)
      own.charges[interval] = (own.charges[interval] ?? 0) + increase(charges, n)
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

async function keysById({ db, userId }: Scope, ids: string[]): Promise<Map<string, { name: string; keyPrefix: string }>> {
  if (ids.length === 0) return new Map()
  const rows = await db
    .selectFrom('api_keys as keys')
    .select(['id', 'name', currentKeyPrefix.as('keyPrefix')])
    .where('user_id', '=', userId)
    .where('id', 'in', ids)
    .execute()
  return new Map(rows.map((row) => [row.id, row]))
}
