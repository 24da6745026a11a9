import {
  EventVerdict,
  type KeyType,
  type ListUsageEvents,
  UsageAction,
  type UsageEvent,
  type UsageEventFilters,
} from '@keymeter/contract'
import { type RawBuilder, type SqlBool, sql } from 'kysely'
import { z } from 'zod'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'

/** Events that one page looks at, at most: by their order, or of those that the roll-ups do not tell of, which lie apart. */
const EXAMINED_MAX = 3_000
const UNCOUNTED_EXAMINED_MAX = 600
/** Where to look first for the event before a month: the fewer partitions, the sooner a query is planned. */
const NEAR_MONTHS = 3

/** An account with few events has few in a month: so many months are looked at for one page, where nothing is filtered. */
const MONTHS_MAX = 3

interface Page {
  data: UsageEvent[]
  nextCursor: string | null
}

/** Every event that is still to come is below this sequence, and of this moment or earlier. */
interface Place {
  before: number
  at: Date
}

/**
 * One page of the account's usage events, newest first, at any depth and with any filters in a few milliseconds: it looks at
 * one month's partition at a time, which holds a range of the account's sequences without a gap, and at so many events at most. Where
 * they match rarely it comes out short, and its cursor says where the next match may be
 * (docs/decisions/0012-finding-usage-events.md).
 *
 * @throws AppError `bad_request` for a cursor that is none.
 */
export async function listUsageEvents(
  scope: Scope,
  { cursor, limit, ...filters }: Omit<ListUsageEvents, 'direction'>,
): Promise<Page> {
  let place = cursor == null ? await firstPlace(scope, filters) : parseCursor(cursor)
  const data: UsageEvent[] = []
  const partsMax = Object.values(filters).some((filter) => filter !== undefined) ? 1 : MONTHS_MAX
  for (let parts = 0; place !== null && data.length < limit && parts < partsMax; parts++) {
    const part = await partOf(scope, place, filters, limit - data.length)
    data.push(...part.events)
    place = part.next
  }
  return { data, nextCursor: place && formatCursor(place) }
}

/** The part of a page that one look at one month gives, and where to go on. */
async function partOf(
  scope: Scope,
  place: Place,
  filters: UsageEventFilters,
  limit: number,
): Promise<{ events: UsageEvent[]; next: Place | null }> {
  const isCounted = mayBeCounted(filters)
  const isNamed = filters.idempotencyKey !== undefined
  const examined = isNamed
    ? named(scope, place, filters)
    : isCounted
      ? sql`${ofMonth(scope, place)} and sequence > ${oldestExamined(place) - 1}`
      : uncounted(scope, place)
  const rows = await select(scope, examined, filters, limit + 1)
  const events = rows.slice(0, limit)
  const last = events.at(-1)
  if (rows.length > limit && last !== undefined)
    return { events, next: { before: last.sequence, at: new Date(last.createdAt) } }
  if (isNamed) return { events, next: null }
  return { events, next: await (isCounted ? afterEvents : afterUncounted)(scope, place, filters) }
}

/** No event is later. */
const MOMENT_MAX = Date.UTC(9999, 11, 31)
const Cursor = z.tuple([z.coerce.number().pipe(z.int().positive()), z.coerce.number().pipe(z.int().min(0).max(MOMENT_MAX))])

function formatCursor({ before, at }: Place): string {
  return `${before}.${at.getTime()}`
}

function parseCursor(text: string): Place {
  const [before, at] = Cursor.safeParse(text.split('.')).data ?? []
  if (before !== undefined && at !== undefined) return { before, at: new Date(at) }
  throw new AppError('bad_request', { field: 'cursor', message: 'This is no cursor: begin again without one.' })
}

/** Of the newest events among the `examined`, by `matches`. The names are looked up for those alone that are shown. */
async function select(
  { db, userId }: Scope,
  examined: RawBuilder<unknown>,
  filters: UsageEventFilters,
  limit: number,
): Promise<UsageEvent[]> {
  const { rows } = await sql<Row>`
    select events.*, keys.name, keys.key_type
      from (select * from (${examined}) as events where ${matches(filters)} order by sequence desc limit ${limit}) as events
      left join api_keys as keys on keys.user_id = ${userId} and keys.id = events.api_key_id
     order by sequence desc`.execute(db)
  return rows.map((row) => ({
    sequence: row.sequence,
    createdAt: row.created_at.toISOString(),
    keyId: row.api_key_id,
    keyName: row.name,
    keyType: row.key_type,
    action: UsageAction.parse(row.action),
    operation: row.operation,
    verdict: EventVerdict.parse(row.verdict),
    creditsRequested: row.credits_requested,
    creditsCharged: row.credits_charged,
    remaining: row.remaining,
    idempotencyKey: row.idempotency_key,
    refersTo: row.refers_to,
    expiresAt: row.expires_at?.toISOString() ?? null,
  }))
}

function matches({ keyId, operation, verdicts, action, from, to, idempotencyKey }: UsageEventFilters): RawBuilder<SqlBool> {
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

/** The account's events of the place's month that are still to come. By the primary key of one partition. */
function ofMonth({ userId }: Scope, { before, at }: Place) {
  const { start, end } = monthOf(at)
  return sql`
    select * from api_key_usage
     where user_id = ${userId} and created_at >= ${start} and created_at < ${end} and sequence < ${before}`
}

/** Months are those of the partitions, in UTC. */
function monthOf(moment: Date): { start: Date; end: Date } {
  const [year, month] = [moment.getUTCFullYear(), moment.getUTCMonth()]
  return { start: new Date(Date.UTC(year, month)), end: new Date(Date.UTC(year, month + 1)) }
}

function oldestExamined({ before }: Place): number {
  return before - EXAMINED_MAX
}

/** By `api_key_usage_idempotency_idx`, in every month: at most one in 35 days. */
function named({ userId }: Scope, { before }: Place, { idempotencyKey }: UsageEventFilters) {
  return sql`
    select * from api_key_usage where user_id = ${userId} and sequence < ${before} and idempotency_key = ${idempotencyKey}`
}

/** Refusals, and what is no charge: what the roll-ups do not tell of. By `api_key_usage_uncounted_idx`. */
function uncounted(scope: Scope, place: Place) {
  return sql`
    ${ofMonth(scope, place)} and (verdict <> 'charged' or action <> 'charge')
     order by sequence desc limit ${sql.lit(UNCOUNTED_EXAMINED_MAX)}`
}

function mayBeCounted({ verdicts, action = 'charge' }: UsageEventFilters): boolean {
  return (verdicts === undefined || verdicts.includes('charged')) && action === 'charge'
}

function mayBeUncounted({ verdicts, action }: UsageEventFilters): boolean {
  return action !== 'charge' || verdicts?.every((verdict) => verdict === 'charged') !== true
}

async function firstPlace(scope: Scope, { from, to }: UsageEventFilters): Promise<Place | null> {
  const account = await scope.db
    .selectFrom('billing_accounts')
    .select(['last_event_sequence as last', 'last_event_at as at'])
    .where('user_id', '=', scope.userId)
    .executeTakeFirst()
  if (account === undefined || account.at === null) return null
  const newest = { before: account.last + 1, at: account.at }
  const place = to !== undefined && new Date(to) <= newest.at ? await placeBefore(scope, new Date(to)) : newest
  return isReached(place, from) ? place : null
}

/** Whether there is anything at the place that `from` still wants. */
function isReached(place: Place | null, from: string | undefined): place is Place {
  return place !== null && (from === undefined || place.at >= new Date(from))
}

/** Goes on below the events that were looked at; of a key or an operation, where the newest of the rest may be. */
async function afterEvents(scope: Scope, place: Place, filters: UsageEventFilters): Promise<Place | null> {
  const { from, keyId, operation } = filters
  const oldest = oldestExamined(place)
  const isMonthLeft = oldest > (await firstOfMonth(scope, place, from))
  const isAnyUsage = keyId === undefined && operation === undefined
  if (isMonthLeft && isAnyUsage) return { before: oldest, at: place.at }
  const rest = isMonthLeft ? await newestBelow(scope, { before: oldest, at: place.at }) : await monthBefore(scope, place, from)
  if (rest === null || isAnyUsage) return rest
  // Each by itself: a charge of before `from` hides no refusal since then.
  const wanted = (next: Place | null) => (isReached(next, from) ? next : null)
  const charges = wanted(await belowCharges(scope, rest, filters))
  const others = mayBeUncounted(filters) ? wanted(await belowUncounted(scope, rest, filters)) : null
  return charges !== null && (others === null || charges.before > others.before) ? charges : others
}

/** The same place, by the moment of the newest event that is to come: the quarter of an hour of one above tells nothing more. */
async function newestBelow(scope: Scope, place: Place): Promise<Place> {
  const { rows } = await sql<{ at: Date }>`
    select created_at as at from (${ofMonth(scope, place)}) as events order by sequence desc limit 1`.execute(scope.db)
  return { ...place, at: rows[0]?.at ?? place.at }
}

/** Goes on below the uncounted events that were looked at. */
async function afterUncounted(scope: Scope, place: Place, { from }: UsageEventFilters): Promise<Place | null> {
  const { rows } = await sql<{ last: number | null }>`
    select case when count(*) = ${sql.lit(UNCOUNTED_EXAMINED_MAX)} then min(sequence) end as last
      from (${uncounted(scope, place)}) as events`.execute(scope.db)
  const last = rows[0]?.last ?? null
  if (last === null) return await monthBefore(scope, place, from)
  return last > (await firstOfMonth(scope, place, from)) ? { before: last, at: place.at } : null
}

/**
 * The sequence that the account's events of the month begin with; where the month is also that of `from`, to the thousandth
 * event before it (`api_key_usage_milestone_idx`).
 */
async function firstOfMonth(scope: Scope, { at }: Place, from: string | undefined): Promise<number> {
  const month = ofMonth(scope, { before: Number.MAX_SAFE_INTEGER, at })
  const wanted = new Date(from ?? 0)
  const milestone = sql`
    (select sequence + 1 from (${month} and sequence % 1000 = 0 and created_at < ${wanted}) as events
      order by created_at desc, sequence desc limit 1)`
  const { rows } = await sql<{ first: number | null }>`
    select coalesce(${wanted > monthOf(at).start ? milestone : sql`null`},
                    (select sequence from (${month}) as events order by sequence limit 1)) as first`.execute(scope.db)
  return rows[0]?.first ?? Number.MAX_SAFE_INTEGER
}

/** The account's newest event before the place's month. Null where there is none, where it is not kept, or not wanted. */
async function monthBefore({ db, userId }: Scope, { at }: Place, from: string | undefined): Promise<Place | null> {
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
      return isReached(place, from) ? place : null
    }
  }
  return null
}

/** A place that has every event before `moment` below it: by the next thousandth event of that month, or by its last. */
async function placeBefore(scope: Scope, moment: Date): Promise<Place | null> {
  const at = new Date(moment.getTime() - 1)
  const month = ofMonth(scope, { before: Number.MAX_SAFE_INTEGER, at })
  const { rows } = await sql<{ before: number | null }>`
    select coalesce((select sequence from (${month} and sequence % 1000 = 0 and created_at >= ${moment}) as events
                      order by created_at, sequence limit 1),
                    (select sequence + 1 from (${month}) as events order by sequence desc limit 1)) as before`.execute(scope.db)
  const before = rows[0]?.before ?? null
  return before === null ? await monthBefore(scope, { before: 0, at }, undefined) : { before, at }
}

/**
 * Where the newest charge of the key and the operation is, of those from `place` on; null where there is none. The roll-ups
 * know its quarter of an hour: of the newest two cycles with usage of the key one has it, since the place lies in one of them
 * at most. For an operation of any key one cycle is looked at, and where that has none, it is before it. One look-up in
 * `usage_by_quarter_hour` for each operation of the key, or for each key of the operation.
 */
async function belowCharges(scope: Scope, place: Place, { keyId, operation }: UsageEventFilters): Promise<Place | null> {
  const { db, userId } = scope
  const ofKey = keyId === undefined ? sql`true` : sql`used.api_key_id = ${keyId}`
  const ofOperation = operation === undefined ? sql`true` : sql`labels.operation = ${operation}`
  const cyclesMax = sql.lit(keyId === undefined ? 1 : 2)
  const { rows } = await sql<{ end: Date | null }>`
    with cycles as (
      select distinct cycle_start from usage_by_cycle as used
       where user_id = ${userId} and ${ofKey} and cycle_start <= ${place.at} order by cycle_start desc limit ${cyclesMax})
    select coalesce(max(quarter_hour) + interval '15 minutes', (select min(cycle_start) from cycles having count(*) = ${cyclesMax})) as end
      from cycles
      join usage_by_cycle as used on used.user_id = ${userId} and used.cycle_start = cycles.cycle_start and ${ofKey}
      join operations as labels on labels.user_id = ${userId} and ${ofOperation}
     cross join lateral (
       select quarter_hour from usage_by_quarter_hour as quarters
        where quarters.user_id = ${userId} and quarters.api_key_id = used.api_key_id and quarters.cycle_start = used.cycle_start
          and quarters.operation = labels.operation and quarters.quarter_hour <= ${place.at}
        order by quarter_hour desc limit 1) as newest`.execute(db)
  const end = rows[0]?.end ?? null
  if (end === null || end > place.at) return end && place
  const found = await placeBefore(scope, end)
  return found !== null && found.before > place.before ? { before: place.before, at: found.at } : found
}

/** The same for what is no charge, by looking at so many of them: below the last, or the month, where none of these matches. */
async function belowUncounted(scope: Scope, place: Place, filters: UsageEventFilters): Promise<Place | null> {
  const { rows } = await sql<{ before: number | null }>`
    select coalesce(max(sequence) filter (where ${matches(filters)}) + 1,
                    case when count(*) = ${sql.lit(UNCOUNTED_EXAMINED_MAX)} then min(sequence) end) as before
      from (${uncounted(scope, place)}) as events`.execute(scope.db)
  const before = rows[0]?.before ?? null
  return before === null ? await monthBefore(scope, place, filters.from) : { before, at: place.at }
}

interface Row {
  sequence: number
  created_at: Date
  api_key_id: string
  name: string | null
  key_type: KeyType | null
  action: string
  operation: string
  verdict: string
  credits_requested: number
  credits_charged: number
  remaining: number
  idempotency_key: string | null
  refers_to: number | null
  expires_at: Date | null
}
