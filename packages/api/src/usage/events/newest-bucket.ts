import type { UsageEventFilters } from '@keymeter/contract'
import { sql } from 'kysely'
import type { Scope } from '../../scope.ts'
import { QUARTERS_PER_DAY, quarterOf } from '../day-parts.ts'

/** The maximum number of rows of `usage_by_quarter_hour` that a search for an operation reads. */
const ROWS_MAX = 3_000

/**
 * Returns the end of the newest 15-minute bucket that begins at `time` or earlier and contains a charge with this key and this
 * operation. If the search cannot read enough rows to find this bucket, it returns a time at which a later search can continue:
 * no bucket after this time contains such a charge. Returns null if there is no such charge.
 */
export async function newestBucketEnd(
  scope: Scope,
  time: Date,
  { keyId, operation }: Pick<UsageEventFilters, 'keyId' | 'operation'>,
): Promise<Date | null> {
  return keyId === undefined
    ? await newestOfOperation(scope, time, operation ?? '')
    : await newestOfKey(scope, time, keyId, operation)
}

/**
 * Makes one look-up in `usage_by_quarter_hour` for each operation and each of the two newest cycles in which the key was used.
 * All usage in the newest cycle can be after `time`, but all usage in the other cycle is before it. If no bucket is found in
 * these cycles, the search can continue at their start.
 */
async function newestOfKey({ db, userId }: Scope, time: Date, keyId: string, operation?: string): Promise<Date | null> {
  const isOperation = operation === undefined ? sql`true` : sql`labels.operation = ${operation}`
  const { rows } = await sql<{ end: Date | null }>`
    with cycles as (
      select cycle_start from usage_by_cycle
       where user_id = ${userId} and api_key_id = ${keyId} and cycle_start <= ${time} order by cycle_start desc limit 2)
    select coalesce(max(quarter_hour) + interval '15 minutes', (select min(cycle_start) from cycles having count(*) = 2)) as end
      from cycles
      join operations as labels on labels.user_id = ${userId} and ${isOperation}
     cross join lateral (
       select quarter_hour from usage_by_quarter_hour as buckets
        where buckets.user_id = ${userId} and buckets.api_key_id = ${keyId} and buckets.cycle_start = cycles.cycle_start
          and buckets.operation = labels.operation and buckets.quarter_hour <= ${time}
        order by quarter_hour desc limit 1) as newest`.execute(db)
  return rows[0]?.end ?? null
}

/**
 * An account can have used any number of keys, so the search makes no look-up for each key. It reads the sums of all keys from
 * the daily roll-up (the unique key of `usage_by_day`). Newer buckets are only in `usage_by_quarter_hour`
 * (`usage_by_quarter_hour_time_idx`). Usually these are at most a few thousand rows.
 */
async function newestOfOperation({ db, userId }: Scope, time: Date, operation: string): Promise<Date | null> {
  const day = Math.floor(quarterOf(time) / QUARTERS_PER_DAY)
  const quarter = quarterOf(time) - day * QUARTERS_PER_DAY
  const { rows } = await sql<{ end: Date | null }>`
    with recent as (
      select quarter_hour, operation from usage_by_quarter_hour
       where user_id = ${userId} and quarter_hour <= ${time}
         and quarter_hour >= (select usage_by_day_until from billing_accounts where user_id = ${userId})
       order by quarter_hour desc limit ${ROWS_MAX}
    ), newest_day as (
      select day, quarters from usage_by_day
       where user_id = ${userId} and operation = ${operation} and api_key_id is null
         and (day, quarters[1]) <= (date 'epoch' + ${day}::int, ${quarter}::smallint)
       order by day desc limit 1
    )
    select coalesce((select max(quarter_hour) from recent where operation = ${operation}),
                    (select min(quarter_hour) from recent having count(*) = ${ROWS_MAX}),
                    (select max(day::timestamp at time zone 'UTC' + quarter * interval '15 minutes')
                       from newest_day cross join unnest(quarters) as quarter
                      where (day, quarter) <= (date 'epoch' + ${day}::int, ${quarter}::smallint)))
           + interval '15 minutes' as end`.execute(db)
  return rows[0]?.end ?? null
}
