import { KEYS_LIVE_MAX, type Key, KeyFilter, KeySort, type ListKeys } from '@keymeter/contract'
import { insertSecrets, testDatabase } from '@keymeter/local/testing'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { accessToken, contextOf, provisioned } from '../../test/caller.ts'
import { type RecordedStatement, recordPlans, rowsRead } from '../../test/recorded-plans.ts'
import { appRouter } from '../router.ts'
import { KEYS_EXAMINED_MAX } from './list.ts'

const database = testDatabase()
/** The number of revoked keys of the account. A page with a search examines only a part of them. */
const REVOKED = 2_400
/** A member who has created a part of the keys. */
const OTHER_MEMBER = '00000000-0000-4000-8000-000000000001'
type Caller = Awaited<ReturnType<typeof provisioned>>['caller']
let account: Awaited<ReturnType<typeof provisioned>>
let all: Key[]

/** Creates an account with 100 live keys and many revoked keys. Some keys have equal names, times or last uses. */
beforeAll(async () => {
  account = await provisioned(database)
  const insert = async (count: number, isRevoked: boolean) =>
    await database.owner.query(
      `insert into api_keys (user_id, name, created_at, last_used_at, disabled_at, expires_at, revoked_at, created_by, is_service)
       select $1, case when n % 7 = 0 then 'Ünï ' when n % 3 = 0 then 'b_%' else 'name ' end || n % 40,
              timestamptz '2027-01-01Z' + n / 3 * interval '1 minute' + case when $3 then interval '20 seconds' else '0' end,
              case when n % 4 > 0 then timestamptz '2027-02-01Z' + n % 50 * interval '1.5 milliseconds' end,
              case when n % 5 = 0 then now() end, case when n % 6 = 0 then timestamptz '2020-01-01Z' end, case when $3 then now() end,
              case n % 4 when 1 then $1::uuid when 2 then $4::uuid end, n % 9 = 0
         from generate_series(1, $2::int) as n`,
      [account.userId, count, isRevoked, OTHER_MEMBER],
    )
  await insert(KEYS_LIVE_MAX - 1, false)
  await insert(REVOKED, true)
  await insertSecrets(database.owner)
  all = (await pagesOf({ status: 'all', limit: 100 })).flat()
})

/** Reads all pages of the list. */
async function pagesOf(input: Partial<ListKeys>): Promise<Key[][]> {
  const pages: Key[][] = []
  let cursor: string | null = null
  do {
    const page: Awaited<ReturnType<Caller['keys']['list']>> = await account.caller.keys.list({ ...input, cursor })
    pages.push(page.data)
    cursor = page.nextCursor
  } while (cursor !== null)
  return pages
}

/** Returns the ids of all keys in the order of the list. Postgres sorts them by the values that the list shows. */
async function idsInOrder(sort: KeySort): Promise<string[]> {
  const column = {
    newest: 'created_at desc',
    oldest: 'created_at',
    name: 'lower(name collate "und-x-icu")',
    lastUsed: "coalesce(last_used_at, 'epoch') desc",
  }[sort]
  const direction = sort === 'newest' || sort === 'lastUsed' ? 'desc' : 'asc'
  const { rows } = await database.owner.query(
    `select id from api_keys where user_id = $1 order by ${column}, id ${direction}`,
    [account.userId],
  )
  return rows.map(({ id }) => id)
}

describe(`keys.list of an account with ${REVOKED} revoked keys`, () => {
  it('returns exactly the keys that a naive filter finds, for any status, sort order, search and page size', async () => {
    const input = fc.record({
      status: fc.constantFrom(...KeyFilter.options),
      sort: fc.constantFrom(...KeySort.options),
      search: fc.constantFrom('', '', 'ÜNÏ', 'name 3', '_%', 'km_dev_0', 'default', 'nothing'),
      creator: fc.constantFrom('everybody', 'everybody', 'the owner', 'another member'),
      limit: fc.integer({ min: 60, max: 100 }),
    })
    await fc.assert(
      fc.asyncProperty(input, async ({ status, sort, search, creator, limit }) => {
        const createdBy = { everybody: undefined, 'the owner': account.userId, 'another member': OTHER_MEMBER }[creator]
        const order = await idsInOrder(sort)
        const keys = new Map(all.map((key) => [key.id, key]))
        const expected = order.filter((id) => {
          const { status: own, name, keyPrefix, createdBy: by, isService } = keys.get(id) ?? account.defaultKey
          const isOfStatus = status === 'all' || (status === 'live' ? own !== 'revoked' : own === status)
          const isOfCreator = createdBy === undefined || (by?.id === createdBy && !isService)
          return (
            isOfStatus && isOfCreator && [name, keyPrefix].some((text) => text.toLowerCase().includes(search.toLowerCase()))
          )
        })
        const pages = await pagesOf({ status, sort, search, createdBy, limit })
        expect(pages.flat().map(({ id }) => id)).toEqual(expected)
        for (const page of pages.slice(0, -1)) if (search === '' && createdBy === undefined) expect(page.length).toBe(limit)
      }),
      { numRuns: 40 },
    )
  })

  it('a page with a search examines 1,000 keys, and its cursor points to the last of them', async () => {
    const order = await idsInOrder('oldest')
    const rename = async (n: number, name: string) =>
      await database.owner.query('update api_keys set name = $3 where user_id = $1 and id = $2', [
        account.userId,
        order[n - 1],
        name,
      ])
    const search = async (input: Partial<ListKeys> = {}) =>
      await account.caller.keys.list({ status: 'all', sort: 'oldest', search: 'needle', ...input })
    const names = order.map((id) => all.find((key) => key.id === id)?.name ?? '')
    await rename(KEYS_EXAMINED_MAX, 'needle')
    const found = await search()
    expect(found.data.map(({ id }) => id)).toEqual([order[KEYS_EXAMINED_MAX - 1]])
    expect(found.nextCursor).not.toBeNull()
    await rename(KEYS_EXAMINED_MAX, names[KEYS_EXAMINED_MAX - 1] ?? '')
    await rename(KEYS_EXAMINED_MAX + 1, 'needle')
    const first = await search()
    expect(first.data).toEqual([])
    const second = await search({ cursor: first.nextCursor })
    expect(second.data.map(({ id }) => id)).toEqual([order[KEYS_EXAMINED_MAX]])
    await rename(KEYS_EXAMINED_MAX + 1, names[KEYS_EXAMINED_MAX] ?? '')
  })
})

describe('rows that a call reads', () => {
  beforeAll(async () => {
    await database.owner.query('vacuum analyze')
  })
  const LIMIT = 20
  const record = async (call: (caller: Caller) => Promise<unknown>): Promise<RecordedStatement[]> => {
    const token = await accessToken(account.userId)
    return await recordPlans(database, async (db) => await call(appRouter.createCaller(contextOf({ db }, token))))
  }
  /** Live keys are read whole. The list reads one key more than a page has, and each key of the page once more. */
  const KEYS_READ_MAX = 2 * KEYS_LIVE_MAX + 3 * (LIMIT + 1)

  const lists = KeyFilter.options.flatMap((status) => KeySort.options.map((sort) => [status, sort] as const))
  it.each(lists)('keys.list reads few revoked keys and few secrets: status %s, sorted by %s', async (status, sort) => {
    let cursor: string | null = null
    for (let page = 0; page < 3; page++) {
      const recorded = await record(async ({ keys }) => {
        cursor = (await keys.list({ status, sort, limit: LIMIT, cursor })).nextCursor
      })
      expect(rowsRead(recorded, 'api_keys')).toBeLessThanOrEqual(KEYS_READ_MAX)
      expect(rowsRead(recorded, 'api_key_secrets')).toBeLessThanOrEqual(2 * LIMIT)
      if (cursor === null) break
    }
  })

  it.each(lists)(
    'keys.list with a search reads at most 1,000 revoked keys and one secret of each: status %s, sorted by %s',
    async (status, sort) => {
      const recorded = await record(async ({ keys }) => await keys.list({ status, sort, search: 'nothing' }))
      const isLive = status !== 'all' && status !== 'revoked'
      expect(rowsRead(recorded, 'api_keys')).toBeLessThanOrEqual((isLive ? 0 : KEYS_EXAMINED_MAX) + 2 * KEYS_LIVE_MAX)
      // The key prefix of each examined key is compared.
      expect(rowsRead(recorded, 'api_key_secrets')).toBeLessThanOrEqual(isLive ? KEYS_LIVE_MAX : KEYS_EXAMINED_MAX)
    },
  )

  it.each(lists)(
    'keys.list of the keys of one member reads at most 1,000 revoked keys: status %s, sorted by %s',
    async (status, sort) => {
      const recorded = await record(
        async ({ keys }) => await keys.list({ status, sort, createdBy: OTHER_MEMBER, limit: LIMIT }),
      )
      const isLive = status !== 'all' && status !== 'revoked'
      expect(rowsRead(recorded, 'api_keys')).toBeLessThanOrEqual((isLive ? 0 : KEYS_EXAMINED_MAX) + KEYS_READ_MAX)
      expect(rowsRead(recorded, 'api_key_secrets')).toBeLessThanOrEqual(2 * LIMIT)
    },
  )

  it('keys.usage reads only live keys and their secrets', async () => {
    const recorded = await record(async ({ keys }) => await keys.usage())
    expect(rowsRead(recorded, 'api_keys')).toBe(KEYS_LIVE_MAX)
    expect(rowsRead(recorded, 'api_key_secrets')).toBeLessThanOrEqual(2 * KEYS_LIVE_MAX)
  })

  it('an update of the last use of a live key writes to no index', async () => {
    const client = await database.owner.connect()
    try {
      await client.query('begin')
      // The first update can move the row to another page. Then it writes to all indexes.
      for (let n = 1; n <= 3; n++)
        await client.query(
          'update api_keys set last_used_at = now() + $3 * interval $$1 minute$$ where user_id = $1 and id = $2',
          [account.userId, account.defaultKey.id, n],
        )
      const { rows } = await client.query("select pg_stat_get_xact_tuples_hot_updated('api_keys'::regclass)::int as count")
      expect(rows[0].count).toBeGreaterThan(0)
      await client.query('rollback')
    } finally {
      client.release()
    }
  })
})
