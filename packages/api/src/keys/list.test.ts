import { KEYS_CURSOR_LENGTH_MAX, KEYS_LIVE_MAX, type ListKeys } from '@keymeter/contract'
import { insertSecrets } from '@keymeter/local/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { charge, provisioned } from '../../test/caller.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'

const database = reconciledDatabase()
type Caller = Awaited<ReturnType<typeof provisioned>>['caller']

/** Reads all pages and returns the names of the keys in the order of the list. */
async function listAll(caller: Caller, input: Partial<ListKeys>, limit: number) {
  const names: string[] = []
  let cursor: string | null = null
  do {
    const page: Awaited<ReturnType<Caller['keys']['list']>> = await caller.keys.list({ ...input, limit, cursor })
    expect(page.data.length).toBeLessThanOrEqual(limit)
    names.push(...page.data.map(({ name }) => name))
    cursor = page.nextCursor
  } while (cursor !== null)
  return names
}

/** Creates an account with keys of every status. */
async function accountWithAll() {
  const account = await provisioned(database)
  const { caller, userId } = account
  for (const name of ['Delta', 'alpha', 'charlie', 'Bravo', 'echo', '100%_sure', 'ünï']) await caller.keys.create({ name })
  const { data } = await caller.keys.list()
  const id = (name: string) => data.find((key) => key.name === name)?.id ?? ''
  await caller.keys.disable({ id: id('alpha') })
  await caller.keys.disable({ id: id('Bravo') })
  await caller.keys.revoke({ id: id('Bravo') })
  await caller.keys.revoke({ id: id('echo') })
  await caller.keys.disable({ id: id('Delta') })
  await database.owner.query(
    "update api_keys set expires_at = now() - interval '1 s' where user_id = $1 and name in ('charlie', 'Delta')",
    [userId],
  )
  return { ...account, id }
}

describe('keys.list', () => {
  it('lists each key under exactly one status, and has the filters live, revoked and all', async () => {
    const { caller } = await accountWithAll()
    const names = async (status: ListKeys['status']) => (await caller.keys.list({ status })).data.map(({ name }) => name)
    expect(await names('active')).toEqual(['ünï', '100%_sure', 'default'])
    expect(await names('disabled')).toEqual(['alpha', 'Delta'])
    expect(await names('expired')).toEqual(['charlie'])
    expect(await names('revoked')).toEqual(['echo', 'Bravo'])
    expect(await names('live')).toEqual(['ünï', '100%_sure', 'charlie', 'alpha', 'Delta', 'default'])
    expect(await names('all')).toEqual(['ünï', '100%_sure', 'echo', 'Bravo', 'charlie', 'alpha', 'Delta', 'default'])
    for (const { status } of (await caller.keys.list({ status: 'disabled' })).data) expect(status).toBe('disabled')
  })

  it('shows the usage of disabled, expired and revoked keys', async () => {
    const { caller, userId, defaultKey } = await provisioned(database)
    const keys = [defaultKey]
    for (const name of ['disabled', 'expired', 'revoked']) keys.push(await caller.keys.create({ name }))
    for (const { secret } of keys) await charge(database, secret, 3)
    const [, disabled, expired, revoked] = keys.map(({ id }) => id)
    await caller.keys.disable({ id: disabled ?? '' })
    await caller.keys.revoke({ id: revoked ?? '' })
    await database.owner.query("update api_keys set expires_at = '2020-01-01' where user_id = $1 and id = $2", [
      userId,
      expired,
    ])
    const { data } = await caller.keys.list({ status: 'all' })
    expect(data.map(({ status, creditsUsed }) => [status, creditsUsed])).toEqual([
      ['revoked', 3],
      ['expired', 3],
      ['disabled', 3],
      ['active', 3],
    ])
  })

  it('searches names and key prefixes without regard to case, and treats wildcards as normal characters', async () => {
    const { caller, defaultKey } = await accountWithAll()
    const found = async (search: string) => (await caller.keys.list({ search, status: 'all' })).data.map(({ name }) => name)
    expect(await found('BRAVO')).toEqual(['Bravo'])
    expect(await found(' alph ')).toEqual(['alpha'])
    expect(await found('ÜNÏ')).toEqual(['ünï'])
    expect(await found('%_')).toEqual(['100%_sure'])
    expect(await found('_%')).toEqual([])
    expect(await found('\\')).toEqual([])
    expect(await found(defaultKey.keyPrefix)).toEqual(['default'])
    expect(await found(defaultKey.keyPrefix.toUpperCase())).toEqual(['default'])
  })

  it('finds a name in every form of Unicode', async () => {
    const { caller } = await provisioned(database)
    const forms = ['Schlu\u0308ssel', 'Schl\u00fcssel', 'SCHLU\u0308SSEL']
    for (const name of forms) await caller.keys.create({ name })
    for (const search of ['lu\u0308s', 'l\u00fcs', 'L\u00dcS', '\u00fc'])
      expect((await caller.keys.list({ search })).data).toHaveLength(forms.length)
  })

  it.each([
    ['newest', ['ünï', '100%_sure', 'echo', 'Bravo', 'charlie', 'alpha', 'Delta', 'default']],
    ['oldest', ['default', 'Delta', 'alpha', 'charlie', 'Bravo', 'echo', '100%_sure', 'ünï']],
  ] as const)('sorts by %s and lists each key once, with pages of any size', async (sort, expected) => {
    const { caller } = await accountWithAll()
    for (const limit of [1, 3, 8, 100]) expect(await listAll(caller, { sort, status: 'all' }, limit)).toEqual(expected)
  })

  it('sorts by name without regard to case, and by last use with unused keys at the end', async () => {
    const { caller, userId, id } = await accountWithAll()
    for (const limit of [1, 2, 100]) {
      const names = await listAll(caller, { sort: 'name', status: 'all' }, limit)
      expect(names.filter((name) => /^[a-z]+$/i.test(name))).toEqual(['alpha', 'Bravo', 'charlie', 'default', 'Delta', 'echo'])
    }
    const used = ['charlie', 'default', 'echo']
    for (const [i, name] of used.entries()) {
      await database.owner.query(
        "update api_keys set last_used_at = '2026-06-01T00:00:00Z'::timestamptz - $3 * interval '1 microsecond' where user_id = $1 and id = $2",
        [userId, id(name), i],
      )
    }
    for (const limit of [1, 2, 100]) {
      const names = await listAll(caller, { sort: 'lastUsed', status: 'all' }, limit)
      expect(names.slice(0, 3)).toEqual(used)
      expect(new Set(names).size).toBe(8)
    }
  })

  it('lists each key once, even if keys have the same creation time or are created between two pages', async () => {
    const { caller, userId } = await provisioned(database)
    for (let i = 0; i < 11; i++) await caller.keys.create({ name: `key ${i}` })
    await database.owner.query("update api_keys set created_at = '2026-01-01 00:00:00.123456Z' where user_id = $1", [userId])
    expect(new Set(await listAll(caller, {}, 5)).size).toBe(12)
    const first = await caller.keys.list({ limit: 5 })
    await caller.keys.create({ name: 'new' })
    const second = await caller.keys.list({ limit: 100, cursor: first.nextCursor })
    expect([...first.data, ...second.data].map(({ name }) => name).sort()).toEqual(
      (await listAll(caller, {}, 100)).filter((name) => name !== 'new').sort(),
    )
  })

  it('returns a cursor if there are more keys than fit on a page', async () => {
    const { caller, userId } = await provisioned(database)
    await database.owner.query("insert into api_keys (user_id, name) select $1, 'key ' || n from generate_series(1, 100) n", [
      userId,
    ])
    await insertSecrets(database.owner)
    const { data, nextCursor } = await caller.keys.list()
    expect(data).toHaveLength(100)
    expect((await caller.keys.list({ cursor: nextCursor })).data).toHaveLength(1)
  })

  it.each([
    { limit: 0 },
    { limit: 101 },
    { status: 'gone' as 'all' },
    { sort: 'size' as 'name' },
    { search: 'a\u0000b' },
    { search: 'x'.repeat(65) },
    { cursor: '' },
    { cursor: 'nonsense' },
    { cursor: cursorOf(['name', 'x', 'not an id']) },
    { cursor: cursorOf(['newest', 'now', '11111111-1111-1111-1111-111111111111']) },
    { cursor: cursorOf(['newest', 1.5, '11111111-1111-1111-1111-111111111111']) },
    { cursor: cursorOf(['newest', 2 ** 60, '11111111-1111-1111-1111-111111111111']) },
    { cursor: cursorOf(['oldest', 5, '11111111-1111-1111-1111-111111111111']) },
    { cursor: cursorOf(['name', 'a\u0000', '11111111-1111-1111-1111-111111111111']), sort: 'name' as const },
    { cursor: cursorOf({ toString: 1 }) },
  ])('refuses %j', async (input) => {
    const { caller } = await provisioned(database)
    await expect(caller.keys.list(input)).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  })

  it('accepts a cursor with any integer as its time', async () => {
    const { caller } = await provisioned(database)
    for (const place of [Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER, 0]) {
      const cursor = cursorOf(['oldest', place, '11111111-1111-1111-1111-111111111111'])
      expect((await caller.keys.list({ sort: 'oldest', cursor })).data).toHaveLength(place > 1e15 ? 0 : 1)
    }
  })
})

function cursorOf(content: unknown): string {
  return Buffer.from(JSON.stringify(content)).toString('base64url')
}

describe('keys that change between two pages of keys.list', () => {
  const use = async (userId: string, id: string, minute: number) =>
    await database.owner.query(
      "update api_keys set last_used_at = timestamptz '2026-06-01Z' + $3 * interval '1 minute' where user_id = $1 and id = $2",
      [userId, id, minute],
    )

  /** Creates an account with live keys and revoked keys. The last use of a key with a higher number is later. */
  async function accountWith(liveCount: number, revokedCount: number) {
    const { caller, userId, defaultKey } = await provisioned(database)
    await caller.keys.revoke({ id: defaultKey.id })
    const ids: string[] = []
    for (let n = 0; n < liveCount + revokedCount; n++) {
      const { id } = await caller.keys.create({ name: `key ${String(n).padStart(3, '0')}` })
      ids.push(id)
      await use(userId, id, n)
    }
    // Every second key is revoked, as long as there are keys to revoke.
    const revoked = ids.filter((_, n) => n % 2 === 1).slice(0, revokedCount)
    for (const id of revoked) await caller.keys.revoke({ id })
    return { caller, userId, live: ids.filter((id) => !revoked.includes(id)), all: [defaultKey.id, ...ids] }
  }

  /** Reads all pages, and calls `change` after each page. Returns the ids in the order of the pages. */
  async function readAll(caller: Caller, input: Partial<ListKeys>, change: (page: number, seen: string[]) => Promise<unknown>) {
    const seen: string[] = []
    let cursor: string | null = null
    let page = 0
    do {
      const { data, nextCursor }: Awaited<ReturnType<Caller['keys']['list']>> = await caller.keys.list({ ...input, cursor })
      seen.push(...data.map(({ id }) => id))
      cursor = nextCursor
      if (cursor !== null) await change(page++, seen)
    } while (cursor !== null)
    return seen
  }

  it.each(['live', 'all'] as const)(
    'are each on one page of the %s keys by last use if every key is used after every page',
    async (status) => {
      for (const limit of [1, 2, 3]) {
        const { caller, userId, live, all } = await accountWith(5, 4)
        let minute = 1_000
        const seen = await readAll(caller, { sort: 'lastUsed', status, limit }, async () => {
          for (const id of live) await use(userId, id, minute++)
        })
        expect(seen.sort()).toEqual([...(status === 'live' ? live : all)].sort())
      }
    },
  )

  it('are each on one page by last use if a key that was not returned yet moves to the first place', async () => {
    const { caller, userId, live, all } = await accountWith(4, 4)
    const [least = ''] = live
    const seen = await readAll(caller, { sort: 'lastUsed', status: 'all', limit: 3 }, async (page) => {
      if (page === 0) await use(userId, least, 5_000)
    })
    // The key is at the beginning of the second page.
    expect(seen[3]).toBe(least)
    expect(seen.sort()).toEqual([...all].sort())
  })

  it('are each on one page by name if keys are renamed to earlier and to later places', async () => {
    for (const limit of [1, 2, 3]) {
      const { caller, live, all } = await accountWith(5, 3)
      const seen = await readAll(caller, { sort: 'name', status: 'all', limit }, async (page) => {
        for (const [n, id] of live.entries()) await caller.keys.update({ id, name: `${(n + page) % 2 === 0 ? 'a' : 'z'} ${n}` })
      })
      expect(seen.sort()).toEqual([...all].sort())
    }
  })

  it.each(['newest', 'oldest', 'name', 'lastUsed'] as const)(
    'are on one page sorted by %s if keys are revoked after they were returned',
    async (sort) => {
      const { caller, all } = await accountWith(6, 3)
      const seen = await readAll(
        caller,
        { sort, status: 'all', limit: 2 },
        async (_, ids) => await caller.keys.revoke({ id: ids.at(-1) ?? '' }),
      )
      expect(seen.sort()).toEqual([...all].sort())
    },
  )

  it.each(['newest', 'oldest', 'name', 'lastUsed'] as const)(
    'are each on one page sorted by %s after random uses, renames, status changes and new keys',
    async (sort) => {
      const change = fc.record({
        key: fc.nat(6),
        what: fc.constantFrom('use', 'rename', 'disable', 'enable', 'create'),
        to: fc.nat(2_000),
      })
      const input = fc.record({
        status: fc.constantFrom('live' as const, 'all' as const),
        limit: fc.integer({ min: 1, max: 4 }),
        search: fc.constantFrom('', 'key'),
        changes: fc.array(fc.array(change, { maxLength: 6 }), { minLength: 1, maxLength: 6 }),
      })
      await fc.assert(
        fc.asyncProperty(input, async ({ status, limit, search, changes }) => {
          const { caller, userId, live, all } = await accountWith(6, 3)
          const seen = await readAll(caller, { sort, status, limit, search }, async (page) => {
            for (const { key, what, to } of changes[page] ?? []) {
              const id = live[key % live.length] ?? ''
              if (what === 'use') await use(userId, id, to)
              else if (what === 'rename') await caller.keys.update({ id, name: `${to % 2 === 0 ? 'a' : 'z'} key ${to}` })
              else if (what === 'create') await caller.keys.create({ name: `new key ${to}` })
              else await caller.keys[what as 'disable']({ id })
            }
          })
          expect(new Set(seen).size).toBe(seen.length)
          const expected = (status === 'live' ? live : all).filter((id) => search === '' || all.indexOf(id) > 0)
          expect(seen).toEqual(expect.arrayContaining(expected))
        }),
        { numRuns: 8 },
      )
    },
  )
})

describe('the cursor of keys.list', () => {
  it(`has at most ${KEYS_CURSOR_LENGTH_MAX} characters, also after all live keys with the longest names were returned`, async () => {
    const { caller, userId, defaultKey } = await provisioned(database)
    await caller.keys.revoke({ id: defaultKey.id })
    await database.owner.query('update api_keys set name = $2 where user_id = $1', [userId, 'ｚ'.repeat(64)])
    for (const letter of ['😀', '"', 'İ', 'ﷺ', '\\']) {
      await database.owner.query(
        `with gone as (delete from api_keys where user_id = $1 and revoked_at is null)
         insert into api_keys (user_id, name) select $1, repeat($2, 64) from generate_series(1, $3::int)`,
        [userId, letter, KEYS_LIVE_MAX],
      )
      await insertSecrets(database.owner)
      const lengths: number[] = []
      for (const sort of ['name', 'lastUsed'] as const) {
        const ids = new Set<string>()
        let cursor: string | null = null
        do {
          const page: Awaited<ReturnType<Caller['keys']['list']>> = await caller.keys.list({
            sort,
            status: 'all',
            limit: 25,
            cursor,
          })
          for (const { id } of page.data) ids.add(id)
          cursor = page.nextCursor
          lengths.push(cursor?.length ?? 0)
        } while (cursor !== null)
        expect(ids.size).toBe(KEYS_LIVE_MAX + 1)
      }
      expect(Math.max(...lengths)).toBeGreaterThan(2_134)
      expect(Math.max(...lengths)).toBeLessThanOrEqual(KEYS_CURSOR_LENGTH_MAX)
    }
  })

  it('names only returned keys that are still live, so it stays valid if keys are revoked and created while a client reads the pages', async () => {
    const { caller, userId } = await provisioned(database)
    await database.owner.query("insert into api_keys (user_id, name) select $1, 'key' from generate_series(2, $2::int) n", [
      userId,
      KEYS_LIVE_MAX,
    ])
    await insertSecrets(database.owner)
    const seen: string[] = []
    let cursor: string | null = null
    for (let page = 0; page < 4; page++) {
      const { data, nextCursor }: Awaited<ReturnType<Caller['keys']['list']>> = await caller.keys.list({
        sort: 'lastUsed',
        limit: page === 0 ? KEYS_LIVE_MAX - 1 : 1,
        cursor,
      })
      seen.push(...data.map(({ id }) => id))
      cursor = nextCursor
      for (let n = 0; n < 2; n++) {
        await caller.keys.revoke({ id: seen[2 * page + n] ?? '' })
        await caller.keys.create({ name: 'new' })
      }
    }
    expect(new Set(seen).size).toBe(KEYS_LIVE_MAX + 2)
    expect(cursor).not.toBeNull()
  })

  it('is refused if it is too long, or if its list of keys is not valid', async () => {
    const { caller } = await provisioned(database)
    const place = (sort: string) => cursorOf([sort, 0, '11111111-1111-1111-1111-111111111111'])
    const ids = (bytes: number) => Buffer.alloc(bytes, 1).toString('base64url')
    expect(
      (await caller.keys.list({ sort: 'lastUsed', cursor: `${place('lastUsed')}.${ids(16 * KEYS_LIVE_MAX)}` })).data,
    ).toHaveLength(1)
    for (const [sort, cursor] of [
      ['lastUsed', `${place('lastUsed')}.${ids(16 * (KEYS_LIVE_MAX + 1))}`],
      ['lastUsed', `${place('lastUsed')}.${ids(15)}`],
      ['lastUsed', `${place('lastUsed')}.${ids(16)}.`],
      ['newest', `${place('newest')}.${ids(16)}`],
      ['lastUsed', place('lastUsed').padEnd(KEYS_CURSOR_LENGTH_MAX + 1, 'A')],
    ] as const)
      await expect(caller.keys.list({ sort, cursor })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  })

  it('returns each live key once if it names keys of another account or keys that do not exist', async () => {
    const { caller } = await provisioned(database)
    const { defaultKey } = await provisioned(database)
    const place = cursorOf(['lastUsed', 0, defaultKey.id])
    const cursor = `${place}.${Buffer.from(defaultKey.id.replaceAll('-', ''), 'hex').toString('base64url')}`
    expect((await caller.keys.list({ sort: 'lastUsed', cursor })).data).toHaveLength(1)
  })
})
