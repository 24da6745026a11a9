import type { ListKeys } from '@keymeter/contract'
import { insertSecrets } from '@keymeter/local/testing'
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
