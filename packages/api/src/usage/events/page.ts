import {
  EventVerdict,
  type KeyType,
  type ListUsageEvents,
  UsageAction,
  type UsageEvent,
  type UsageEventFilters,
} from '@keymeter/contract'
import { type RawBuilder, sql } from 'kysely'
import { currentKeyPrefix } from '../../keys/key.ts'
import type { Scope } from '../../scope.ts'
import { formatCursor, type Place, parseCursor } from './cursor.ts'
import { byIdempotencyKey, matches, mayBeCounted, newestOfMonth, uncountedOfMonth } from './examined.ts'
import { nextAfterExamined, nextAfterUncounted } from './next-place.ts'
import { firstPlace } from './place.ts'

/**
 * The maximum number of months that one page reads if the list has no filters. An account with few events needs several months
 * to fill a page.
 */
const MONTHS_PER_PAGE_MAX = 3

interface Page {
  data: UsageEvent[]
  nextCursor: string | null
}

/**
 * Returns one page of the account's usage events, newest first. It takes a few milliseconds at any depth and with any filters,
 * because it reads the partition of one month at a time and examines a limited number of events in it. If few of these events
 * match, the page is short or empty, and its cursor points to where the next match can be
 * (docs/decisions/0012-finding-usage-events.md).
 *
 * @throws AppError `bad_request` if the cursor is not valid.
 */
export async function listUsageEvents(
  scope: Scope,
  { cursor, limit, ...filters }: Omit<ListUsageEvents, 'direction'>,
): Promise<Page> {
  let place = cursor == null ? await firstPlace(scope, filters) : parseCursor(cursor)
  const data: UsageEvent[] = []
  const isFiltered = Object.values(filters).some((filter) => filter !== undefined)
  const monthsMax = isFiltered ? 1 : MONTHS_PER_PAGE_MAX
  for (let months = 0; place !== null && data.length < limit && months < monthsMax; months++) {
    const read = await readOneMonth(scope, place, filters, limit - data.length)
    data.push(...read.events)
    place = read.next
  }
  return { data, nextCursor: place && formatCursor(place) }
}

/**
 * Examines a limited number of events of one month. Returns the matching events, and the place where the next read continues.
 */
async function readOneMonth(
  scope: Scope,
  place: Place,
  filters: UsageEventFilters,
  limit: number,
): Promise<{ events: UsageEvent[]; next: Place | null }> {
  const { idempotencyKey } = filters
  const isCounted = mayBeCounted(filters)
  const examined =
    idempotencyKey !== undefined
      ? byIdempotencyKey(scope, place, idempotencyKey)
      : isCounted
        ? newestOfMonth(scope, place)
        : uncountedOfMonth(scope, place)
  const rows = await selectEvents(scope, examined, filters, limit + 1)
  const events = rows.slice(0, limit)
  const last = events.at(-1)
  if (rows.length > limit && last !== undefined)
    return { events, next: { before: last.sequence, at: new Date(last.createdAt) } }
  if (idempotencyKey !== undefined) return { events, next: null }
  return { events, next: await (isCounted ? nextAfterExamined : nextAfterUncounted)(scope, place, filters) }
}

interface Row {
  sequence: number
  created_at: Date
  api_key_id: string
  name: string | null
  key_prefix: string | null
  key_type: KeyType | null
  action: string
  operation: string
  verdict: string
  credits_requested: number
  credits_charged: number
  remaining: number
  credits_held: number | null
  idempotency_key: string | null
  refers_to: number | null
  expires_at: Date | null
}

/**
 * Returns the newest matching events of `examined`. The join with the keys comes after the limit, so it reads only keys of
 * returned events.
 */
async function selectEvents(
  { db, userId }: Scope,
  examined: RawBuilder<unknown>,
  filters: UsageEventFilters,
  limit: number,
): Promise<UsageEvent[]> {
  const { rows } = await sql<Row>`
    select events.*, keys.name, keys.key_type, ${currentKeyPrefix} as key_prefix
      from (select * from (${examined}) as events where ${matches(filters)} order by sequence desc limit ${limit}) as events
      left join api_keys as keys on keys.user_id = ${userId} and keys.id = events.api_key_id
     order by sequence desc`.execute(db)
  return rows.map((row) => ({
    sequence: row.sequence,
    createdAt: row.created_at.toISOString(),
    keyId: row.api_key_id,
    keyName: row.name,
    keyPrefix: row.key_prefix,
    keyType: row.key_type,
    action: UsageAction.parse(row.action),
    operation: row.operation,
    verdict: EventVerdict.parse(row.verdict),
    creditsRequested: row.credits_requested,
    creditsCharged: row.credits_charged,
    uncollected: row.verdict === 'settled' ? row.credits_requested - row.credits_charged : 0,
    remaining: row.remaining,
    creditsHeld: row.credits_held,
    idempotencyKey: row.idempotency_key,
    refersTo: row.refers_to,
    expiresAt: row.expires_at?.toISOString() ?? null,
  }))
}
