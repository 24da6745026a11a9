import { createDb } from '@keymeter/db'
import fc from 'fast-check'
import { sql } from 'kysely'
import { beforeEach, describe, expect, it } from 'vitest'
import { charge, provisioned, signedIn } from '../../test/caller.ts'
import { replaceClock } from '../../test/clock.ts'
import { naiveBoundary } from '../../test/naive-cycle.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'

const database = reconciledDatabase()
const DAY_MS = 86_400_000
/** What the test's clock starts at: whatever is provisioned then has its first cycle here. */
const START = new Date('2027-01-31T12:00:00.123Z')

let clock: Awaited<ReturnType<typeof replaceClock>>
beforeEach(async () => {
  clock = await replaceClock(database)
  await clock.set(START)
})

/** An account whose first billing cycle starts at START. */
async function account() {
  const provisionedAccount = await provisioned(database)
  await database.owner.query(
    'update billing_accounts set billing_cycle_anchor = $2, billing_cycle_start = $2, credits_per_cycle = 1000000 where user_id = $1',
    [provisionedAccount.userId, START],
  )
  return provisionedAccount
}

/** The query that the product was specified with, over the raw events. */
async function specified(userId: string, start: Date, end: Date) {
  const { rows } = await database.owner.query(
    `select keys.id, coalesce(sum(usage.credits_charged), 0)::int as credits_used
       from api_keys keys left join api_key_usage usage
         on usage.user_id = keys.user_id and usage.api_key_id = keys.id and usage.created_at >= $2 and usage.created_at < $3
      where keys.user_id = $1 and keys.revoked_at is null
      group by keys.user_id, keys.id order by keys.created_at desc, keys.id desc`,
    [userId, start, end],
  )
  return rows.map(({ id, credits_used }) => [id, credits_used])
}

describe('keys.usage', () => {
  it('shows each live key with its credits, a key without usage with 0, newest first', async () => {
    const { caller, defaultKey } = await account()
    const prod = await caller.keys.create({ name: 'prod', keyType: 'prod' })
    await charge(database, defaultKey.secret, 3)
    await charge(database, defaultKey.secret, 4)
    const { data, billingCycle } = await caller.keys.usage()
    const { secret: _, requestId: __, ...shown } = prod
    const { secret: ___, ...shownDefault } = defaultKey
    expect(data).toEqual([
      { ...shown, creditsUsed: 0 },
      { ...shownDefault, creditsUsed: 7, isSecretSaved: true, lastUsedAt: START.toISOString() },
    ])
    expect(billingCycle).toEqual({ start: START.toISOString(), end: '2027-02-28T12:00:00.123Z' })
  })

  it('never counts what a revoked key spent; the account’s own total does', async () => {
    const { caller, defaultKey } = await account()
    const revoked = await caller.keys.create({ name: 'revoked' })
    await charge(database, revoked.secret, 50)
    await charge(database, defaultKey.secret, 5)
    await caller.keys.revoke({ id: revoked.id })
    expect((await caller.keys.usage()).data.map(({ name, creditsUsed }) => [name, creditsUsed])).toEqual([['default', 5]])
    expect((await caller.billing.get()).account?.creditsUsed).toBe(55)
  })

  it('never counts another account’s usage', async () => {
    const [one, other] = [await account(), await account()]
    await charge(database, other.defaultKey.secret, 99)
    await charge(database, one.defaultKey.secret, 1)
    expect((await one.caller.keys.usage()).data.map(({ creditsUsed }) => creditsUsed)).toEqual([1])
    expect((await one.caller.billing.get()).account?.creditsUsed).toBe(1)
  })

  it('takes a cycle that has ended, and refuses what is the start of none', async () => {
    const { caller, defaultKey } = await account()
    await charge(database, defaultKey.secret, 1)
    await clock.set(new Date('2027-02-28T12:00:00.122Z'))
    await charge(database, defaultKey.secret, 10)
    await clock.set(new Date('2027-02-28T12:00:00.123Z'))
    await charge(database, defaultKey.secret, 100)
    await clock.set(new Date('2027-05-01T00:00:00.000Z'))
    const used = async (cycleStart?: string) =>
      (await caller.keys.usage(cycleStart === undefined ? undefined : { cycleStart })).data[0]?.creditsUsed
    expect(await used()).toBe(0)
    expect(await used(START.toISOString())).toBe(11)
    expect(await used('2027-02-28T12:00:00.123Z')).toBe(100)
    expect(await used('2027-02-28T13:00:00.123+01:00')).toBe(100)
    expect(await used('2027-03-31T12:00:00.123Z')).toBe(0)
    expect(await used('2027-04-30T12:00:00.123Z')).toBe(0)
    for (const cycleStart of ['2027-05-31T12:00:00.123Z', '2026-12-31T12:00:00.123Z', '2027-02-28T12:00:00.124Z'])
      await expect(used(cycleStart)).rejects.toMatchObject({ reason: 'bad_request', issues: [{ field: 'cycleStart' }] })
    await expect(used('last month')).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  })

  it('is right when nothing was charged for months, whatever the session’s time zone', async () => {
    const { caller, defaultKey, userId } = await account()
    await charge(database, defaultKey.secret, 500)
    await clock.set(new Date('2027-04-10T00:00:00.000Z'))
    expect((await caller.keys.usage()).data[0]?.creditsUsed).toBe(0)
    await charge(database, defaultKey.secret, 7)
    for (const zone of ['Pacific/Kiritimati', 'America/Anchorage']) {
      const db = createDb(`${database.urls.api}?options=-c%20TimeZone%3D${zone}`, () => {})
      expect((await sql<{ TimeZone: string }>`show timezone`.execute(db)).rows).toEqual([{ TimeZone: zone }])
      const elsewhere = await signedIn({ db }, userId)
      expect(await elsewhere.keys.usage()).toMatchObject({
        data: [{ creditsUsed: 7 }],
        billingCycle: { start: '2027-03-31T12:00:00.123Z', end: '2027-04-30T12:00:00.123Z' },
      })
      expect(await charge({ db }, defaultKey.secret, 0)).toMatchObject({ cycleEnd: '2027-04-30T12:00:00.123Z' })
      await db.destroy()
    }
  })

  it('is a JSON number up to the largest that JSON carries exactly', async () => {
    const { userId, caller, defaultKey } = await account()
    await database.owner.query('update billing_accounts set credits_per_cycle = $2 where user_id = $1', [
      userId,
      Number.MAX_SAFE_INTEGER,
    ])
    await charge(database, defaultKey.secret, Number.MAX_SAFE_INTEGER)
    expect((await caller.keys.usage()).data[0]?.creditsUsed).toBe(Number.MAX_SAFE_INTEGER)
    expect((await caller.billing.get()).account?.creditsUsed).toBe(Number.MAX_SAFE_INTEGER)
  })

  it('agrees with the specified query over the raw events, for each cycle, whatever the history', async () => {
    const step = fc.record({
      key: fc.nat({ max: 3 }),
      credits: fc.nat({ max: 1000 }),
      daysLater: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 20, noNaN: true })),
      revoke: fc.boolean().map((coin) => coin && Math.random() < 0.2),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        await clock.set(START)
        const { caller, defaultKey, userId } = await account()
        const keys = [defaultKey]
        for (const name of ['a', 'b', 'c']) keys.push(await caller.keys.create({ name }))
        let now = START.getTime()
        for (const { key, credits, daysLater, revoke } of steps) {
          now += Math.floor(daysLater * DAY_MS)
          await clock.set(new Date(now))
          await charge(database, keys[key]?.secret ?? '', credits)
          if (revoke) await caller.keys.revoke({ id: keys[key]?.id ?? '' })
        }
        for (let months = 0; naiveBoundary(START, months).getTime() <= now; months++) {
          const [start, end] = [naiveBoundary(START, months), naiveBoundary(START, months + 1)]
          const { data, billingCycle } = await caller.keys.usage({ cycleStart: start.toISOString() })
          expect(billingCycle).toEqual({ start: start.toISOString(), end: end.toISOString() })
          expect(data.map(({ id, creditsUsed }) => [id, creditsUsed])).toEqual(await specified(userId, start, end))
          if (now < end.getTime()) expect((await caller.keys.usage()).data).toEqual(data)
        }
      }),
      { numRuns: 25 },
    )
  })
})
