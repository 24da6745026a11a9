import type { UsageSeries } from '@keymeter/contract'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { contextOf, provisioned } from '../../test/caller.ts'
import { replaceClock } from '../../test/clock.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { keepUsageByDaysFrom } from '../../test/usage-days.ts'

const database = reconciledDatabase()
const { metering } = contextOf(database, null)
const HOUR_MS = 3_600_000
/** The anchor and each rollover are inside a 15-minute bucket, and not at its start. */
const ANCHOR = new Date('2027-03-05T10:20:30.456Z')

let clock: Awaited<ReturnType<typeof replaceClock>>
let requests = 0
beforeEach(async () => {
  clock = await replaceClock(database)
  await keepUsageByDaysFrom(database, 1)
  await clock.set(ANCHOR)
})

async function account() {
  const made = await provisioned(database)
  await database.owner.query(
    'update billing_accounts set billing_cycle_anchor = $2, billing_cycle_start = $2, credits_per_cycle = 1000000 where user_id = $1',
    [made.userId, ANCHOR],
  )
  return made
}
const charge = async (at: string | Date, key: string, credits: number, operation = 'default') => {
  await clock.set(new Date(at))
  const verdict = await metering.charge({ key, credits, idempotencyKey: `request-${requests++}`, operation })
  expect(verdict.verdict).toBe('charged')
}
const sum = (series: UsageSeries[]) => series.flatMap(({ credits }) => credits).reduce((total, value) => total + value, 0)

describe('usage.timeseries', () => {
  it('shows the usage of each key on each day of the cycle, with 0 for days without usage, and the key with the most usage first', async () => {
    const { caller, defaultKey } = await account()
    const other = await caller.keys.create({ name: 'other' })
    await charge('2027-03-05T10:25:00Z', defaultKey.secret, 3)
    await charge('2027-03-07T23:59:59.999Z', defaultKey.secret, 4)
    await charge('2027-03-08T00:00:00Z', other.secret, 50)
    const { from, to, buckets, series } = await caller.usage.timeseries()
    expect([from, to]).toEqual(['2027-03-05T10:20:30.456Z', '2027-04-05T10:20:30.456Z'])
    expect(buckets).toHaveLength(32)
    expect([buckets[0], buckets[31]]).toEqual(['2027-03-05T00:00:00.000Z', '2027-04-05T00:00:00.000Z'])
    expect(series.map(({ keyName, credits }) => [keyName, credits.slice(0, 5)])).toEqual([
      ['other', [0, 0, 0, 50, 0]],
      ['default', [3, 0, 4, 0, 0]],
    ])
    expect(series[1]).toMatchObject({
      keyId: defaultKey.id,
      keyPrefix: defaultKey.keyPrefix,
      operation: null,
      charges: expect.arrayContaining([1]),
    })
    for (const { credits, charges } of series) expect([credits.length, charges.length]).toEqual([32, 32])
  })

  it('can show usage by operation instead of by key, and can filter usage by one key or one operation', async () => {
    const { caller, defaultKey } = await account()
    const other = await caller.keys.create({ name: 'other' })
    await charge('2027-03-06T00:00:00Z', defaultKey.secret, 1, 'a')
    await charge('2027-03-06T00:00:00Z', defaultKey.secret, 20, 'b')
    await charge('2027-03-06T00:00:00Z', other.secret, 300, 'a')
    const shown = async (input: Parameters<typeof caller.usage.timeseries>[0]) =>
      (await caller.usage.timeseries(input)).series.map((series) => [series.operation ?? series.keyName, sum([series])])
    expect(await shown({ by: 'operation' })).toEqual([
      ['a', 301],
      ['b', 20],
    ])
    expect(await shown({ by: 'operation', keyId: defaultKey.id })).toEqual([
      ['b', 20],
      ['a', 1],
    ])
    expect(await shown({ operation: 'a' })).toEqual([
      ['other', 300],
      ['default', 1],
    ])
  })

  it.each([
    // These rows contain days with 23 and with 25 hours, an offset of 5:45, and a clock that changes by half an hour.
    ['Europe/Berlin', '2027-03-28T10:00:00Z', '2027-03-27T23:00:00.000Z', '2027-03-28T22:00:00.000Z'],
    ['Europe/Berlin', '2027-10-31T10:00:00Z', '2027-10-30T22:00:00.000Z', '2027-10-31T23:00:00.000Z'],
    ['Asia/Kolkata', '2027-03-10T00:00:00Z', '2027-03-09T18:30:00.000Z', '2027-03-10T18:30:00.000Z'],
    ['Asia/Kathmandu', '2027-03-10T00:00:00Z', '2027-03-09T18:15:00.000Z', '2027-03-10T18:15:00.000Z'],
    ['Australia/Lord_Howe', '2027-04-03T20:00:00Z', '2027-04-03T13:00:00.000Z', '2027-04-04T13:30:00.000Z'],
    ['America/Santiago', '2027-09-05T12:00:00Z', '2027-09-05T04:00:00.000Z', '2027-09-06T03:00:00.000Z'],
    // In these two time zones, the clock is set from 01:00 back to midnight. The day starts at the first of the two
    // midnights.
    ['America/Havana', '2027-11-07T05:30:00Z', '2027-11-07T04:00:00.000Z', '2027-11-08T05:00:00.000Z'],
    ['Atlantic/Azores', '2027-10-31T00:30:00Z', '2027-10-31T00:00:00.000Z', '2027-11-01T01:00:00.000Z'],
  ])('starts the days in the time zone %s at midnight of that zone', async (timeZone, at, start, end) => {
    const { caller, defaultKey } = await account()
    for (const [moment, credits] of [
      [Date.parse(start) - 1, 1],
      [Date.parse(start), 10],
      [Date.parse(at), 100],
      [Date.parse(end) - 1, 1000],
      [Date.parse(end), 10000],
    ] as const)
      await charge(new Date(moment), defaultKey.secret, credits)
    const day = 24 * HOUR_MS
    const range = {
      from: new Date(Date.parse(start) - 3 * day).toISOString(),
      to: new Date(Date.parse(end) + 3 * day).toISOString(),
    }
    const { buckets, series } = await caller.usage.timeseries({ ...range, timeZone })
    const i = buckets.indexOf(start)
    expect(buckets[i + 1]).toBe(end)
    expect(series[0]?.credits.slice(i - 1, i + 2)).toEqual([1, 1110, 10000])
    const itself = await caller.usage.timeseries({ from: start, to: end, timeZone })
    expect([itself.buckets, itself.series[0]?.credits]).toEqual([[start], [1110]])
  })

  it('shows usage by hour, also in time zones with half-hour offsets, and shows no hour that a time zone skips', async () => {
    const { caller, defaultKey } = await account()
    await charge('2027-03-28T00:59:59Z', defaultKey.secret, 1)
    await charge('2027-03-28T01:00:00Z', defaultKey.secret, 20)
    const range = { from: '2027-03-28T00:00:00Z', to: '2027-03-28T04:00:00Z', unit: 'hour' } as const
    expect((await caller.usage.timeseries({ ...range, timeZone: 'Europe/Berlin' })).series[0]?.credits).toEqual([1, 20, 0, 0])
    const india = await caller.usage.timeseries({ ...range, timeZone: 'Asia/Kolkata' })
    expect(india.buckets.map((bucket) => bucket.slice(11, 16))).toEqual(['23:30', '00:30', '01:30', '02:30', '03:30'])
    expect(india.series[0]?.credits).toEqual([0, 21, 0, 0, 0])
  })

  it.each([
    // The clock is set from 02:00 back to 01:30. The repeated half hour is a bucket of its own.
    ['2027-04-03T14:00', '2027-04-03T16:45', { '14:00': 1, '15:00': 10, '15:30': 1100, '16:30': 0 }],
    // The range starts inside an hour, so the first bucket has only the usage after the start of the range.
    ['2027-04-03T14:45', '2027-04-03T15:45', { '14:00': 0, '15:00': 10, '15:30': 100 }],
    // The clock is set from 02:00 forward to 02:30, so the hour from 02:00 to 03:00 lasts only half an hour.
    ['2027-10-02T14:30', '2027-10-02T16:30', { '14:30': 11, '15:30': 100, '16:00': 1000 }],
  ])('starts hours correctly in a time zone whose clock changes by half an hour, from %s to %s', async (from, to, hours) => {
    const { caller, defaultKey } = await account()
    for (const [time, credits] of [
      ['14:30', 1],
      ['15:15', 10],
      ['15:30', 100],
      ['16:15', 1000],
    ] as const)
      await charge(`${from.slice(0, 10)}T${time}:00Z`, defaultKey.secret, credits)
    const range = { from: `${from}:00Z`, to: `${to}:00Z`, unit: 'hour', timeZone: 'Australia/Lord_Howe' } as const
    const { buckets, series } = await caller.usage.timeseries(range)
    expect(buckets.map((bucket, i) => [bucket.slice(11, 16), series[0]?.credits[i]])).toEqual(Object.entries(hours))
  })

  it('returns the same sums as keys.usage for each cycle of any history, by day and by hour in any time zone', async () => {
    const zones = ['UTC', 'Asia/Kathmandu', 'America/St_Johns', 'Pacific/Apia', 'Australia/Lord_Howe', 'Atlantic/Azores']
    const step = fc.record({ key: fc.nat({ max: 1 }), credits: fc.nat({ max: 50 }), minutes: fc.nat({ max: 30_000 }) })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 15 }), fc.constantFrom(...zones), async (steps, timeZone) => {
        await clock.set(ANCHOR)
        const { caller, defaultKey } = await account()
        const keys = [defaultKey, await caller.keys.create({ name: 'b' })]
        let now = ANCHOR.getTime()
        for (const { key, credits, minutes } of steps) {
          now += minutes * 60_000
          await charge(new Date(now), keys[key]?.secret ?? '', credits)
        }
        let cycleStart: string | undefined = ANCHOR.toISOString()
        while (cycleStart !== undefined && Date.parse(cycleStart) <= now) {
          const usage: Awaited<ReturnType<typeof caller.keys.usage>> = await caller.keys.usage({ cycleStart })
          const used = new Map(usage.data.map(({ id, creditsUsed }) => [id, creditsUsed]))
          for (const unit of ['day', 'hour'] as const) {
            const { series } = await caller.usage.timeseries({ cycleStart, unit, timeZone })
            for (const own of series) expect(sum([own])).toBe(used.get(own.keyId ?? ''))
            expect(sum(series)).toBe([...used.values()].reduce((total, value) => total + value, 0))
            expect(sum((await caller.usage.timeseries({ cycleStart, unit, timeZone, by: 'operation' })).series)).toBe(
              sum(series),
            )
          }
          cycleStart = usage.billingCycle?.end
        }
      }),
      { numRuns: 15 },
    )
  })

  it('shows the same usage before, during and after the backfill of the daily roll-up', async () => {
    await keepUsageByDaysFrom(database, 1000)
    const { caller, userId, defaultKey } = await account()
    for (let i = 0; i < 12; i++)
      await charge(new Date(Date.UTC(2027, 2, 7, 23) + i * 900_000), defaultKey.secret, 1 + i, `op-${i % 2}`)
    const until = async () =>
      (
        await database.owner.query(
          "select (usage_by_day_until at time zone 'UTC')::text as at from billing_accounts where user_id = $1",
          [userId],
        )
      ).rows[0].at
    const days = { timeZone: 'Asia/Kolkata', from: '2027-03-07T18:30:00Z', to: '2027-03-09T18:30:00Z' }
    expect(await until()).toBe('-infinity')
    expect((await caller.usage.timeseries(days)).series[0]?.credits).toEqual([78, 0])

    await keepUsageByDaysFrom(database, 1)
    const reached: string[] = []
    for (let i = 0; i < 7; i++) {
      await charge('2027-03-08T12:00:00Z', defaultKey.secret, 100, 'op-2')
      reached.push(await until())
      const [of] = (await caller.usage.timeseries(days)).series
      expect([of?.credits, of?.charges]).toEqual([
        [78 + 100 * (i + 1), 0],
        [13 + i, 0],
      ])
    }
    expect(reached).toEqual([
      '2027-03-07 23:30:00',
      '2027-03-08 00:00:00',
      '2027-03-08 00:30:00',
      '2027-03-08 01:00:00',
      '2027-03-08 01:30:00',
      '2027-03-08 12:00:00',
      '2027-03-08 12:00:00',
    ])
  })

  it('counts a settle and its refund in the 15-minute bucket of the hold, whether the bucket had other usage or not', async () => {
    const { caller, defaultKey } = await account()
    const hold = async (at: string) => {
      await clock.set(new Date(at))
      const held = await metering.hold({
        key: defaultKey.secret,
        credits: 50,
        idempotencyKey: at,
        operation: 'default',
        ttlSeconds: 86_400,
      })
      if (held.verdict !== 'held') throw new Error(held.verdict)
      return held.holdId
    }
    await charge('2027-03-08T09:00:00Z', defaultKey.secret, 5)
    const holds = [await hold('2027-03-08T09:10:00Z'), await hold('2027-03-08T10:20:00Z')]
    for (const [hour, credits] of [
      [11, 100],
      [12, 1000],
      [13, 10_000],
    ] as const) {
      await charge(new Date(Date.UTC(2027, 2, 8, hour)), defaultKey.secret, credits)
    }
    for (const [i, holdId] of holds.entries()) {
      const settled = await metering.settle({ holdId, credits: 20 + 20 * i, idempotencyKey: `settle-${i}` })
      if (settled.verdict !== 'settled') throw new Error(settled.verdict)
      await metering.refund({ chargeId: settled.chargeId, credits: 1, idempotencyKey: `refund-${i}` })
    }
    const { series } = await caller.usage.timeseries({ from: '2027-03-08T09:00:00Z', to: '2027-03-08T14:00:00Z', unit: 'hour' })
    expect(series[0]?.credits).toEqual([24, 39, 100, 1000, 10_000])
    expect(series[0]?.charges).toEqual([2, 1, 1, 1, 1])
  })

  it('each batch of charges backfills few rows, and the following batches backfill the other accounts', async () => {
    await keepUsageByDaysFrom(database, 1000)
    const accounts = [await account(), await account(), await account(), await account()]
    for (const hour of [9, 10])
      for (const { defaultKey } of accounts) await charge(new Date(Date.UTC(2027, 2, 8, hour)), defaultKey.secret, 1)
    await keepUsageByDaysFrom(database, 1)
    await clock.set(new Date('2027-03-08T12:00:00Z'))
    const filled: number[] = []
    for (let i = 0; i < 5; i++) {
      await Promise.all(
        accounts.map(
          async ({ defaultKey }) =>
            await metering.charge({ key: defaultKey.secret, credits: 1, idempotencyKey: `turn-${i}`, operation: 'default' }),
        ),
      )
      const { rows } = await database.owner.query(
        "select count(*)::int as n from billing_accounts where user_id = any($1) and usage_by_day_until = '2027-03-08T12:00:00Z'",
        [accounts.map(({ userId }) => userId)],
      )
      filled.push(rows[0].n)
    }
    expect(filled).toEqual([1, 2, 3, 4, 4])
  })

  it('an account is checked for buckets to backfill every 15 minutes, or every hour if the account has few rows', async () => {
    const { userId, defaultKey } = await account()
    const state = async () =>
      (
        await database.owner.query(
          `select (usage_by_day_due_at at time zone 'UTC')::time::text as due,
                  (select string_agg(xmin::text, ' ' order by day, api_key_id, operation) from usage_by_day as days where days.user_id = accounts.user_id) as written
             from billing_accounts as accounts where user_id = $1`,
          [userId],
        )
      ).rows[0]
    await charge('2027-03-08T09:00:00Z', defaultKey.secret, 1)
    await charge('2027-03-08T09:20:00Z', defaultKey.secret, 1)
    const { due, written } = await state()
    expect([due, written]).toEqual(['09:30:00', expect.any(String)])
    await charge('2027-03-08T09:29:59Z', defaultKey.secret, 1)
    expect(await state()).toEqual({ due, written })
    await charge('2027-03-08T09:30:00Z', defaultKey.secret, 1)
    expect((await state()).due).toBe('09:45:00')
    expect((await state()).written).not.toBe(written)
    await keepUsageByDaysFrom(database, 1000)
    await charge('2027-03-08T09:45:00Z', defaultKey.secret, 1)
    expect((await state()).due).toBe('10:45:00')
  })

  it('a bucket with very many rows is not backfilled, but its usage is shown', async () => {
    const { caller, userId, defaultKey } = await account()
    for (let i = 0; i < 21; i++) await charge('2027-03-08T09:00:00Z', defaultKey.secret, 1, `op-${i}`)
    for (const hour of [10, 11]) await charge(new Date(Date.UTC(2027, 2, 8, hour)), defaultKey.secret, 100)
    const { rows } = await database.owner.query(
      "select usage_by_day_until <= '2027-03-08T09:00:00Z' as is_left_out from billing_accounts where user_id = $1",
      [userId],
    )
    expect(rows).toEqual([{ is_left_out: true }])
    expect((await caller.usage.timeseries()).series.map(({ credits }) => credits[3])).toEqual([221])
  })

  it('counts a settle of an earlier hold and new charges that are decided in one batch of several accounts', async () => {
    const [{ caller, defaultKey }, other] = [await account(), await account()]
    await clock.set(new Date('2027-03-08T09:00:00Z'))
    const held = await metering.hold({
      key: defaultKey.secret,
      credits: 50,
      idempotencyKey: 'hold-beside',
      operation: 'default',
      ttlSeconds: 86_400,
    })
    if (held.verdict !== 'held') throw new Error(held.verdict)
    for (const { secret } of [defaultKey, other.defaultKey])
      for (const hour of [10, 11]) await charge(new Date(Date.UTC(2027, 2, 8, hour)), secret, 1)
    const now = { credits: 100, operation: 'default' }
    const verdicts = await Promise.all([
      metering.settle({ holdId: held.holdId, credits: 30, idempotencyKey: 'settle-beside' }),
      metering.charge({ key: defaultKey.secret, idempotencyKey: 'charge-beside', ...now }),
      metering.charge({ key: other.defaultKey.secret, idempotencyKey: 'charge-beside', ...now }),
    ])
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(['settled', 'charged', 'charged'])
    const range = { from: '2027-03-08T09:00:00Z', to: '2027-03-08T13:00:00Z', unit: 'hour' } as const
    for (let turn = 0; turn < 2; turn++) {
      expect((await caller.usage.timeseries(range)).series[0]?.credits).toEqual([30, 1, 101, 0])
      expect((await other.caller.usage.timeseries(range)).series[0]?.credits).toEqual([0, 1, 101, 0])
      // Before the second check, charge both accounts again, so that the daily roll-up contains all of the buckets.
      for (const { secret } of [defaultKey, other.defaultKey]) await charge('2027-03-08T14:00:00Z', secret, 1)
    }
  })

  it('shows each hour of a day that has usage in all of its 96 buckets', async () => {
    const { caller, defaultKey } = await account()
    const midnight = Date.UTC(2027, 2, 8)
    for (let quarter = 0; quarter <= 96; quarter++)
      await charge(new Date(midnight + quarter * 900_000), defaultKey.secret, 1 + quarter)
    const { rows } = await database.owner.query(
      "select quarters from usage_by_day where cardinality(quarters) = 96 and day = '2027-03-08'",
    )
    expect(rows.length).toBe(4)
    const range = { from: '2027-03-08T00:00:00Z', to: '2027-03-09T00:00:00Z', timeZone: 'Asia/Kathmandu' }
    const hours = (await caller.usage.timeseries({ ...range, unit: 'hour' })).series[0]
    // The hours of this time zone start 15 minutes after the hours of UTC.
    expect(hours?.credits).toEqual([1, ...Array.from({ length: 23 }, (_, hour) => 4 * (4 * hour) + 14), 94 + 95 + 96])
    expect(hours?.charges).toEqual([1, ...Array.from({ length: 23 }, () => 4), 3])
    expect((await caller.usage.timeseries({ ...range, unit: 'day' })).series[0]?.charges).toEqual([73, 23])
  })

  it('shows no series for a key that was used on the same day but outside of the requested range', async () => {
    const { caller, defaultKey } = await account()
    const other = await caller.keys.create({ name: 'other' })
    for (const [hour, key] of [
      [8, other],
      [10, defaultKey],
      [12, other],
    ] as const)
      await charge(new Date(Date.UTC(2027, 2, 8, hour)), key.secret, 1)
    // This charge adds the usage of the other key to the daily roll-up.
    await charge('2027-03-08T14:00:00Z', defaultKey.secret, 1)
    const range = { from: '2027-03-08T09:00:00Z', to: '2027-03-08T11:30:00Z' }
    for (const unit of ['day', 'hour'] as const) {
      const { series } = await caller.usage.timeseries({ ...range, unit })
      expect(series.map(({ keyName }) => keyName)).toEqual(['default'])
    }
  })

  it('separates the usage of two cycles on the day of the rollover, after a backfill of a bucket with many rows', async () => {
    await keepUsageByDaysFrom(database, 1000)
    const { caller, userId, defaultKey } = await account()
    for (let i = 0; i < 8; i++) await charge('2027-04-05T09:00:00Z', defaultKey.secret, 1, `op-${i}`)
    // The rollover is at 10:20:30.456, inside a bucket. The next charge is before the rollover, and the charge after it is
    // at the rollover.
    await charge('2027-04-05T10:20:30.455Z', defaultKey.secret, 10)
    await charge('2027-04-05T10:20:30.456Z', defaultKey.secret, 100)
    await charge('2027-04-05T11:00:00Z', defaultKey.secret, 1000)
    await keepUsageByDaysFrom(database, 1)
    for (let i = 0; i < 3; i++) await charge('2027-04-06T00:00:00Z', defaultKey.secret, 10_000)
    const { rows } = await database.owner.query(
      "select usage_by_day_until = '2027-04-06T00:00:00Z' as is_full from billing_accounts where user_id = $1",
      [userId],
    )
    expect(rows).toEqual([{ is_full: true }])
    for (const unit of ['day', 'hour'] as const) {
      const ended = await caller.usage.timeseries({ cycleStart: ANCHOR.toISOString(), unit })
      const current = await caller.usage.timeseries({ unit })
      const range = { from: '2027-04-05T09:00:00Z', to: '2027-04-05T11:00:00Z' }
      expect([ended.series, current.series, (await caller.usage.timeseries({ ...range, unit })).series].map(sum)).toEqual([
        18, 31_100, 118,
      ])
    }
  })

  it.each([
    [{ timeZone: 'Mars/Olympus' }, 'timeZone'],
    [{ timeZone: "UTC'; select 1" }, 'timeZone'],
    // Postgres reads `CET` and `+05` as another time zone than the caller means, and does not know `US/Pacific-New`.
    [{ timeZone: 'CET' }, 'timeZone'],
    [{ timeZone: '+05' }, 'timeZone'],
    [{ timeZone: 'US/Pacific-New' }, 'timeZone'],
    [{ from: '9999-12-31T00:00:00Z', to: '9999-12-31T23:45:00-12:00' }, 'to'],
    [{ from: '0000-01-01T00:00:00+12:00', to: '0000-01-02T00:00:00Z' }, 'from'],
    [{ from: '2027-01-01T00:00:00Z' }, 'to'],
    [{ from: '2027-01-01T00:00:00Z', to: '2027-01-01T00:00:00Z' }, 'to'],
    [{ from: '2027-01-01T00:01:00Z', to: '2027-01-02T00:00:00Z' }, 'from'],
    [{ from: '2027-01-01T00:00:00Z', to: '2029-01-01T00:00:00Z' }, 'from'],
    [{ from: '2027-01-01T00:00:00Z', to: '2027-03-01T00:00:00Z', unit: 'hour' }, 'from'],
    [{ from: '2027-01-01T00:00:00Z', to: '2027-03-01T00:00:00Z', cycleStart: ANCHOR.toISOString() }, 'cycleStart'],
    [{ cycleStart: '2027-01-01T00:00:00Z' }, 'cycleStart'],
    [{ operation: 'Not one' }, 'operation'],
    [{ unit: 'week' }, 'unit'],
  ] as const)('refuses %j and names the field', async (input, field) => {
    const { caller } = await account()
    const refusal = await caller.usage.timeseries(input as object).catch((error: unknown) => error)
    expect(refusal).toMatchObject({ code: 'BAD_REQUEST' })
    const { issues, cause } = refusal as { issues?: { field: string }[]; cause?: { issues: { path: string[] }[] } }
    expect([...(issues ?? []).map((issue) => issue.field), ...(cause?.issues ?? []).map(({ path }) => path[0])]).toContain(
      field,
    )
  })

  it('shows usage in years in which the offset of a zone was not a multiple of 15 minutes', async () => {
    const { caller } = await account()
    const range = { from: '1930-01-01T00:00:00Z', to: '1930-01-03T00:00:00Z' }
    const { buckets, series } = await caller.usage.timeseries({ ...range, timeZone: 'Africa/Monrovia' })
    expect([buckets.length, series]).toEqual([3, []])
  })

  it('returns no buckets and no series before the account exists', async () => {
    const { signedIn } = await import('../../test/caller.ts')
    const caller = await signedIn(database, await database.createUser())
    expect(await caller.usage.timeseries()).toMatchObject({ buckets: [], series: [] })
  })
})
