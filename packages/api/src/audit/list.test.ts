import { AuditAction, type AuditEntry, type ListAudit } from '@keymeter/contract'
import { testDatabase } from '@keymeter/local/testing'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { accessToken, contextOf, provisioned } from '../../test/caller.ts'
import { recordPlans, rowsRead } from '../../test/recorded-plans.ts'
import { appRouter } from '../router.ts'

const database = testDatabase()
const START = Date.parse('2027-03-01T00:00:00.000Z')
type Account = Awaited<ReturnType<typeof provisioned>> & { keys: string[] }
type Filters = Pick<ListAudit, 'action' | 'keyId' | 'from' | 'to'>

/**
 * Creates an account with `count` audit entries. Most entries update or rotate one key. The other actions and keys are rare, and
 * some actions do not occur. Three entries at a time have the same time. In the middle, the clock is set back by some minutes.
 */
async function accountWith(count: number): Promise<Account> {
  const account = await provisioned(database)
  for (let n = 0; n < 3; n++) await account.caller.keys.create({ name: `key ${n}` })
  const keys = (await account.caller.keys.list({ sort: 'oldest' })).data.map(({ id }) => id)
  await database.owner.query('delete from audit_log where user_id = $1', [account.userId])
  await database.owner.query(
    `insert into audit_log (user_id, sequence, actor, actor_id, action, api_key_id, detail, request_id, created_at, hash)
     select $1, n, 'member', $1, action, case when action not like 'account.%' then ($2::uuid[])[case when n % 9 = 4 then 2 when n % 301 = 7 then 3 else 1 end] end,
            '{}', 'request', $3::timestamptz + n / 3 * interval '1 second' - case when n > $4 / 2 then interval '3 minutes' else '0' end, sha256('x')
       from generate_series(1, $4::int) as n,
            lateral (select case when n % 997 = 5 then 'account.topped_up' when n % 499 = 3 then 'key.disabled'
                                 when n % 2 = 0 then 'key.updated' else 'key.rotated' end as action) as what`,
    [account.userId, keys, new Date(START), count],
  )
  return { ...account, keys }
}

/** Reads all pages of the list. */
async function pagesOf({ caller }: Account, filters: Filters, limit: number): Promise<AuditEntry[][]> {
  const pages: AuditEntry[][] = []
  let cursor: number | null = null
  do {
    const page: Awaited<ReturnType<typeof caller.audit.list>> = await caller.audit.list({ ...filters, limit, cursor })
    pages.push(page.data)
    cursor = page.nextCursor
  } while (cursor !== null)
  return pages
}

describe('pages of audit.list', () => {
  const ENTRIES = 2_000
  let account: Account
  let all: AuditEntry[]
  beforeAll(async () => {
    account = await accountWith(ENTRIES)
    await accountWith(50)
    all = (await pagesOf(account, {}, 100)).flat()
  })

  it('contain each entry once, sorted by time and then by sequence', () => {
    const order = all.map(({ createdAt, sequence }) => `${createdAt} ${String(sequence).padStart(6, '0')}`)
    expect(order).toEqual(order.toSorted().toReversed())
    expect(new Set(all.map(({ sequence }) => sequence)).size).toBe(ENTRIES)
    expect(all.length).toBe(ENTRIES)
  })

  it('contain exactly the entries that a naive filter finds, for any filter and page size, even if the clock was set back', async () => {
    const seconds = fc.option(fc.integer({ min: -10, max: 700 }), { nil: undefined })
    const filters = fc.record({
      action: fc.option(fc.constantFrom(...AuditAction.options), { nil: undefined }),
      key: fc.option(fc.nat({ max: 4 }), { nil: undefined }),
      from: seconds,
      to: seconds,
      limit: fc.integer({ min: 40, max: 100 }),
    })
    await fc.assert(
      fc.asyncProperty(filters, async ({ action, key, from, to, limit }) => {
        const at = (second: number) => new Date(START + second * 1000).toISOString()
        const input: Filters = {
          ...(action !== undefined && { action }),
          ...(key !== undefined && { keyId: account.keys[key] ?? crypto.randomUUID() }),
          ...(from !== undefined && { from: at(from) }),
          ...(to !== undefined && { to: at(to) }),
        }
        const pages = await pagesOf(account, input, limit)
        for (const page of pages.slice(0, -1)) expect(page.length).toBe(limit)
        expect(pages.flat()).toEqual(
          all.filter(
            (entry) =>
              (input.action ?? entry.action) === entry.action &&
              (input.keyId ?? entry.keyId) === entry.keyId &&
              (input.from === undefined || entry.createdAt >= input.from) &&
              (input.to === undefined || entry.createdAt < input.to),
          ),
        )
      }),
      { numRuns: 60 },
    )
  })

  it('a page has a cursor only if there are more matching entries than its limit', async () => {
    const filter = { action: 'key.disabled' } as const
    const count = all.filter(({ action }) => action === filter.action).length
    expect((await account.caller.audit.list({ ...filter, limit: count })).nextCursor).toBeNull()
    const page = await account.caller.audit.list({ ...filter, limit: count - 1 })
    expect([page.data.length, page.nextCursor]).toEqual([count - 1, page.data.at(-1)?.sequence])
  })

  it('begin below the cursor, or below `to` if it is earlier', async () => {
    const [, , entry] = all
    const below = async (to: string) =>
      (await account.caller.audit.list({ cursor: entry?.sequence ?? 0, to, limit: 1 })).data[0]?.sequence
    expect(await below('2099-01-01T00:00:00Z')).toBe(all[3]?.sequence)
    const to = all[1000]?.createdAt ?? ''
    expect(await below(to)).toBe(all.find(({ createdAt }) => createdAt < to)?.sequence)
  })

  it('refuses a cursor that no entry of the account has', async () => {
    const other = await provisioned(database)
    await expect(other.caller.audit.list({ cursor: 40 })).rejects.toMatchObject({
      code: 'BAD_REQUEST',
      message: expect.stringContaining('This cursor is not valid'),
    })
  })
})

describe('a page of audit.list, in a log with 20,000 entries', () => {
  const ENTRIES = 20_000
  const LIMIT = 20
  let account: Account
  /** Creates accounts in whose logs the rare actions of the large log are frequent, so that the planner's averages are wrong. */
  beforeAll(async () => {
    account = await accountWith(ENTRIES)
    for (let n = 0; n < 5; n++) {
      const { userId } = await provisioned(database)
      await database.owner.query(
        `insert into audit_log (user_id, sequence, actor, action, detail, request_id, created_at, hash)
         select $1, 100 + n, 'operator', 'account.suspended', '{}', 'request', $2::timestamptz + n * interval '1 second', sha256('x')
           from generate_series(1, $3::int) as n`,
        [userId, new Date(START), 2 * ENTRIES],
      )
    }
  })

  const [late, middle, early] = [ENTRIES / 3, ENTRIES / 6, 0].map((second) => new Date(START + second * 1000).toISOString())
  const key = (n: number) => account.keys[n] ?? ''
  const filters: [string, () => Partial<ListAudit>][] = [
    ['no filter', () => ({})],
    ['a cursor in the middle', () => ({ cursor: ENTRIES / 2 })],
    ['an action that does not occur', () => ({ action: 'account.suspended' })],
    ['an action that does not occur and comes after a frequent one', () => ({ action: 'key.secret_saved' })],
    ['a rare action', () => ({ action: 'account.topped_up' })],
    ['a frequent action', () => ({ action: 'key.rotated', cursor: ENTRIES / 2 })],
    ['a key with most of the entries', () => ({ keyId: key(0) })],
    ['a rare key', () => ({ keyId: key(2) })],
    ['a key without entries', () => ({ keyId: key(3) })],
    ['a frequent key and an action that it does not have', () => ({ keyId: key(0), action: 'account.suspended' })],
    ['a frequent key and a rare action', () => ({ keyId: key(0), action: 'key.disabled' })],
    ['a time before all entries', () => ({ to: early ?? '' })],
    ['a time after all entries', () => ({ from: '2099-01-01T00:00:00Z' })],
    ['the oldest entries', () => ({ to: new Date(START + 3_000).toISOString() })],
    ['the newest entries', () => ({ from: late ?? '' })],
    ['entries before a time in the middle', () => ({ to: middle ?? '' })],
    ['a rare action after a time in the middle', () => ({ from: middle ?? '', action: 'account.resumed' })],
    ['a key and an action in a range', () => ({ from: middle ?? '', to: late ?? '', keyId: key(0), action: 'key.updated' })],
  ]

  async function expectFewRowsRead(filter: Partial<ListAudit>) {
    const token = await accessToken(account.userId)
    const recorded = await recordPlans(database, async (db) => {
      await appRouter.createCaller(contextOf({ db }, token)).audit.list({ ...filter, limit: LIMIT })
    })
    // One more entry shows whether there is another page, and the cursor reads one entry.
    expect(rowsRead(recorded, 'audit_log')).toBeLessThanOrEqual(LIMIT + 2)
  }

  it.each(filters)('reads only the returned entries, without planner statistics: %s', async (_, filter) => {
    await expectFewRowsRead(filter())
  })

  describe('with planner statistics', () => {
    beforeAll(async () => {
      await database.owner.query('analyze audit_log')
    })
    it.each(filters)('reads only the returned entries: %s', async (_, filter) => await expectFewRowsRead(filter()))
  })
})
