import { type RawBuilder, sql } from 'kysely'
import type { Scope } from '../scope.ts'
import { QUARTERS_PER_DAY, quarterOf } from './day-parts.ts'
import { type Range, type UsageSelection, usageTotals } from './usage-totals.ts'

/**
 * Returns the names of the series with the most credits in the range, and the number of all series with usage. Of two series
 * with equal credits, the one with more charges comes first, and then the one with the lower name. A name is the id of a key or
 * an operation. Returns null if the account does not have more keys or operations than `limit`. Then all of them can be read.
 *
 * Postgres reads the usage of all series, because a series that is small on each day can be large in the whole range. It returns
 * only `limit` names. So the process never receives data of all keys that an account ever had.
 */
export async function largestSeries(
  scope: Scope,
  selection: UsageSelection,
  limit: number,
): Promise<{ names: string[]; count: number } | null> {
  if (await haveAllSeries(scope, selection, limit)) return null
  const { rows } = await sql<{ name: string; count: number }>`
    with used as materialized (${totalsOfSeries(scope, selection)})
    select coalesce(series_key::text, series_operation) as name, (select count(*) from used) as count
      from used order by credits desc, charges desc, series_key, series_operation collate "C" limit ${limit}`.execute(scope.db)
  return { names: rows.map(({ name }) => name), count: rows[0]?.count ?? 0 }
}

/** True if the account has at most `limit` keys or operations that can be series. Revoked keys count too. */
async function haveAllSeries({ db, userId }: Scope, selection: UsageSelection, limit: number): Promise<boolean> {
  const { seriesBy, keyIds, operations } = selection
  if ((seriesBy === 'api_key_id' ? keyIds : operations) !== null) return true
  const { rows } = await sql<{ count: number }>`
    select count(*) from (select from ${sql.table(seriesBy === 'api_key_id' ? 'api_keys' : 'operations')}
                           where user_id = ${userId} limit ${limit + 1}) as series`.execute(db)
  return (rows[0]?.count ?? 0) <= limit
}

/**
 * Selects one row for each series with usage. The totals of keys in a cycle come from `usage_by_cycle`, which has few and short
 * rows: with 10,000 keys, this takes a tenth of the time. All other totals come from `usageTotals`.
 */
function totalsOfSeries(scope: Scope, selection: UsageSelection): RawBuilder<unknown> {
  const { range, isCycle, seriesBy, keyIds, operations } = selection
  if (isCycle && seriesBy === 'api_key_id' && operations === null)
    return sql`
      select api_key_id as series_key, null as series_operation, credits_charged as credits, charges from usage_by_cycle
       where user_id = ${scope.userId} and cycle_start = ${range.start} and charges > 0
         and (${keyIds}::uuid[] is null or api_key_id = any(${keyIds}::uuid[]))`
  const charges = sql`sum(${withinRange('charges', selection)})`
  return sql`
    select series_key, series_operation, sum(${withinRange('credits', selection)}) as credits, ${charges} as charges
      from ${usageTotals(scope, selection)} as days group by series_key, series_operation having ${charges} > 0`
}

/**
 * Returns the SQL expression for the part of a day's usage that is in the range. All usage of a row belongs to the selected
 * cycle. Without a cycle, the usage before the range must be left out on its first day, and the usage after it on its last day.
 */
function withinRange(column: 'credits' | 'charges', { range, isCycle }: UsageSelection): RawBuilder<number> {
  const totals = sql.ref(column)
  if (isCycle) return sql`${totals}[cardinality(quarters)]`
  const [start, end] = [placeOf(range.start), placeOf(range.end)]
  const before = ({ quarter }: Place) => sql`width_bucket(${sql.lit(quarter - 1)}::smallint, quarters)`
  const isOn = ({ day }: Place) => sql`day = date 'epoch' + ${sql.lit(day)}`
  return sql`coalesce(${totals}[case when ${isOn(end)} then ${before(end)} else cardinality(quarters) end], 0)
             - case when ${isOn(start)} then coalesce(${totals}[${before(start)}], 0) else 0 end`
}

/** A UTC day, as the number of days since 1970-01-01, and a 15-minute bucket of this day. */
interface Place {
  day: number
  quarter: number
}

function placeOf(bound: Range['start']): Place {
  const quarter = quarterOf(bound)
  const day = Math.floor(quarter / QUARTERS_PER_DAY)
  return { day, quarter: quarter - day * QUARTERS_PER_DAY }
}
