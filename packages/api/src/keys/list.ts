import { KeySort, type KeyWithUsage, type ListKeys } from '@keymeter/contract'
import { type RawBuilder, sql } from 'kysely'
import { z } from 'zod'
import { getCycle } from '../billing/cycle.ts'
import { readClock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { keyStatus, selectKeysWithUsage, toKeyWithUsage } from './key.ts'

interface Sort {
  column: RawBuilder<unknown>
  direction: 'asc' | 'desc'
  value: RawBuilder<string | number>
}

/** This collation sorts and lower-cases the letters of all languages, independent of the database's locale. */
const UNICODE = sql.raw('"und-x-icu"')
const NAME = sql<string>`lower(keys.name collate ${UNICODE})`

/**
 * The sort orders of a list. Keys with equal sort values are sorted by id. `value` is the sort value in a cursor. Times are in
 * whole microseconds, the precision of Postgres.
 */
const SORTS = {
  newest: { column: sql`keys.created_at`, direction: 'desc', value: microseconds('keys.created_at') },
  oldest: { column: sql`keys.created_at`, direction: 'asc', value: microseconds('keys.created_at') },
  name: { column: NAME, direction: 'asc', value: NAME },
  lastUsed: {
    column: sql`coalesce(keys.last_used_at, 'epoch')`,
    direction: 'desc',
    value: microseconds("coalesce(keys.last_used_at, 'epoch')"),
  },
} satisfies Record<KeySort, Sort>

/**
 * Returns one page of the account's keys, each with the credits that it used in the current billing cycle. The cursor contains
 * the sort value and the id of the last key of the page, so new keys do not shift the pages. For `newest` and `oldest`,
 * Postgres reads `api_keys_live_idx` or `api_keys_created_idx` in order. For the other sort orders, it sorts all keys of the
 * account.
 *
 * @throws AppError `bad_request` if the cursor is not valid or belongs to another sort order.
 */
export async function listKeys(
  scope: Scope,
  { status, sort, search, cursor, limit }: ListKeys,
): Promise<{ data: KeyWithUsage[]; nextCursor: string | null }> {
  const now = await readClock(scope)
  const { column, direction, value }: Sort = SORTS[sort]
  const after = cursor == null ? null : parseCursor(sort, cursor)
  const cycle = await getCycle(scope)
  if (cycle === null) return { data: [], nextCursor: null }
  let query = selectKeysWithUsage(scope, now, cycle.start)
    .select(value.as('place'))
    .orderBy(column, direction)
    .orderBy('keys.id', direction)
    .limit(limit + 1)
  if (status !== 'all') query = query.where('keys.revoked_at', status === 'revoked' ? 'is not' : 'is', null)
  if (status === 'active' || status === 'disabled' || status === 'expired') {
    query = query.where(keyStatus(now), '=', status)
  }
  if (search !== '') {
    const has = (text: string) =>
      sql<boolean>`strpos(lower(${sql.ref(text)} collate ${UNICODE}), lower(${search} collate ${UNICODE})) > 0`
    query = query.where((eb) => eb.or([has('keys.name'), has('keys.key_prefix')]))
  }
  if (after !== null) {
    const place =
      typeof after.place === 'string'
        ? sql`${after.place}`
        : sql`'epoch'::timestamptz + ${after.place} * interval '1 microsecond'`
    query = query.where(
      sql<boolean>`(${column}, keys.id) ${sql.raw(direction === 'asc' ? '>' : '<')} (${place}, ${after.id}::uuid)`,
    )
  }
  const rows = await query.execute()
  const page = rows.slice(0, limit)
  const last = page.at(-1)
  return {
    data: page.map(toKeyWithUsage),
    nextCursor: rows.length > limit && last !== undefined ? formatCursor(sort, last.place, last.id) : null,
  }
}

function microseconds(moment: string) {
  return sql<number>`(extract(epoch from ${sql.raw(moment)}) * 1000000)::bigint`
}

const Cursor = z.union([
  z.tuple([z.literal('name'), z.string().refine((text) => text.isWellFormed() && !text.includes('\0')), z.guid()]),
  z.tuple([KeySort.exclude(['name']), z.int(), z.guid()]),
])

function formatCursor(sort: KeySort, place: string | number, id: string): string {
  return Buffer.from(JSON.stringify([sort, place, id])).toString('base64url')
}

function parseCursor(sort: KeySort, text: string): { place: string | number; id: string } {
  try {
    const [ofSort, place, id] = Cursor.parse(JSON.parse(Buffer.from(text, 'base64url').toString()))
    if (ofSort === sort) return { place, id }
  } catch {}
  const message = 'This cursor is not valid for this sort order. Start again without a cursor.'
  throw new AppError('bad_request', { field: 'cursor', message })
}
