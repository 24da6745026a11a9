import { TIMESERIES_SERIES_MAX, timeseriesSeriesMax, type UsageTimeseries } from '@keymeter/contract'
import { testDatabase } from '@keymeter/local/testing'
import fc from 'fast-check'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { accessToken, contextOf, provisioned } from '../../test/caller.ts'
import { replaceClock } from '../../test/clock.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { recordPlans } from '../../test/recorded-plans.ts'
import { keepUsageByDaysFrom } from '../../test/usage-days.ts'
import { appRouter } from '../router.ts'

const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000
/** The first cycle starts inside a 15-minute bucket, and not at its start. */
const ANCHOR = new Date('2027-03-05T10:20:30.456Z')

type Input = Partial<UsageTimeseries>

describe('series of a time series', () => {
  const database = reconciledDatabase()
  const { metering } = contextOf(database, null)
  let clock: Awaited<ReturnType<typeof replaceClock>>
  beforeEach(async () => {
    clock = await replaceClock(database)
    await clock.set(ANCHOR)
  })

  async function account(keyCount: number) {
    await clock.set(ANCHOR)
    const { caller, userId, defaultKey } = await provisioned(database)
    await database.owner.query(
      'update billing_accounts set billing_cycle_anchor = $2, billing_cycle_start = $2, credits_per_cycle = 1000000 where user_id = $1',
      [userId, ANCHOR],
    )
    const keys = [defaultKey]
    while (keys.length < keyCount) keys.push(await caller.keys.create({ name: `key ${keys.length}` }))
    return { caller, userId, keys }
  }
  /** Makes all charges at the same time. */
  async function charge(at: Date, charges: { secret: string; credits: number; operation?: string }[]) {
    await clock.set(at)
    const decided = await Promise.all(
      charges.map(
        async ({ secret, credits, operation = 'default' }) =>
          await metering.charge({ key: secret, credits, operation, idempotencyKey: crypto.randomUUID() }),
      ),
    )
    for (const { verdict } of decided) expect(verdict).toBe('charged')
  }
  const total = (numbers: number[]) => numbers.reduce((sum, number) => sum + number, 0)

  it.each([50, 51, 53])(
    'of %i used keys, the 50 keys with the most credits have a series, and `rest` is the sum of all other keys',
    async (count) => {
      const { caller, keys } = await account(count)
      await charge(
        new Date('2027-03-06T00:00:00Z'),
        keys.map(({ secret }, i) => ({ secret, credits: 100 + i })),
      )
      await charge(new Date('2027-03-08T00:00:00Z'), [{ secret: keys[0]?.secret ?? '', credits: 1 }])
      for (const { id } of keys.slice(0, 2)) await caller.keys.revoke({ id })
      const { series, rest } = await caller.usage.timeseries()
      const byCredits = keys.map(({ id }, i) => ({ id, credits: i === 0 ? 101 : 100 + i })).toReversed()
      expect(series.map(({ keyId, credits }) => [keyId, total(credits)])).toEqual(
        // The first two keys used equal credits, but the first key made two charges.
        [...byCredits.slice(0, -2), ...byCredits.slice(-2).toReversed()].slice(0, 50).map(({ id, credits }) => [id, credits]),
      )
      if (count === 50) return expect(rest).toBeNull()
      const others = byCredits.slice(50)
      expect(rest?.count).toBe(count - 50)
      expect([rest?.credits.slice(0, 4), rest?.charges.slice(0, 4)]).toEqual(
        count === 51
          ? [
              [0, 101, 0, 0],
              [0, 1, 0, 0],
            ]
          : [
              [0, total(others.map(({ credits }) => credits)) - 1, 0, 1],
              [0, 3, 0, 1],
            ],
      )
      expect(total([...series, rest].flatMap((one) => one?.credits ?? []))).toBe(total(byCredits.map(({ credits }) => credits)))
    },
  )

  it('series with equal credits are sorted by the number of charges and then by the name', async () => {
    const { caller, keys } = await account(3)
    const [a, b, c] = keys.map(({ secret }) => secret)
    const day = new Date('2027-03-06T00:00:00Z')
    await charge(day, [
      { secret: a ?? '', credits: 2, operation: 'b' },
      { secret: b ?? '', credits: 2, operation: 'a-1' },
      { secret: c ?? '', credits: 1, operation: 'a_1' },
      { secret: c ?? '', credits: 1, operation: 'c' },
    ])
    await charge(day, [{ secret: c ?? '', credits: 1, operation: 'a_1' }])
    const equal = keys.slice(0, 2).map(({ id }) => id)
    expect((await caller.usage.timeseries()).series.map(({ keyId }) => keyId)).toEqual([keys[2]?.id, ...equal.sort()])
    const operations = (await caller.usage.timeseries({ by: 'operation' })).series.map(({ operation }) => operation)
    expect(operations).toEqual(['a_1', 'a-1', 'b', 'c'])
  })

  it('usage outside of the range on its first and last day does not change the order of the series', async () => {
    await keepUsageByDaysFrom(database, 1)
    // Postgres determines the order only if the account has more than 50 keys.
    const { caller, keys: all } = await account(51)
    const keys = all.slice(0, 3)
    const [before, after, inside] = keys.map(({ secret }) => secret)
    await charge(new Date('2027-03-08T08:59:00Z'), [{ secret: before ?? '', credits: 100 }])
    await charge(
      new Date('2027-03-08T09:00:00Z'),
      [before, after, inside].map((secret, i) => ({ secret: secret ?? '', credits: 1 + i })),
    )
    await charge(new Date('2027-03-08T11:00:00Z'), [{ secret: after ?? '', credits: 100 }])
    // The daily roll-up contains all buckets before this charge.
    await charge(new Date('2027-03-09T00:00:00Z'), [{ secret: inside ?? '', credits: 1 }])
    const { series } = await caller.usage.timeseries({ from: '2027-03-08T09:00:00Z', to: '2027-03-08T11:00:00Z' })
    expect(series.map(({ keyId, credits }) => [keyId, credits])).toEqual(keys.map(({ id }, i) => [id, [1 + i]]).toReversed())
  })

  it('the series and `rest` equal a naive sum over all charges, for any history, range and filter, with and without a daily roll-up', async () => {
    const KEYS = 20
    const moment = fc.record({
      minutes: fc.oneof(fc.nat({ max: 600 }), fc.nat({ max: 20_000 })),
      charges: fc.array(
        fc.record({ key: fc.nat({ max: KEYS - 1 }), operation: fc.nat({ max: 19 }), credits: fc.nat({ max: 3 }) }),
        { minLength: 1, maxLength: 25 },
      ),
    })
    const question = fc.record({
      by: fc.constantFrom('key', 'operation'),
      keyId: fc.option(fc.nat({ max: KEYS - 1 }), { nil: undefined }),
      operation: fc.option(fc.nat({ max: 19 }), { nil: undefined }),
      // Null selects a cycle. Otherwise the range begins or ends near the time of some of the charges.
      edge: fc.option(
        fc.record({
          of: fc.constantFrom('from', 'to'),
          moment: fc.nat({ max: 5 }),
          quarters: fc.integer({ min: -30, max: 30 }),
        }),
        { nil: null },
      ),
    })
    const history = fc.record({
      moments: fc.array(moment, { minLength: 1, maxLength: 6 }),
      rollUpRows: fc.constantFrom(1, 20, 1_000),
      questions: fc.array(question, { minLength: 6, maxLength: 6 }),
    })
    // A question about all keys always gets a rest. Random questions can all be about one key or operation.
    const aboutAll = { by: 'key' as const, keyId: undefined, operation: undefined, edge: null }
    const charges = [{ key: 0, operation: 0, credits: 1 }]
    const withRest = { moments: [{ minutes: 1, charges }], rollUpRows: 1_000 as const, questions: [aboutAll] }
    let rests = 0
    await fc.assert(
      fc.asyncProperty(history, async ({ moments, rollUpRows, questions }) => {
        await keepUsageByDaysFrom(database, rollUpRows)
        const { caller, keys } = await account(KEYS)
        const events: { at: number; keyId: string; operation: string; credits: number }[] = []
        let now = ANCHOR.getTime()
        const times: number[] = []
        // Use all keys and operations once, so that there are more of them than series.
        const all = keys.map((_, i) => ({ key: i, operation: i, credits: i % 3 }))
        for (const { minutes, charges } of [{ minutes: 1, charges: all }, ...moments]) {
          now += minutes * 60_000
          times.push(now)
          const made = charges.map(({ key, operation, credits }) => ({
            keyId: keys[key]?.id ?? '',
            secret: keys[key]?.secret ?? '',
            operation: `operation-${operation}`,
            credits,
          }))
          await charge(new Date(now), made)
          events.push(...made.map((one) => ({ ...one, at: now })))
        }
        for (const { by, keyId, operation, edge } of questions) {
          const near = times[(edge?.moment ?? 0) % times.length] ?? 0
          const bound = (Math.floor(near / 900_000) + (edge?.quarters ?? 0)) * 900_000
          const start = edge?.of === 'to' ? bound - 31 * DAY_MS : bound
          const input: Input = {
            by: by as 'key' | 'operation',
            unit: 'hour',
            ...(keyId !== undefined && { keyId: keys[keyId]?.id ?? '' }),
            ...(operation !== undefined && { operation: `operation-${operation}` }),
            ...(edge === null
              ? { cycleStart: ANCHOR.toISOString() }
              : { from: new Date(start).toISOString(), to: new Date(start + 31 * DAY_MS).toISOString() }),
          }
          const answer = await caller.usage.timeseries(input)
          expect(answer).toMatchObject(naively(events, input, answer))
          if (answer.rest !== null) rests++
        }
      }),
      { numRuns: 20, examples: [[withRest]] },
    )
    // With 31 days by hour, at most 12 series are returned.
    expect(rests).toBeGreaterThan(0)
  })

  function naively(
    events: { at: number; keyId: string; operation: string; credits: number }[],
    input: Input,
    { from, to, buckets }: { from: string; to: string; buckets: string[] },
  ) {
    const nameOf = ({ keyId, operation }: { keyId: string; operation: string }) => (input.by === 'key' ? keyId : operation)
    const selected = events.filter(
      (event) =>
        event.at >= Date.parse(from) &&
        event.at < Date.parse(to) &&
        (input.keyId ?? event.keyId) === event.keyId &&
        (input.operation ?? event.operation) === event.operation,
    )
    const sumsOf = (own: typeof events) => {
      const inBucket = buckets.map((bucket, i) =>
        own.filter(({ at }) => at >= Date.parse(bucket) && at < Date.parse(buckets[i + 1] ?? to)),
      )
      return {
        credits: inBucket.map((these) => total(these.map(({ credits }) => credits))),
        charges: inBucket.map((these) => these.length),
      }
    }
    const groups = Object.entries(Object.groupBy(selected, nameOf)).map(([name, own = []]) => ({ name, own }))
    const credits = (own: typeof events) => total(own.map((event) => event.credits))
    groups.sort((a, b) => credits(b.own) - credits(a.own) || b.own.length - a.own.length || (a.name < b.name ? -1 : 1))
    const max = timeseriesSeriesMax(buckets.length)
    const others = groups.slice(max)
    return {
      series: groups.slice(0, max).map(({ name, own }) => ({
        keyId: input.by === 'key' ? name : null,
        operation: input.by === 'key' ? null : name,
        ...sumsOf(own),
      })),
      rest: others.length === 0 ? null : { count: others.length, ...sumsOf(others.flatMap(({ own }) => own)) },
    }
  }
})

describe('the size of a time series', () => {
  const database = testDatabase()
  const BYTES_MAX = 400_000
  const KEYS = 60
  const END = new Date('2027-06-01T00:00:00Z')
  let account: Awaited<ReturnType<typeof provisioned>>

  /**
   * Inserts usage of 60 revoked keys on each of the 400 days before `END`, and in each hour of the last 31 days. The names of the keys take as many
   * bytes as possible. The credits and charges of a day add up to almost 2^53, which is the largest sum that an answer can have.
   */
  beforeAll(async () => {
    account = await provisioned(database)
    const { owner } = database
    await owner.query(
      `insert into api_keys (user_id, name, revoked_at)
       select $1, repeat('🗝', 64), now() from generate_series(1, $2) n`,
      [account.userId, KEYS],
    )
    await owner.query(
      `insert into api_key_secrets (user_id, api_key_id, key_hash, key_prefix)
       select user_id, id, sha256(convert_to(id::text, 'utf8')), repeat('b', 16) || '_prod_' || substr(md5(id::text), 1, 8)
         from api_keys where user_id = $1 and revoked_at is not null`,
      [account.userId],
    )
    await owner.query(
      `insert into usage_by_day (user_id, cycle_start, day, api_key_id, operation, quarters, credits_charged, charges, credits_refunded)
       with days as (select day::date from generate_series($2::timestamptz - interval '400 days', $2::timestamptz - interval '1 day', interval '1 day') as day),
            used as (
              select id, day, quarters, array(select n * most.each from generate_series(1, cardinality(quarters)) as n) as totals
                from (select id from api_keys where user_id = $1 and revoked_at is not null) as keys
               cross join days
               cross join lateral (select case when day >= $2::date - 31 then array(select generate_series(0, 95, 4)::smallint) else '{0}'::smallint[] end as quarters) as shape
               cross join lateral (select 9007199254740991 / $3::int / cardinality(quarters) as each) as most)
       select $1::uuid, timestamptz '2027-01-01Z', day, id, null, quarters, totals, totals, 0 from used
        union all
       select $1::uuid, timestamptz '2027-01-01Z', day, null, null, quarters, sums, sums, 0
         from (select day, quarters, array(select n * sum(totals[1]) from generate_series(1, cardinality(quarters)) as n)::bigint[] as sums
                 from used group by day, quarters) as all_keys`,
      [account.userId, END, KEYS],
    )
    await owner.query("update billing_accounts set usage_by_day_until = '2099-01-01Z' where user_id = $1", [account.userId])
    await owner.query('analyze')
  })

  const lastDays = (days: number) => ({ from: new Date(END.getTime() - days * DAY_MS).toISOString(), to: END.toISOString() })

  it.each([
    ['31 days by hour', { ...lastDays(31), unit: 'hour' }, 12],
    [
      '31 days by hour, in a time zone with an offset of 45 minutes',
      { ...lastDays(31), unit: 'hour', timeZone: 'Asia/Kathmandu' },
      12,
    ],
    ['400 days by day', { ...lastDays(400), unit: 'day' }, 24],
    ['8 days by hour', { ...lastDays(8), unit: 'hour' }, 50],
    ['10 days by hour', { ...lastDays(10), unit: 'hour' }, 40],
  ] as const)('an answer has at most 400 kB with large numbers and long names: %s', async (_, input, seriesMax) => {
    const answer = await account.caller.usage.timeseries(input)
    expect(answer.series.length).toBe(seriesMax)
    expect(answer.rest?.count).toBe(KEYS - seriesMax)
    // The answer has no empty cells, so no other usage makes it much larger.
    expect(answer.rest?.credits.slice(1, -1).every((credits) => credits > 0)).toBe(true)
    const bytes = Buffer.byteLength(JSON.stringify(answer))
    expect(bytes).toBeLessThanOrEqual(BYTES_MAX)
  })

  it('the process receives rows of at most 50 keys and of one sum, for an account with 60 used keys', async () => {
    const token = await accessToken(account.userId)
    const received = async (input: Input) => {
      const statements = await recordPlans(database, async (db) => {
        await appRouter.createCaller(contextOf({ db }, token)).usage.timeseries(input)
      })
      return statements.filter(({ sql }) => sql.includes('usage_totals')).map(({ nodes }) => nodes[0]?.['Actual Rows'])
    }
    // The days of the last 10 days: the names of 50 keys, 10 rows for each of them, and 10 rows for the sum of all keys.
    expect(await received({ ...lastDays(10) })).toEqual([50, 500, 10])
    expect(await received({ ...lastDays(31), unit: 'hour' })).toEqual([12, 12 * 31, 31])
  })

  it('has a limit of 50 series, which is lower only if there are more than 196 hours or days', () => {
    expect(TIMESERIES_SERIES_MAX).toBe(50)
    expect([1, 32, 196, 197, 402, 746].map(timeseriesSeriesMax)).toEqual([50, 50, 50, 49, 23, 12])
  })

  it('a range without usage has no series and no rest', async () => {
    const from = END.toISOString()
    const answer = await account.caller.usage.timeseries({ from, to: new Date(END.getTime() + HOUR_MS).toISOString() })
    expect([answer.series, answer.rest]).toEqual([[], null])
  })
})
