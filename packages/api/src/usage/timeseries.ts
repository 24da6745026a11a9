import type { UsageSeries, UsageTimeseries } from '@keymeter/contract'
import { sql } from 'kysely'
import { currentCycle, cycleFrom } from '../billing/current-cycle.ts'
import type { Scope } from '../scope.ts'

interface Timeseries {
  from: string
  to: string
  buckets: string[]
  series: UsageSeries[]
}

/**
 * The course of an account's usage, by hours or days of any time zone, zero-filled. From the roll-up by quarters of an hour
 * (`api_key_quarter_hour_usage_time_idx`), of which each cycle has its own: a cycle's series sums to what `keys.usage` says
 * of it, though the cycle turns within a quarter.
 *
 * @throws AppError `bad_request` when no cycle starts at `cycleStart`.
 */
export async function usageTimeseries(scope: Scope, input: UsageTimeseries): Promise<Timeseries> {
  const { db, userId } = scope
  const { unit, by, timeZone, keyId, operation } = input
  const isCycle = input.from === undefined || input.to === undefined
  const range = isCycle
    ? input.cycleStart === undefined
      ? await currentCycle(scope)
      : await cycleFrom(scope, input.cycleStart)
    : { start: new Date(input.from ?? ''), end: new Date(input.to ?? '') }
  if (range === null) return { from: EPOCH, to: EPOCH, buckets: [], series: [] }

  const { rows: buckets } = await sql<{ start: Date }>`
    select distinct date_trunc(${unit}, moment, ${timeZone}) as start
      from generate_series(date_bin('15 minutes', ${range.start}::timestamptz, 'epoch'), ${range.end}::timestamptz - interval '1 microsecond',
                           ${unit === 'day' ? '1 hour' : '15 minutes'}::interval) as moment
    union
    select date_trunc(${unit}, ${range.end}::timestamptz - interval '1 microsecond', ${timeZone})
    order by start`.execute(db)

  const starts = buckets.map(({ start }) => start.toISOString())
  const group = by === 'key' ? sql.ref('used.api_key_id') : sql.ref('used.operation')
  let query = db
    .selectFrom('api_key_quarter_hour_usage as used')
    .select((eb) => [
      sql<string>`${group}`.as('of'),
      // Counted from 1. Cheaper than to work out each quarter's day in the time zone, of which a busy account has very many.
      sql<number>`width_bucket(used.quarter_hour, ${starts}::timestamptz[])`.as('bucket'),
      eb.fn.sum<number>('used.credits_charged').as('credits'),
      eb.fn.sum<number>('used.charges').as('charges'),
    ])
    .where('used.user_id', '=', userId)
    .where('used.quarter_hour', '>=', sql<Date>`date_bin('15 minutes', ${range.start}::timestamptz, 'epoch')`)
    .where('used.quarter_hour', '<', range.end)
    .groupBy([sql`1`, sql`2`])
  if (isCycle) query = query.where('used.cycle_start', '=', range.start)
  if (keyId !== undefined) query = query.where('used.api_key_id', '=', keyId)
  if (operation !== undefined) query = query.where('used.operation', '=', operation)
  const rows = await query.execute()

  const names = by === 'key' ? await keyNames(scope, [...new Set(rows.map(({ of }) => of))]) : null
  const series = new Map<string, UsageSeries>()
  for (const { of, bucket, credits, charges } of rows) {
    const own = series.get(of) ?? {
      keyId: names && of,
      keyName: names?.get(of) ?? null,
      operation: names ? null : of,
      credits: buckets.map(() => 0),
      charges: buckets.map(() => 0),
    }
    series.set(of, own)
    own.credits[bucket - 1] = credits
    own.charges[bucket - 1] = charges
  }
  return {
    from: range.start.toISOString(),
    to: range.end.toISOString(),
    buckets: starts,
    series: [...series.values()].sort((a, b) => total(b) - total(a)),
  }
}

const EPOCH = new Date(0).toISOString()

function total({ credits }: UsageSeries): number {
  return credits.reduce((sum, value) => sum + value, 0)
}

async function keyNames({ db, userId }: Scope, ids: string[]): Promise<Map<string, string>> {
  if (ids.length === 0) return new Map()
  const rows = await db
    .selectFrom('api_keys')
    .select(['id', 'name'])
    .where('user_id', '=', userId)
    .where('id', 'in', ids)
    .execute()
  return new Map(rows.map(({ id, name }) => [id, name]))
}
