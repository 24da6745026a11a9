import { KEYS_LIVE_MAX, KeySort, type KeyWithUsage, type ListKeys } from '@keymeter/contract'
import { type RawBuilder, sql } from 'kysely'
import { z } from 'zod'
import { getCycle } from '../billing/cycle.ts'
import { readClock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { readInIndexOrder } from '../read-in-index-order.ts'
import type { Scope } from '../scope.ts'
import { currentKeyPrefix, keyStatus, selectKeysWithUsage, toKeyWithUsage } from './key.ts'

/**
 * The maximum number of keys that a page with a search examines. An account can have any number of revoked keys, and no index
 * can find a part of a name, or the revoked keys of a member.
 */
export const KEYS_EXAMINED_MAX = 1_000

interface Sort {
  /** The column, or an expression, that live keys are sorted by. There are few live keys, so no index is needed. */
  live: RawBuilder<unknown>
  /** The column that revoked keys are sorted by. It is in an index. */
  revoked: RawBuilder<unknown>
  direction: 'asc' | 'desc'
  /** True if the sort value of a live key can change. That of a revoked key never changes. */
  moves: boolean
}

/** The sort orders of a list. Keys with equal sort values are sorted by id. */
const SORTS = {
  newest: { live: sql`created_at`, revoked: sql`created_at`, direction: 'desc', moves: false },
  oldest: { live: sql`created_at`, revoked: sql`created_at`, direction: 'asc', moves: false },
  name: { live: sql`sort_name`, revoked: sql`sort_name`, direction: 'asc', moves: true },
  lastUsed: {
    live: sql`coalesce(last_used_at, timestamptz '1970-01-01Z')`,
    revoked: sql`revoked_last_used_at`,
    direction: 'desc',
    moves: true,
  },
} satisfies Record<KeySort, Sort>

/**
 * Returns one page of the account's keys, each with the credits that it used in the current billing cycle. If keys change while
 * a client reads the pages, this holds:
 *
 * - A key that matches the filters all the time is on exactly one page. The cursor contains a place: the sort value and the id
 *   of a key. So new keys do not shift the pages.
 * - A live key moves in the list by name when it is renamed, and in the list by last use when it is used. So the cursor of these
 *   lists also names the live keys that were returned, and each page contains the first of all other live keys. A key that has
 *   moved to an earlier place is at the beginning of the next page.
 * - The filters select by the status, the name and the secret that a key has when a page is read. A key that matches only since
 *   then is missing if its place is on an earlier page. It is not missing in the lists by name and by last use while it is live.
 * - Only a key that is renamed or used and also revoked between two pages can be missing in the list of all keys, or be on two
 *   pages.
 *
 * An account can have any number of revoked keys. So Postgres reads them by an index, in the order of the list: by
 * `api_keys_created_idx`, `api_keys_revoked_name_idx` or `api_keys_revoked_last_used_idx`. A page without a search reads only
 * the keys that it returns, and live keys. With a search, or with the keys of one member, a page examines a limited number of keys. If few of them match, the
 * page is short or empty, and its cursor points to the last examined key.
 *
 * @throws AppError `bad_request` if the cursor is not valid or belongs to another sort order.
 */
export async function listKeys(
  scope: Scope,
  { sort, cursor, limit, ...filters }: ListKeys,
): Promise<{ data: KeyWithUsage[]; nextCursor: string | null }> {
  const now = await readClock(scope)
  const start = cursor == null ? START : parseCursor(sort, cursor)
  const cycle = await getCycle(scope)
  if (cycle === null) return { data: [], nextCursor: null }
  const { ids, next } = await findKeys(scope, now, { ...filters, sort, limit, start })
  const rows = ids.length === 0 ? [] : await selectKeysWithUsage(scope, now, cycle.start).where('keys.id', 'in', ids).execute()
  const keys = new Map(rows.map((row) => [row.id, toKeyWithUsage(row)]))
  return { data: ids.flatMap((id) => keys.get(id) ?? []), nextCursor: next && formatCursor(sort, next) }
}

/** A place in the list: directly after a key. `value` is the sort value of the key. */
interface Place {
  /** A time is a number of microseconds, the precision of Postgres. */
  value: string | number
  id: string
}

/**
 * Where a page begins. If live keys move in the list, `returned` contains the ids of the live keys that earlier pages contained,
 * and `after` applies only to revoked keys. Otherwise `returned` is empty, and `after` applies to all keys.
 */
interface Start {
  after: Place | null
  returned: string[]
}
const START: Start = { after: null, returned: [] }

type Search = Pick<ListKeys, 'status' | 'sort' | 'search' | 'createdBy' | 'limit'> & { start: Start }

/** Returns the ids of the keys of one page, and where the next page begins. */
async function findKeys(scope: Scope, now: Date, search: Search): Promise<{ ids: string[]; next: Start | null }> {
  const { sort, limit, start, createdBy } = search
  const filters = [
    ...(search.search === '' ? [] : [contains(search.search)]),
    ...(createdBy === undefined ? [] : [sql`(created_by = ${createdBy} and not is_service)`]),
  ]
  const isSearch = filters.length > 0
  const examinedMax = isSearch ? KEYS_EXAMINED_MAX : limit + 1
  const order = orderBy(sort, sql`value`)
  await readInIndexOrder(scope)
  const { rows } = await sql<Place & { isFound: boolean; isLive: boolean; isAfter: boolean; number: number }>`
    select ${sort === 'name' ? sql`value` : sql`(extract(epoch from value) * 1000000)::bigint`} as value, id, is_found as "isFound", is_live as "isLive",
           ${isAfter(sql`value`, SORTS[sort].direction, start.after)} as "isAfter", number
      from (select *, row_number() over (order by ${order}) as number, ${isSearch ? sql.join(filters, sql` and `) : sql`true`} as is_found
              from (${examinedKeys(scope, now, search, examinedMax)}) as keys) as keys
     where is_found or number = ${examinedMax}
     order by number limit ${limit + 1}`.execute(scope.db)
  const found = rows.filter(({ isFound }) => isFound)
  const page = found.slice(0, limit)
  const last = rows.at(-1)
  const end = found.length > limit ? page.at(-1) : last?.number === examinedMax ? last : undefined
  const ids = page.map(({ id }) => id)
  if (end === undefined) return { ids, next: null }
  // All keys of the page can have moved to earlier places. Then the page contains no revoked key, and the place stays.
  const after = end.isAfter ? { value: end.value, id: end.id } : start.after
  const returned = SORTS[sort].moves ? await stillLive(scope, start.returned) : []
  return {
    ids,
    next: { after, returned: [...returned, ...page.filter(({ isLive }) => SORTS[sort].moves && isLive).map(({ id }) => id)] },
  }
}

/** Returns those of the keys that are live. An account has at most 100 live keys, so a cursor never contains more. */
async function stillLive({ db, userId }: Scope, ids: string[]): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select id from api_keys where user_id = ${userId} and revoked_at is null and id = any(${ids}::uuid[])`.execute(db)
  return rows.map(({ id }) => id)
}

/**
 * Selects the next keys with this status, in the order of the list. All live keys are read, because an account has at most 100.
 * Revoked keys are read by an index, and at most `count` of them.
 */
function examinedKeys({ userId }: Scope, now: Date, { status, sort, start }: Search, count: number): RawBuilder<unknown> {
  const { live, revoked, direction, moves }: Sort = SORTS[sort]
  const { after, returned } = start
  const isNotReturned = returned.length === 0 ? sql`true` : sql`id <> all(${returned}::uuid[])`
  const keysWhere = (column: RawBuilder<unknown>, condition: RawBuilder<unknown>) => sql`
    select ${column} as value, user_id, id, sort_name, created_by, is_service, revoked_at is null as is_live from api_keys as keys
     where user_id = ${userId} and ${condition} and ${isNotReturned}`
  const isOfStatus = status === 'live' || status === 'all' ? sql`true` : sql`${keyStatus(now)} = ${status}`
  const liveKeys = sql`${keysWhere(live, moves ? sql`true` : isAfter(live, direction, after))} and revoked_at is null and ${isOfStatus}`
  const revokedKeys = sql`
    select * from (${keysWhere(revoked, isAfter(revoked, direction, after))} and revoked_at is not null order by ${orderBy(sort, revoked)} limit ${count}) as revoked`
  const keys = status === 'all' ? sql`${liveKeys} union all ${revokedKeys}` : status === 'revoked' ? revokedKeys : liveKeys
  return sql`select * from (${keys}) as keys order by ${orderBy(sort, sql`value`)} limit ${count}`
}

function orderBy(sort: KeySort, column: RawBuilder<unknown>): RawBuilder<unknown> {
  const direction = sql.raw(SORTS[sort].direction)
  return sql`${column} ${direction}, id ${direction}`
}

function isAfter(column: RawBuilder<unknown>, direction: Sort['direction'], after: Place | null): RawBuilder<unknown> {
  if (after === null) return sql`true`
  const { value, id } = after
  const place = typeof value === 'string' ? sql`${value}` : sql`timestamptz '1970-01-01Z' + ${value} * interval '1 microsecond'`
  return sql`(${column}, id) ${sql.raw(direction === 'asc' ? '>' : '<')} (${place}, ${id}::uuid)`
}

/**
 * True if the name or the key prefix of a key contains the text. Case is ignored. A key prefix has only ASCII characters. The
 * current secret of each examined key is read by `api_key_secrets_current_idx`.
 */
function contains(text: string): RawBuilder<unknown> {
  return sql`(strpos(sort_name, lower(${text} collate "und-x-icu")) > 0
              or strpos(lower(${currentKeyPrefix} collate "C"), lower(${text} collate "C")) > 0)`
}

const Cursor = z.union([
  z.tuple([z.literal('name'), z.string().refine((text) => text.isWellFormed() && !text.includes('\0')), z.guid()]),
  z.tuple([KeySort.exclude(['name']), z.int(), z.guid()]),
])

/** The place as JSON, and the ids of the returned keys with 16 bytes for each id, both in base64. */
function formatCursor(sort: KeySort, { after, returned }: Start): string {
  const place = Buffer.from(JSON.stringify([sort, after?.value, after?.id])).toString('base64url')
  if (!SORTS[sort].moves) return place
  return `${place}.${Buffer.from(returned.join('').replaceAll('-', ''), 'hex').toString('base64url')}`
}

function parseCursor(sort: KeySort, text: string): Start {
  try {
    const [place = '', bytes = '', ...others] = text.split('.')
    const [ofSort, value, id] = Cursor.parse(JSON.parse(Buffer.from(place, 'base64url').toString()))
    const ids =
      Buffer.from(bytes, 'base64url')
        .toString('hex')
        .match(/.{1,32}/g) ?? []
    const returned = z
      .array(z.string().length(32))
      .max(SORTS[sort].moves ? KEYS_LIVE_MAX : 0)
      .parse(ids)
    if (ofSort === sort && others.length === 0) return { after: { value, id }, returned }
  } catch {}
  const message = 'This cursor is not valid for this sort order. Start again without a cursor.'
  throw new AppError('bad_request', { field: 'cursor', message })
}
