import { createDb } from '@keymeter/db'
import fc from 'fast-check'
import { sql } from 'kysely'
import { beforeEach, describe, expect, it } from 'vitest'
import { backend, charge, provisioned, signedIn } from '../../test/caller.ts'
import { replaceClock, type TestClock } from '../../test/clock.ts'
import { naiveBoundary } from '../../test/naive-cycle.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { recordPlans, rowsRead } from '../../test/recorded-plans.ts'

const database = reconciledDatabase()
const DAY_MS = 86_400_000
/** The clock of each test starts at this time, and so does the first billing cycle of each account. */
const START = new Date('2027-01-31T12:00:00.123Z')

let clock: TestClock
beforeEach(async () => {
  clock = await replaceClock(database)
  await clock.set(START)
})

/** Creates an account whose first billing cycle starts at START. */
async function account() {
  const provisionedAccount = await provisioned(database)
  await database.owner.query(
    'update billing_accounts set billing_cycle_anchor = $2, billing_cycle_start = $2, credits_per_cycle = 1000000 where user_id = $1',
    [provisionedAccount.userId, START],
  )
  return provisionedAccount
}

/**
 * Runs the query with which `keys.usage` was specified. It reads the usage events. Returns the credits of each live key,
 * and the sum of the credits of all revoked keys.
 */
async function specified(userId: string, start: Date, end: Date) {
  const { rows } = await database.owner.query<{ id: string; is_revoked: boolean; credits_used: number }>(
    `select keys.id, keys.revoked_at is not null as is_revoked, coalesce(sum(usage.credits_charged), 0)::int as credits_used
       from api_keys keys left join api_key_usage usage
         on usage.user_id = keys.user_id and usage.api_key_id = keys.id and usage.created_at >= $2 and usage.created_at < $3
      where keys.user_id = $1
      group by keys.user_id, keys.id order by keys.created_at desc, keys.id desc`,
    [userId, start, end],
  )
  const [revoked, live] = [rows.filter(({ is_revoked }) => is_revoked), rows.filter(({ is_revoked }) => !is_revoked)]
  return {
    live: live.map(({ id, credits_used }) => [id, credits_used]),
    revoked: revoked.reduce((sum, { credits_used }) => sum + credits_used, 0),
  }
}

describe('keys.usage', () => {
  it('shows each live key with its used credits, newest first, and a key without usage with 0', async () => {
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

  it('shows the credits of all revoked keys as one sum, so this sum and the credits of the live keys add up to the usage of the account', async () => {
    const { caller, defaultKey } = await account()
    const revoked = [await caller.keys.create({ name: 'first' }), await caller.keys.create({ name: 'second' })]
    expect(await caller.keys.usage()).toMatchObject({ revokedCreditsUsed: 0 })
    for (const { secret } of revoked) await charge(database, secret, 50)
    await charge(database, defaultKey.secret, 5)
    for (const { id } of revoked) await caller.keys.revoke({ id })
    const { data, revokedCreditsUsed } = await caller.keys.usage()
    expect(data.map(({ name, creditsUsed }) => [name, creditsUsed])).toEqual([['default', 5]])
    expect(revokedCreditsUsed).toBe(100)
    expect((await caller.billing.get()).account?.creditsUsed).toBe(105)

    // The revoked keys have used no credits in the next cycle.
    await clock.set(new Date('2027-03-01T00:00:00Z'))
    expect(await caller.keys.usage()).toMatchObject({ revokedCreditsUsed: 0 })
    expect(await caller.keys.usage({ cycleStart: START.toISOString() })).toMatchObject({ revokedCreditsUsed: 100 })
  })

  it('counts a refund and a settle of a revoked key', async () => {
    const { caller, defaultKey } = await account()
    const { metering } = backend(database)
    const key = defaultKey.secret
    const charged = await metering.charge({ key, credits: 10, idempotencyKey: 'charge' })
    const held = await metering.hold({ key, credits: 20, idempotencyKey: 'hold' })
    if (charged.verdict !== 'charged' || charged.chargeId === null || held.verdict !== 'held')
      throw new Error('nothing was charged')
    await caller.keys.revoke({ id: defaultKey.id })
    await metering.refund({ chargeId: charged.chargeId, credits: 4, idempotencyKey: 'refund' })
    await metering.settle({ holdId: held.holdId, credits: 7, idempotencyKey: 'settle' })
    expect(await caller.keys.usage()).toMatchObject({ data: [], revokedCreditsUsed: 13 })
  })

  it('reads the usage in one statement, which reads at most one roll-up row per live key and no usage events', async () => {
    const KEYS = 30
    const { userId, caller } = await account()
    const { owner } = database
    for (let n = 1; n < KEYS; n++) await caller.keys.create({ name: `key ${n}` })
    await owner.query(
      `insert into api_keys (user_id, name, revoked_at) select $1, 'revoked', now() from generate_series(1, 200)`,
      [userId],
    )
    await owner.query(
      `insert into usage_by_cycle (user_id, api_key_id, cycle_start, credits_charged, charges)
       select user_id, id, $2::timestamptz - n * interval '1 month', 1, 1 from api_keys, generate_series(0, 60) as n where user_id = $1`,
      [userId, START],
    )
    await owner.query('analyze')
    const statements = await recordPlans(database, async (db) => {
      expect((await (await signedIn({ db }, userId)).keys.usage()).data).toHaveLength(KEYS)
    })
    expect(statements.filter(({ sql }) => sql.includes('api_keys'))).toHaveLength(1)
    expect(statements.filter(({ sql }) => sql.includes('usage_by_cycle'))).toHaveLength(1)
    expect(rowsRead(statements, 'usage_by_cycle')).toBe(KEYS)
    expect(
      statements.flatMap(({ nodes }) => nodes).filter((node) => node['Relation Name']?.startsWith('api_key_usage')),
    ).toEqual([])
    await owner.query('delete from billing_accounts where user_id = $1', [userId])
  })

  it('never counts the usage of another account', async () => {
    const [one, other] = [await account(), await account()]
    await charge(database, other.defaultKey.secret, 99)
    await charge(database, one.defaultKey.secret, 1)
    expect((await one.caller.keys.usage()).data.map(({ creditsUsed }) => creditsUsed)).toEqual([1])
    expect((await one.caller.billing.get()).account?.creditsUsed).toBe(1)
  })

  it('shows a cycle that has ended, and refuses a start time that is not the start of a cycle', async () => {
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

  it('shows the current cycle after months without a charge, in a session of any time zone', async () => {
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

  it('shows credits up to the largest integer that JSON carries exactly', async () => {
    const { userId, caller, defaultKey } = await account()
    await database.owner.query('update billing_accounts set credits_per_cycle = $2 where user_id = $1', [
      userId,
      Number.MAX_SAFE_INTEGER,
    ])
    await charge(database, defaultKey.secret, Number.MAX_SAFE_INTEGER)
    expect((await caller.keys.usage()).data[0]?.creditsUsed).toBe(Number.MAX_SAFE_INTEGER)
    expect((await caller.billing.get()).account?.creditsUsed).toBe(Number.MAX_SAFE_INTEGER)
  })

  it('returns the same credits as the specified query over the usage events, in each cycle of any history', async () => {
    const step = fc.record({
      key: fc.nat({ max: 3 }),
      credits: fc.nat({ max: 1000 }),
      daysLater: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 20, noNaN: true })),
      revoke: fc.nat({ max: 9 }).map((n) => n === 0),
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
          const { data, revokedCreditsUsed, billingCycle } = await caller.keys.usage({ cycleStart: start.toISOString() })
          expect(billingCycle).toEqual({ start: start.toISOString(), end: end.toISOString() })
          const live = data.map(({ id, creditsUsed }) => [id, creditsUsed])
          expect({ live, revoked: revokedCreditsUsed }).toEqual(await specified(userId, start, end))
          if (now < end.getTime()) {
            expect(await caller.keys.usage()).toMatchObject({ data, revokedCreditsUsed })
            const used = data.reduce((sum, { creditsUsed }) => sum + creditsUsed, revokedCreditsUsed)
            expect((await caller.billing.get()).account?.creditsUsed).toBe(used)
          }
        }
      }),
      { numRuns: 20 },
    )
  })
})
