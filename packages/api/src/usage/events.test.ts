import type { ListUsageEvents, UsageEvent } from '@keymeter/contract'
import { testDatabase } from '@keymeter/local/testing'
import fc from 'fast-check'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { accessToken, contextOf, provisioned } from '../../test/caller.ts'
import { writeHistory } from '../../test/history.ts'
import { recordPlans, rowsRead } from '../../test/recorded-plans.ts'
import { keepUsageByDaysFrom } from '../../test/usage-days.ts'
import { reconcile } from '../maintenance/reconcile.ts'
import { appRouter } from '../router.ts'

const database = testDatabase()
const DAY_MS = 86_400_000
/** The number of events of the account. One page reads only a part of them. */
const EVENTS = 25_000
const RUNS = inject('isSoak') ? 200 : 25
const UNTIL = new Date(Date.now() - 60_000)
const ANCHOR = new Date(UNTIL.getTime() - 100 * DAY_MS)

type Account = Awaited<ReturnType<typeof provisioned>>
let account: Account
let keys: string[]
let all: UsageEvent[]

/** Reads all pages of `usage.events` with these filters. */
async function pagesOf({ caller }: Account, filters: Partial<ListUsageEvents> = {}, limit = 100) {
  const pages: UsageEvent[][] = []
  let cursor: string | null = null
  do {
    const page: Awaited<ReturnType<typeof caller.usage.events>> = await caller.usage.events({ ...filters, limit, cursor })
    expect(page.data.length).toBeLessThanOrEqual(limit)
    if (cursor !== null && page.nextCursor !== null)
      expect(Number.parseInt(page.nextCursor, 10)).toBeLessThan(Number.parseInt(cursor, 10))
    pages.push(page.data)
    cursor = page.nextCursor
  } while (cursor !== null)
  return pages
}

beforeAll(async () => {
  account = await provisioned(database)
  for (let n = 0; n < 9; n++) await account.caller.keys.create({ name: `key ${n}` })
  await writeHistory(database, { userId: account.userId, anchor: ANCHOR, until: UNTIL, count: EVENTS })
  const other = await provisioned(database)
  for (let n = 0; n < 2; n++) await other.caller.keys.create({ name: `foreign ${n}` })
  await writeHistory(database, { userId: other.userId, anchor: ANCHOR, until: UNTIL, count: 500 })
  const { rows } = await database.owner.query<{ id: string }>(
    'select id from api_keys where user_id = $1 order by created_at, id',
    [account.userId],
  )
  keys = rows.map(({ id }) => id)
  all = (await pagesOf(account)).flat()
})

/**
 * Returns the sequences of the events that match the filters. It searches the list of all events in memory, to check the
 * query of the product.
 */
function naively(filters: Partial<ListUsageEvents>): number[] {
  const { keyId, operation, verdicts, action, from, to, idempotencyKey } = filters
  return all
    .filter(
      (event) =>
        (keyId === undefined || event.keyId === keyId) &&
        (operation === undefined || event.operation === operation) &&
        (verdicts === undefined || verdicts.includes(event.verdict)) &&
        (action === undefined || event.action === action) &&
        (from === undefined || Date.parse(event.createdAt) >= Date.parse(from)) &&
        (to === undefined || Date.parse(event.createdAt) < Date.parse(to)) &&
        (idempotencyKey === undefined || event.idempotencyKey === idempotencyKey),
    )
    .map(({ sequence }) => sequence)
}

describe('usage.events', () => {
  it('shows every event once, newest first, with the answer that its caller got', async () => {
    expect(all.map(({ sequence }) => sequence)).toEqual(Array.from({ length: EVENTS }, (_, n) => EVENTS - n))
    const { rows } = await database.owner.query('select * from api_key_usage where user_id = $1 and sequence = 24003', [
      account.userId,
    ])
    expect(all[EVENTS - 24_003]).toEqual({
      sequence: 24_003,
      createdAt: rows[0].created_at.toISOString(),
      keyId: rows[0].api_key_id,
      keyName: expect.stringMatching(/^key \d$/),
      keyPrefix: expect.stringMatching(/^km_dev_/),
      keyType: 'dev',
      action: 'charge',
      operation: rows[0].operation,
      verdict: 'insufficient_credits',
      creditsRequested: 1,
      creditsCharged: 0,
      uncollected: 0,
      creditsHeld: null,
      remaining: 1_000_000_000 - 24_003,
      idempotencyKey: 'request-24003',
      refersTo: null,
      expiresAt: null,
    })
  })

  it('returns an empty page for an account without events', async () => {
    const { caller } = await provisioned(database)
    expect(await caller.usage.events()).toMatchObject({ data: [], nextCursor: null })
  })

  it.each([1, 7, 50, 99, 100])('shows the same events in pages of %i events as in one list', async (limit) => {
    const to = all[700]?.createdAt
    const pages = await pagesOf(account, { from: all[1000]?.createdAt ?? '', to: to ?? '' }, limit)
    expect(pages.flat()).toEqual(all.slice(701, 1001))
  })

  it('refuses a page that is too large, and invalid filters', async () => {
    const { usage } = account.caller
    for (const wrong of [
      { limit: 0 },
      { limit: 101 },
      { cursor: '' },
      { cursor: '0.0' },
      { cursor: '5' },
      { cursor: '5.x' },
      { cursor: '5.99999999999999999' },
      { cursor: '5.8640000000000000' },
      { cursor: '5.-8640000000000000' },
      { verdicts: [] },
      { verdicts: ['Charged'] },
      { operation: 'A' },
      { action: 'spend' as 'charge' },
      { from: 'yesterday' },
    ])
      await expect(usage.events(wrong)).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  })

  it('shows the events that match any filters, in pages of any size', async () => {
    const moment = fc.nat({ max: EVENTS - 1 }).map((n) => all[n]?.createdAt ?? '')
    const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 })
    const filters = fc.record({
      keyId: optional(fc.constantFrom(...keys)),
      operation: optional(fc.constantFrom('operation-0', 'operation-2', 'rare', 'never')),
      verdicts: optional(fc.subarray(['charged', 'insufficient_credits', 'revoked', 'expired'], { minLength: 1 })),
      action: optional(fc.constantFrom('charge', 'hold', 'refund', 'settle')),
      from: optional(moment),
      to: optional(moment),
      limit: fc.integer({ min: 20, max: 100 }),
    })
    await fc.assert(
      fc.asyncProperty(filters, async ({ limit, ...given }) => {
        const asked = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
        const pages = await pagesOf(account, asked, limit)
        expect(pages.flat().map(({ sequence }) => sequence)).toEqual(naively(asked))
      }),
      { numRuns: RUNS },
    )
  })

  it.each<[string, () => Partial<ListUsageEvents>, number]>([
    ['a key that was used five times', () => ({ keyId: keys[0] ?? '' }), 10],
    ['a key that was used once, long ago', () => ({ keyId: keys[1] ?? '' }), 10],
    ['a key that was never used', () => ({ keyId: '00000000-0000-4000-8000-000000000000' }), 10],
    ['an operation that was done four times', () => ({ operation: 'rare' }), 10],
    ['an operation of a key', () => ({ operation: 'rare', keyId: keys[5] ?? '' }), 10],
    ['a rare refusal', () => ({ verdicts: ['revoked'] }), 5],
    ['a rare action', () => ({ action: 'refund' }), 5],
    ['a request', () => ({ idempotencyKey: 'request-1' }), 1],
  ])('finds the events of %s in a few pages, although a page reads few events', async (_, filters, most) => {
    const pages = await pagesOf(account, filters())
    expect(pages.flat().map(({ sequence }) => sequence)).toEqual(naively(filters()))
    expect(pages.length).toBeLessThanOrEqual(most)
  })

  it('finds rare events among thousands in one 15-minute bucket', async () => {
    const busy = await provisioned(database)
    for (let n = 0; n < 3; n++) await busy.caller.keys.create({ name: `busy ${n}` })
    const until = new Date('2026-02-03T10:20:00Z')
    const anchor = new Date(until.getTime() - 3_600_000)
    await writeHistory(database, { userId: busy.userId, anchor, until, count: 12_000 })
    const { rows } = await database.owner.query('select distinct api_key_id from api_key_usage where user_id = $1', [
      busy.userId,
    ])
    const filters: Partial<ListUsageEvents>[] = [...rows.map((row) => ({ keyId: row.api_key_id })), { operation: 'rare' }]
    for (const filter of filters) {
      const { rows: found } = await database.owner.query(
        'select sequence::int from api_key_usage where user_id = $1 and (api_key_id = $2 or operation = $3) order by sequence desc',
        [busy.userId, filter.keyId ?? null, filter.operation ?? null],
      )
      const pages = await pagesOf(busy, filter)
      expect(pages.flat().map(({ sequence }) => sequence)).toEqual(found.map(({ sequence }) => sequence))
    }
  })

  it('skips from one rare event to the next in a month with many others', async () => {
    const busy = await provisioned(database)
    for (let n = 0; n < 3; n++) await busy.caller.keys.create({ name: `busy ${n}` })
    const [anchor, until] = [new Date('2026-02-01T00:00:00Z'), new Date('2026-02-27T00:00:00Z')]
    await writeHistory(database, { userId: busy.userId, anchor, until, count: 60_000 })
    const { rows } = await database.owner.query(
      `select api_key_id as "keyId", array_agg(sequence::int order by sequence desc) as found from api_key_usage
        where user_id = $1 and operation = 'operation-1' group by 1 order by count(*) limit 1`,
      [busy.userId],
    )
    const [{ keyId, found }] = rows
    expect(found).toHaveLength(5)
    const pages = await pagesOf(busy, { keyId, operation: 'operation-1' })
    expect(pages.flat().map(({ sequence }) => sequence)).toEqual(found)
    expect(pages.length).toBeLessThanOrEqual(9)
  })

  it.each([
    ['a daily roll-up', 1_000],
    // Without a daily roll-up, one search does not read all 15-minute buckets.
    ['no daily roll-up', 1_000_000],
  ])('finds the events of a rare operation, whatever keys made them, in an account with %s', async (_, rollUpRows) => {
    await keepUsageByDaysFrom(database, rollUpRows)
    const busy = await provisioned(database)
    for (let n = 0; n < 3; n++) await busy.caller.keys.create({ name: `busy ${n}` })
    const [anchor, until] = [new Date('2026-02-01T00:00:00Z'), new Date('2026-03-27T00:00:00Z')]
    await writeHistory(database, { userId: busy.userId, anchor, until, count: 15_000 })
    await keepUsageByDaysFrom(database, 1_000)
    const { rows } = await database.owner.query(
      "select sequence::int from api_key_usage where user_id = $1 and operation = 'rare' order by sequence desc",
      [busy.userId],
    )
    const pages = await pagesOf(busy, { operation: 'rare' })
    expect(pages.flat().map(({ sequence }) => sequence)).toEqual(rows.map(({ sequence }) => sequence))
    expect(rows.length).toBe(3)
    const token = await accessToken(busy.userId)
    const recorded = await recordPlans(database, async (db) => {
      await appRouter.createCaller(contextOf({ db }, token)).usage.events({ operation: 'rare' })
    })
    expect(rowsRead(recorded, 'usage_by_quarter_hour')).toBeLessThanOrEqual(3_000)
  })

  it('finds an event of an operation on the previous day if the operation was used again later on the same day', async () => {
    const busy = await provisioned(database)
    for (let n = 0; n < 3; n++) await busy.caller.keys.create({ name: `busy ${n}` })
    const [anchor, until] = [new Date('2026-02-03T23:00:00Z'), new Date('2026-02-04T23:00:00Z')]
    await keepUsageByDaysFrom(database, 100)
    await writeHistory(database, { userId: busy.userId, anchor, until, count: 8_000 })
    await keepUsageByDaysFrom(database, 1_000)
    const pages = await pagesOf(busy, { operation: 'rare', to: '2026-02-04T16:00:00Z' })
    expect(pages.flat().map(({ sequence, createdAt }) => [sequence, createdAt.slice(0, 10)])).toEqual([[9, '2026-02-03']])
  })

  it('a page with an operation reads few rows of the roll-ups, however many keys the account used', async () => {
    const { userId } = account
    const KEYS = 3_000
    await database.owner.query(
      `with gone as (insert into api_keys (user_id, name, created_at, revoked_at)
                     select $1, 'gone', now() - interval '1 year', now() from generate_series(1, $2) returning id)
       insert into usage_by_cycle (user_id, cycle_start, api_key_id, credits_charged, charges)
         select user_id, billing_cycle_start, id, 0, 1 from billing_accounts cross join gone where user_id = $1`,
      [userId, KEYS],
    )
    await database.owner.query('analyze usage_by_cycle')
    try {
      const token = await accessToken(userId)
      const recorded = await recordPlans(database, async (db) => {
        await appRouter.createCaller(contextOf({ db }, token)).usage.events({ operation: 'rare' })
      })
      for (const table of ['usage_by_cycle', 'usage_by_day']) expect(rowsRead(recorded, table)).toBeLessThanOrEqual(5)
      expect(rowsRead(recorded, 'usage_by_quarter_hour')).toBeLessThanOrEqual(3_000)
    } finally {
      await database.owner.query("delete from api_keys where user_id = $1 and name = 'gone'", [userId])
    }
  })

  it('finds both events of an idempotency key that was used again after 35 days', async () => {
    const { userId, caller } = await provisioned(database)
    await database.owner.query(
      `insert into api_key_usage (user_id, sequence, created_at, api_key_id, idempotency_key, operation, verdict,
                                  credits_requested, credits_charged, remaining, cycle_start, cycle_end)
       select $1, n, now() - (3 - n) * interval '36 days', gen_random_uuid(), case when n = 2 then 'b' else 'a' end, 'x', 'charged', 1, 1, 1, now(), now()
         from generate_series(1, 3) as n`,
      [userId],
    )
    await database.owner.query(
      'update billing_accounts set last_event_sequence = 3, last_event_at = now() where user_id = $1',
      [userId],
    )
    const first = await caller.usage.events({ idempotencyKey: 'a', limit: 1 })
    expect(first).toMatchObject({ data: [{ sequence: 3, keyName: null }], nextCursor: expect.stringMatching(/^3\./) })
    const second = await caller.usage.events({ idempotencyKey: 'a', limit: 1, cursor: first.nextCursor })
    expect(second).toMatchObject({ data: [{ sequence: 1 }], nextCursor: null })
  })

  it('shows events before and after months without events', async () => {
    const { userId, caller } = await provisioned(database)
    const MONTHS_AGO = [30, 29, 20, 19, 18, 6, 2, 0]
    await database.owner.query(
      `insert into api_key_usage (user_id, sequence, created_at, api_key_id, operation, verdict,
                                  credits_requested, credits_charged, remaining, cycle_start, cycle_end)
       select $1::uuid, n, now() - ago * interval '1 month', gen_random_uuid(), 'x', 'expired', 1, 0, 1, now(), now()
         from unnest($2::int[]) with ordinality as months (ago, n)`,
      [userId, MONTHS_AGO],
    )
    await database.owner.query(
      'update billing_accounts set last_event_sequence = 8, last_event_at = now() where user_id = $1',
      [userId],
    )
    await database.owner.query('select keymeter.make_usage_partitions()')
    const shown = async (filters: Partial<ListUsageEvents>) =>
      (await pagesOf({ caller } as Account, filters)).flat().map(({ sequence }) => sequence)
    const ago = (months: number) => {
      const moment = new Date()
      return new Date(moment.setUTCMonth(moment.getUTCMonth() - months)).toISOString()
    }
    expect(await shown({})).toEqual([8, 7, 6, 5, 4, 3, 2, 1])
    expect(await shown({ verdicts: ['expired'] })).toEqual([8, 7, 6, 5, 4, 3, 2, 1])
    expect(await shown({ to: ago(10) })).toEqual([5, 4, 3, 2, 1])
    expect(await shown({ to: ago(25) })).toEqual([2, 1])
    expect(await shown({ to: ago(31) })).toEqual([])
    expect(await shown({ from: ago(25), to: ago(4) })).toEqual([6, 5, 4, 3])
    expect((await caller.usage.events()).data.length).toBeGreaterThan(1)
  })

  it('shows a hold or a refusal after the time `from`, even if the last charge of the same operation is before `from`', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const cycle = new Date(Date.UTC(UNTIL.getUTCFullYear(), UNTIL.getUTCMonth() - 1))
    const on = (day: number) => new Date(cycle.getTime() + (day - 1) * DAY_MS).toISOString()
    await database.owner.query(
      `with events as (
         insert into api_key_usage (user_id, sequence, created_at, api_key_id, operation, verdict, action,
                                    credits_requested, credits_charged, remaining, cycle_start, cycle_end)
           select $1::uuid, n, at, $2::uuid, operation, verdict, action, 1, 0, 1, $3::timestamptz, $3::timestamptz + interval '1 year'
             from unnest($4::timestamptz[], $5::text[], $6::text[], $7::text[]) with ordinality as given (at, operation, verdict, action, n)
         returning *
       ), cycles as (
         insert into usage_by_cycle (user_id, cycle_start, api_key_id, credits_charged, charges) values ($1, $3, $2, 0, 3)
       ), operations as (
         insert into operations select distinct user_id, operation from events on conflict do nothing
       )
       insert into usage_by_quarter_hour (user_id, cycle_start, api_key_id, operation, quarter_hour, credits_charged, charges)
         select user_id, cycle_start, api_key_id, operation, date_bin('15 minutes', created_at, 'epoch'), 0, 1
           from events where verdict = 'charged'`,
      [
        userId,
        defaultKey.id,
        cycle,
        [on(10), on(20), on(21), on(25), on(32)],
        ['x', 'x', 'x', 'other', 'other'],
        ['charged', 'held', 'insufficient_credits', 'charged', 'charged'],
        ['charge', 'hold', 'charge', 'charge', 'charge'],
      ],
    )
    await database.owner.query('update billing_accounts set last_event_sequence = 5, last_event_at = $2 where user_id = $1', [
      userId,
      on(32),
    ])
    const shown = async (filters: Partial<ListUsageEvents>) =>
      (await pagesOf({ caller } as Account, filters)).flat().map(({ sequence }) => sequence)
    expect(await shown({ operation: 'x' })).toEqual([3, 2, 1])
    expect(await shown({ operation: 'x', from: on(15) })).toEqual([3, 2])
    expect(await shown({ operation: 'x', from: on(15), action: 'hold' })).toEqual([2])
    expect(await shown({ operation: 'x', from: on(5) })).toEqual([3, 2, 1])
  })

  it('shows no events of another account for any filter or cursor', async () => {
    const stranger = await provisioned(database)
    const foreign = [
      {},
      { keyId: keys[3] ?? '' },
      { cursor: `20000.${UNTIL.getTime()}` },
      { idempotencyKey: 'request-5' },
      { operation: 'rare' },
      { verdicts: ['revoked'] },
    ]
    for (const asked of foreign) expect((await pagesOf(stranger, asked)).flat()).toEqual([])
  })

  it('shows the same next pages even if charges are made after the first page was read', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const context = contextOf(database, null)
    const spend = async (n: number) =>
      await context.metering.charge({
        key: defaultKey.secret,
        credits: n % 3,
        idempotencyKey: `x-${userId}-${n}`,
        operation: 'x',
      })
    await Promise.all(Array.from({ length: 200 }, async (_, n) => await spend(n)))
    const seen: number[] = []
    let cursor: string | null = null
    let charged = 200
    do {
      const page: Awaited<ReturnType<typeof caller.usage.events>> = await caller.usage.events({ limit: 13, cursor })
      seen.push(...page.data.map(({ sequence }) => sequence))
      cursor = page.nextCursor
      await Promise.all([spend(charged), spend(charged + 1)])
      charged += 2
    } while (cursor !== null)
    expect(seen).toEqual(Array.from({ length: 200 }, (_, n) => 200 - n))
    expect((await pagesOf({ caller } as Account)).flat()).toHaveLength(charged)
    expect(await reconcile(database.ownerDb, { userIds: [userId] })).toEqual([])
  })
})
