import type { UsageSeries, UsageTimeseries } from '@keymeter/contract'
import { isInvalidParameter } from '@keymeter/db'
import { sql } from 'kysely'
import { getCycle } from '../billing/cycle.ts'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { dayParts, QUARTER_HOUR_MS } from './day-parts.ts'

interface Range {
  start: Date
  end: Date
}

interface Timeseries {
  from: string
  to: string
  buckets: string[]
  series: UsageSeries[]
}

/**
 * The course of an account's usage, by hours or days of any time zone, zero-filled. A cycle's series sum to what `keys.usage`
 * says of each key, and with those of revoked keys to what the account used, though the cycle turns within a quarter of an
 * hour: each cycle has roll-ups of its own.
 *
 * @throws AppError `bad_request` when no cycle starts at `cycleStart`, or for a time zone that Postgres does not know.
 */
export async function usageTimeseries(scope: Scope, input: UsageTimeseries): Promise<Timeseries> {
  const { by, cycleStart } = input
  const isCycle = input.from === undefined || input.to === undefined
  const range = isCycle
    ? await getCycle(scope, cycleStart)
    : { start: new Date(input.from ?? ''), end: new Date(input.to ?? '') }
  if (range === null) return { from: EPOCH, to: EPOCH, buckets: [], series: [] }

  const starts = await bucketStarts(scope, range, input)
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

const EPOCH = new Date(0).toISOString()

async function bucketStarts({ db }: Scope, { start, end }: Range, { unit, timeZone }: UsageTimeseries): Promise<Date[]> {
  const first = sql`date_bin('15 minutes', ${start}::timestamptz, 'epoch')`
  const last = sql`${end}::timestamptz - interval '1 microsecond'`
  const { rows } = await sql<{ start: Date }>`${
    unit === 'hour'
      ? // An hour on the clock ends where the clock is changed, though that be by half an hour: one that goes back begins another.
        sql`select min(moment) as start
              from (select moment, moment at time zone ${timeZone} as shown
                      from generate_series(${first} - interval '45 minutes', ${last}, interval '15 minutes') as moment) as moments
             group by date_trunc('hour', shown), shown - moment at time zone 'UTC'
            having max(moment) >= ${first}`
      : // Where the clock goes back to midnight or over it, Postgres takes the second one for it, and the day begins earlier.
        sql`select coalesce((select min(earlier)
                               from generate_series(midnight - interval '3 hours', midnight - interval '15 minutes', interval '15 minutes') as earlier
                              where (earlier at time zone ${timeZone})::date = day), midnight) as start
              from (select distinct (moment at time zone ${timeZone})::date as day
                      from (select generate_series(${first}, ${last}, interval '1 hour') as moment union select ${last}) as moments) as days
             cross join lateral (select day::timestamp at time zone ${timeZone} as midnight) as local`
  } order by start`
    .execute(db)
    .catch((error) => {
      // Of the few that this runtime knows and Postgres does not.
      if (!isInvalidParameter(error)) throw error
      throw new AppError('bad_request', {
        field: 'timeZone',
        message: 'Postgres does not know this time zone: name another one.',
      })
    })
  return rows.map((row) => row.start)
}

/** What a key or an operation used in each of the buckets. */
interface Used {
  credits: number[]
  charges: number[]
}

/** One day of a series, as the SQL function `usage_totals` returns it. */
interface DayTotals {
  series: string
  /** Days since 1970-01-01. */
  day: number
  /** The 15-minute buckets that the running totals belong to. Null: those that were asked for. */
  quarters: number[] | null
  credits: number[]
  charges: number[]
}

/** The usage of each series, by the buckets that begin at `starts`. */
async function readUsage(
  { db, userId }: Scope,
  range: Range,
  starts: Date[],
  input: UsageTimeseries,
): Promise<Map<string, Used>> {
  const { by, keyId = null, operation = null } = input
  const isCycle = input.from === undefined
  const from = new Date(Math.floor(range.start.getTime() / QUARTER_HOUR_MS) * QUARTER_HOUR_MS)
  // Rows of a cycle contain only its own usage, so its first and last bucket need no cut.
  const { ends, bucketsOf } = isCycle ? dayParts(starts, null) : dayParts([from, ...starts.slice(1)], range.end)
  const { rows } = await sql<DayTotals>`
    select series, day - date 'epoch' as day, quarters, credits, charges
      from keymeter.usage_totals(${userId}, ${range.start}, ${range.end}, ${isCycle ? range.start : null},
                                 ${by === 'key' ? 'api_key_id' : 'operation'}, ${keyId}, ${operation}, ${ends}::int[])`.execute(
    db,
  )

  const used = new Map<string, Used>()
  for (const { series, day, quarters, credits, charges } of rows) {
    const buckets = bucketsOf(day)
    for (const [n, quarter] of (quarters ?? ends).entries()) {
      const into = buckets[quarter] ?? null
      const more = step(charges, n)
      if (into === null || more === 0) continue
      const own = used.get(series) ?? { credits: starts.map(() => 0), charges: starts.map(() => 0) }
      used.set(series, own)
      own.credits[into] = (own.credits[into] ?? 0) + step(credits, n)
      own.charges[into] = (own.charges[into] ?? 0) + more
    }
  }
  return used
}

/** What a running total grew by since the one before it. */
function step(totals: number[], n: number): number {
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
