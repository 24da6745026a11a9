import { ALERT_THRESHOLDS_MAX, ALERTS_LISTED_MAX, SetAlertThresholds } from '@keymeter/contract'
import { TRPCError } from '@trpc/server'
import { pino } from 'pino'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { accessToken, backend as backendOf, byMember, contextOf, provisioned, signedIn } from '../../test/caller.ts'
import { replaceClock } from '../../test/clock.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { recordPlans, rowsRead } from '../../test/recorded-plans.ts'
import { provision } from '../auth/provision.ts'
import { decideFreeCredits } from '../billing/free-credits.ts'
import { describeError } from '../errors.ts'
import { Metering } from '../metering/metering.ts'
import { appRouter } from '../router.ts'
import { inAccount } from '../scope.ts'

const database = reconciledDatabase()
const { metering, operator } = backendOf(database)
const START = new Date('2027-01-31T12:00:00.000Z')
const NEXT_CYCLE = new Date('2027-02-28T12:00:00.000Z')
const AFTER_NEXT_CYCLE = new Date('2027-03-31T12:00:00.000Z')
const HOUR_MS = 3_600_000

let clock: Awaited<ReturnType<typeof replaceClock>>
beforeAll(async () => {
  clock = await replaceClock(database)
  await database.owner.query(
    "insert into plans (plan, credits_per_cycle) values ('other', 1000), ('large', 5000), ('prepaid', 0), ('tiny', 10)",
  )
})
beforeEach(async () => await clock.set(START))

let requests = 0
const once = () => `request-${requests++}`

/** Creates an account with the plan `free` (1,000 credits), whose first cycle starts at `START`. */
async function account() {
  const created = await provisioned(database)
  const { caller, userId, defaultKey } = created
  await database.owner.query(
    'update billing_accounts set billing_cycle_anchor = $2, billing_cycle_start = $2 where user_id = $1',
    [userId, START],
  )
  const key = defaultKey.secret
  let minutes = 0
  return {
    ...created,
    key,
    /** Charges the key, one minute after the previous charge. */
    charge: async (credits: number) => {
      await clock.set(new Date(START.getTime() + ++minutes * 60_000))
      return await metering.charge({ key, credits, idempotencyKey: once() })
    },
    hold: async (credits: number) => {
      const held = await metering.hold({ key, credits, idempotencyKey: once() })
      if (held.verdict !== 'held') throw new Error(`the hold is ${held.verdict}`)
      return held.holdId
    },
    topUp: async (credits: number) => await operator.grantTopUp({ accountId: userId, credits, idempotencyKey: once() }),
    changePlan: async (plan: string) => await operator.changePlan({ accountId: userId, plan }),
    set: async (creditsLeft: number[], thresholds: number[] = []) =>
      await caller.alerts.setThresholds({ thresholds, creditsLeft }),
    /** Returns the alerts, newest first, e.g. `80% of free` or `100 left`. */
    alerts: async () =>
      (await caller.alerts.list()).data.map(({ kind, threshold, plan }) =>
        kind === 'percent' ? `${threshold}% of ${plan}` : `${threshold} left`,
      ),
  }
}

/** Creates an account whose plan grants 0 credits, with a top-up of `credits`. */
async function prepaid(credits: number) {
  const created = await account()
  await created.changePlan('prepaid')
  await clock.set(NEXT_CYCLE)
  const topUpIdempotencyKey = once()
  await operator.grantTopUp({ accountId: created.userId, credits, idempotencyKey: topUpIdempotencyKey })
  const { key } = created
  return {
    ...created,
    /** Takes back `credits` of the top-up. */
    takeBack: async (credits: number, idempotencyKey = once()) =>
      await operator.takeBackTopUp({ accountId: created.userId, topUpIdempotencyKey, credits, idempotencyKey }),
    charge: async (credits: number) => await metering.charge({ key, credits, idempotencyKey: once() }),
  }
}

/** Charges through the server’s role. Returns the statements that read or write alerts. */
async function alertStatements(key: string, charges: number[]): Promise<string[]> {
  const statements = await recordPlans(database, async (db) => {
    const engine = new Metering({ db, keyBrand: 'km', log: pino({ level: 'silent' }) })
    for (const credits of charges) await engine.charge({ key, credits, idempotencyKey: once(), operation: 'default' })
  })
  expect(statements.some(({ sql }) => sql.includes('public.api_key_usage'))).toBe(true)
  return statements.map(({ sql }) => sql).filter((sql) => sql.includes('public.alerts'))
}

describe('thresholds in percent', () => {
  it('a percentage is reached again under another plan, also under an earlier plan, and with more credits', async () => {
    const { charge, changePlan, alerts } = await account()
    await charge(600)
    expect(await alerts()).toEqual(['50% of free'])
    await changePlan('other')
    expect(await alerts()).toEqual(['50% of free'])
    await charge(1)
    await charge(1)
    expect(await alerts()).toEqual(['50% of other', '50% of free'])
    await changePlan('free')
    await charge(1)
    expect(await alerts()).toEqual(['50% of free', '50% of other', '50% of free'])
    await changePlan('large')
    await charge(1896)
    expect(await alerts()).toHaveLength(3)
    await charge(1)
    expect(await alerts()).toEqual(['50% of large', '50% of free', '50% of other', '50% of free'])
  })

  it('an alert contains the plan and its credits, and the credits used and left, as they were then', async () => {
    const { charge, changePlan, topUp, caller } = await account()
    await topUp(40)
    await charge(510)
    await changePlan('large')
    await charge(5)
    expect((await caller.alerts.list()).data).toEqual([
      {
        kind: 'percent',
        threshold: 50,
        at: new Date(START.getTime() + 60_000).toISOString(),
        cycleStart: START.toISOString(),
        plan: 'free',
        creditsPerCycle: 1000,
        creditsUsed: 510,
        creditsLeft: 530,
      },
    ])
  })

  it('a percentage is not reached again after a top-up, a planned change of the plan, or the cancellation of this change', async () => {
    const { charge, changePlan, topUp, alerts } = await account()
    await charge(600)
    await topUp(100)
    await charge(1)
    await changePlan('tiny')
    await charge(1)
    await changePlan('free')
    await charge(1)
    expect(await alerts()).toEqual(['50% of free'])
  })
})

describe('thresholds of credits left', () => {
  it('a charge that brings what is left to a threshold records an alert, and a charge that leaves 1 credit more does not', async () => {
    const { charge, set, alerts, caller } = await account()
    await set([100, 0])
    await charge(899)
    expect(await alerts()).toEqual([])
    await charge(1)
    await charge(99)
    expect(await alerts()).toEqual(['100 left'])
    await charge(1)
    expect(await alerts()).toEqual(['0 left', '100 left'])
    expect((await caller.alerts.list()).data).toMatchObject([
      { kind: 'credits_left', creditsLeft: 0, creditsUsed: 1000, creditsPerCycle: 1000 },
      { kind: 'credits_left', creditsLeft: 100, creditsUsed: 900, creditsPerCycle: 1000 },
    ])
  })

  it('a batch that goes far past several thresholds records each of them once, in the transaction of the batch', async () => {
    const { key, set, alerts } = await account()
    await set([900, 500, 100, 50, 0])
    const engine = new Metering({ db: database.db, keyBrand: 'km', log: pino({ level: 'silent' }) })
    const items = [400, 5, 500, 1000, 3].map((credits) => ({ key, credits, idempotencyKey: once(), operation: 'default' }))
    await engine.chargeMany(items)
    expect(await alerts()).toEqual(['0 left', '100 left', '500 left', '900 left'])
  })

  it('a batch records the thresholds that it reached in between, even if a refund of the batch gives the credits back', async () => {
    const { key, charge, set, caller } = await account()
    const charged = await charge(500)
    if (charged.verdict !== 'charged' || charged.chargeId === null) throw new Error('nothing is charged')
    // After this call, each charge of the next batch looks for thresholds that it reaches.
    await set([100], [80])
    const engine = new Metering({ db: database.db, keyBrand: 'km', log: pino({ level: 'silent' }) })
    const item = { key, operation: 'default' }
    await Promise.all([
      // While this verify is in flight, the other calls gather in one batch.
      engine.charge({ ...item, credits: 0, idempotencyKey: null }),
      engine.charge({ ...item, credits: 450, idempotencyKey: once() }),
      engine.refund({ chargeId: charged.chargeId, credits: 500, idempotencyKey: once() }),
      engine.charge({ ...item, credits: 1, idempotencyKey: once() }),
    ])
    expect((await caller.alerts.list()).data).toMatchObject([
      { kind: 'percent', threshold: 80, creditsUsed: 950, creditsLeft: 50 },
      { kind: 'percent', threshold: 50 },
      { kind: 'credits_left', threshold: 100, creditsUsed: 950, creditsLeft: 50 },
    ])
  })

  it('held credits are left, so neither a hold nor a release changes the alerts, and the settle of a hold records them', async () => {
    const { hold, set, alerts, charge, caller } = await account()
    await set([100, 0])
    const holdId = await hold(950)
    expect(await alerts()).toEqual([])
    await metering.release({ holdId, idempotencyKey: once() })
    const second = await hold(950)
    await charge(10)
    expect(await alerts()).toEqual([])
    await hold(40)
    expect(await alerts()).toEqual([])
    await metering.settle({ holdId: second, credits: 900, idempotencyKey: once() })
    expect((await caller.alerts.list()).data).toMatchObject([{ threshold: 100, creditsLeft: 90, creditsUsed: 910 }])
    await charge(50)
    expect(await alerts()).toEqual(['100 left'])
  })

  it('a charge that is refused only because of open holds records no alert, and reads none', async () => {
    const { key, hold, set, alerts, charge } = await account()
    await set([100, 0])
    await charge(600)
    await hold(250)
    expect(await alertStatements(key, [400, 151])).toEqual([])
    expect(await alerts()).toEqual([])
    await charge(401)
    expect(await alerts()).toEqual(['0 left'])
  })

  it('a charge or a hold that is refused because too few credits are left records only the alert 0, once, with what was left', async () => {
    for (const action of ['charge', 'hold'] as const) {
      const { key, charge, set, alerts, caller } = await account()
      await set([100, 2, 0])
      await charge(850)
      const refused = { key, credits: 151, idempotencyKey: once() }
      for (let times = 0; times < 2; times++)
        expect(await metering[action]({ ...refused, idempotencyKey: once() })).toMatchObject({
          verdict: 'insufficient_credits',
        })
      expect(await alerts()).toEqual(['0 left'])
      expect((await caller.alerts.list()).data).toMatchObject([{ threshold: 0, creditsLeft: 150, creditsUsed: 850 }])
      await charge(149)
      expect(await alerts()).toEqual(['2 left', '100 left', '0 left'])
    }
  })

  it('a charge that is refused for another reason records no alert', async () => {
    const { key, userId, set, alerts, caller, defaultKey } = await account()
    await set([100, 0])
    await caller.keys.update({ id: defaultKey.id, creditLimit: 1 })
    const refused = async (credits: number) => await metering.charge({ key, credits, idempotencyKey: once() })
    expect(await refused(2)).toMatchObject({ verdict: 'key_limit_exceeded' })
    await operator.suspend({ accountId: userId })
    expect(await refused(5000)).toMatchObject({ verdict: 'account_suspended' })
    expect(await alerts()).toEqual([])
  })

  it('a threshold is reached again after a top-up or another plan has raised what is left above it, and not otherwise', async () => {
    const { charge, topUp, changePlan, set, alerts } = await account()
    await set([100, 50, 0])
    await charge(1000)
    expect(await alerts()).toEqual(['0 left', '50 left', '100 left'])
    // 50 credits are not above 50.
    await topUp(50)
    await charge(1)
    await charge(49)
    expect((await alerts())[0]).toBe('0 left')
    expect(await alerts()).toHaveLength(4)
    await topUp(101)
    await charge(1)
    expect(await alerts()).toHaveLength(5)
    await charge(100)
    expect((await alerts()).slice(0, 3)).toEqual(['0 left', '50 left', '100 left'])
    expect(await alerts()).toHaveLength(7)
    await changePlan('large')
    await charge(3950)
    expect((await alerts()).slice(0, 2)).toEqual(['50 left', '100 left'])
    expect(await alerts()).toHaveLength(9)
    await charge(1)
    expect(await alerts()).toHaveLength(9)
  })

  it('two top-ups that raise what is left to different numbers allow each threshold once', async () => {
    const { charge, topUp, set, alerts } = await account()
    await set([100, 50, 0])
    await charge(1000)
    await topUp(60)
    await charge(20)
    expect(await alerts()).toEqual(['50 left', '0 left', '50 left', '100 left'])
    await topUp(30)
    // The new list contains 100 again. It is not above what was left after a top-up, so it stays reached.
    await set([100, 50, 0])
    await charge(1)
    expect(await alerts()).toHaveLength(4)
    await charge(69)
    expect((await alerts()).slice(0, 2)).toEqual(['0 left', '50 left'])
    expect(await alerts()).toHaveLength(6)
  })

  it('a threshold is reached again after a refund has raised what is left above it, and not otherwise', async () => {
    const { charge, set, alerts } = await account()
    await set([100])
    const charged = await charge(950)
    if (charged.verdict !== 'charged' || charged.chargeId === null) throw new Error('nothing is charged')
    const refund = { chargeId: charged.chargeId }
    await metering.refund({ ...refund, credits: 50, idempotencyKey: once() })
    await charge(10)
    expect(await alerts()).toEqual(['100 left'])
    await metering.refund({ ...refund, credits: 11, idempotencyKey: once() })
    await charge(1)
    expect(await alerts()).toEqual(['100 left', '100 left'])
  })

  it('a batch records each of the alerts before and after a refund that raises what is left above their threshold', async () => {
    const { key, charge, set, caller } = await account()
    const charged = await charge(500)
    if (charged.verdict !== 'charged' || charged.chargeId === null) throw new Error('nothing is charged')
    await set([100, 10])
    const engine = new Metering({ db: database.db, keyBrand: 'km', log: pino({ level: 'silent' }) })
    const item = { key, operation: 'default' }
    await Promise.all([
      // While this verify is in flight, the other calls gather in one batch.
      engine.charge({ ...item, credits: 0, idempotencyKey: null }),
      engine.charge({ ...item, credits: 450, idempotencyKey: once() }),
      engine.refund({ chargeId: charged.chargeId, credits: 500, idempotencyKey: once() }),
      engine.charge({ ...item, credits: 470, idempotencyKey: once() }),
      engine.charge({ ...item, credits: 1, idempotencyKey: once() }),
    ])
    const { data } = await caller.alerts.list()
    expect(data.map(({ threshold, creditsLeft, kind }) => [kind, threshold, creditsLeft]).toSorted()).toEqual([
      ['credits_left', 100, 50],
      ['credits_left', 100, 79],
      ['percent', 50, 500],
    ])
  })

  it('a threshold is reached again after a hold of an ended cycle has given its top-ups back', async () => {
    for (const end of ['release', 'settle', 'expiry'] as const) {
      await clock.set(START)
      const { charge, alerts, hold } = await prepaid(300)
      await clock.set(new Date(AFTER_NEXT_CYCLE.getTime() - 1))
      const holdId = await hold(250)
      await clock.set(AFTER_NEXT_CYCLE)
      await charge(1)
      expect(await alerts()).toEqual(['100 left'])
      if (end === 'release') await metering.release({ holdId, idempotencyKey: once() })
      else if (end === 'settle') await metering.settle({ holdId, credits: 1, idempotencyKey: once() })
      else await clock.set(new Date(AFTER_NEXT_CYCLE.getTime() + HOUR_MS))
      expect(await charge(197)).toMatchObject({ verdict: 'charged' })
      expect(await alerts()).toEqual(['100 left'])
      await charge(2)
      expect(await alerts()).toEqual(['100 left', '100 left'])
    }
  })

  it('a refused charge records each threshold that is not below what is left', async () => {
    const { key, changePlan, alerts, caller } = await account()
    await changePlan('prepaid')
    await clock.set(NEXT_CYCLE)
    expect(await metering.charge({ key, credits: 1, idempotencyKey: once() })).toMatchObject({
      verdict: 'insufficient_credits',
    })
    expect(await alerts()).toEqual(['0 left', '100 left'])
    expect((await caller.alerts.list()).data).toMatchObject([{ creditsLeft: 0 }, { creditsLeft: 0 }])
  })

  it('a threshold is reached again in the next cycle', async () => {
    const { key, charge, set, alerts } = await account()
    await set([100])
    await charge(950)
    await clock.set(NEXT_CYCLE)
    await metering.charge({ key, credits: 899, idempotencyKey: once() })
    expect(await alerts()).toEqual(['100 left'])
    await metering.charge({ key, credits: 1, idempotencyKey: once() })
    expect(await alerts()).toEqual(['100 left', '100 left'])
  })

  it('a threshold that is set above what is left is reached by the next charge', async () => {
    const { charge, set, alerts } = await account()
    await charge(500)
    await set([700, 100])
    expect(await alerts()).toEqual(['50% of free'])
    await charge(1)
    expect(await alerts()).toEqual(['700 left', '50% of free'])
  })

  it('an account can have the largest number of credits left as a threshold', async () => {
    const { charge, set, alerts } = await account()
    expect(await set([0, Number.MAX_SAFE_INTEGER])).toMatchObject({ creditsLeft: [Number.MAX_SAFE_INTEGER, 0] })
    await charge(1)
    expect(await alerts()).toEqual([`${Number.MAX_SAFE_INTEGER} left`])
  })
})

describe('an account whose plan grants no credits', () => {
  it('gets alerts at 100 and 0 credits left without doing anything, and none in percent', async () => {
    const { charge, alerts, caller } = await prepaid(300)
    expect(await caller.alerts.list()).toMatchObject({ thresholds: [50, 80, 100], creditsLeft: [100, 0] })
    await charge(199)
    expect(await alerts()).toEqual([])
    await charge(1)
    expect(await alerts()).toEqual(['100 left'])
    await charge(101)
    expect(await alerts()).toEqual(['0 left', '100 left'])
    expect((await caller.alerts.list()).data).toMatchObject([
      { plan: 'prepaid', creditsPerCycle: 0, creditsLeft: 100, creditsUsed: 200 },
      { plan: 'prepaid', creditsPerCycle: 0, creditsLeft: 100, creditsUsed: 200 },
    ])
  })

  it('gets an alert when its operator takes back so much of a top-up that a threshold is reached, and a retry records none', async () => {
    const { charge, alerts, caller, takeBack, hold } = await prepaid(150)
    await charge(1)
    await takeBack(48)
    expect(await alerts()).toEqual([])
    const retried = once()
    for (let times = 0; times < 2; times++) await takeBack(1, retried)
    expect(await alerts()).toEqual(['100 left'])
    await hold(30)
    await takeBack(100)
    expect((await caller.alerts.list()).data).toMatchObject([{ threshold: 100, creditsLeft: 100, creditsUsed: 1 }])
    expect(await charge(31)).toMatchObject({ verdict: 'insufficient_credits' })
    expect(await alerts()).toEqual(['0 left', '100 left'])
  })

  it('gets all its alerts when its operator takes back everything', async () => {
    const { alerts, takeBack, topUp, charge } = await prepaid(150)
    await takeBack(150)
    expect(await alerts()).toEqual(['0 left', '100 left'])
    // Nothing is left, so this takes nothing back.
    await takeBack(1)
    expect(await alerts()).toHaveLength(2)
    await topUp(101)
    await charge(1)
    expect(await alerts()).toHaveLength(3)
  })

  it('gets the thresholds that its customer has set, also if these are none', async () => {
    const { charge, set, alerts } = await prepaid(300)
    await set([])
    await charge(250)
    expect(await alerts()).toEqual([])
    await set([10])
    await charge(40)
    expect(await alerts()).toEqual(['10 left'])
  })

  it('has no thresholds of credits left any more when its plan grants credits, unless its customer has set some', async () => {
    const { changePlan, caller, set } = await prepaid(300)
    await changePlan('free')
    expect(await caller.alerts.list()).toMatchObject({ thresholds: [50, 80, 100], creditsLeft: [] })
    await set([7])
    expect(await caller.alerts.list()).toMatchObject({ creditsLeft: [7] })
  })

  it('has the thresholds of its plan as soon as the cycle of the plan has begun, before any charge', async () => {
    const { changePlan, caller } = await account()
    await changePlan('prepaid')
    expect((await caller.alerts.list()).creditsLeft).toEqual([])
    await clock.set(NEXT_CYCLE)
    expect((await caller.alerts.list()).creditsLeft).toEqual([100, 0])
  })

  it('an account that gets its free credits later can reach the thresholds again', async () => {
    const userId = await database.createUser()
    const unconfirmed = { email: 'late@example.com', isEmailConfirmed: false }
    const created = await inAccount(
      { ...contextOf(database, null), userId, by: byMember(userId) },
      'read write',
      async (scope) => await provision(scope, decideFreeCredits('after_confirmation', unconfirmed)),
    )
    const charge = async (credits: number) =>
      await metering.charge({ key: created?.secret ?? '', credits, idempotencyKey: once() })
    const caller = await signedIn(database, userId)
    await caller.alerts.setThresholds({ thresholds: [50], creditsLeft: [100, 0] })
    expect(await charge(1)).toMatchObject({ verdict: 'insufficient_credits' })
    await caller.auth.provision()
    expect(await charge(1000)).toMatchObject({ verdict: 'charged' })
    const { data } = await caller.alerts.list()
    expect(data.map(({ kind, threshold }) => `${kind} ${threshold}`).toSorted()).toEqual([
      'credits_left 0',
      'credits_left 0',
      'credits_left 100',
      'credits_left 100',
      'percent 50',
    ])
  })
})

describe('alerts.setThresholds', () => {
  it('does not change a missing list', async () => {
    const { caller, set } = await account()
    await set([100, 0], [50])
    expect(await caller.alerts.setThresholds({ thresholds: [70] })).toMatchObject({ thresholds: [70], creditsLeft: [100, 0] })
    const other = await prepaid(1)
    expect(await other.caller.alerts.setThresholds({ thresholds: [] })).toMatchObject({ thresholds: [], creditsLeft: [100, 0] })
    await other.changePlan('free')
    expect(await other.caller.alerts.list()).toMatchObject({ creditsLeft: [] })
    expect(await caller.alerts.setThresholds({ creditsLeft: [7] })).toMatchObject({ thresholds: [70], creditsLeft: [7] })
    expect(await caller.alerts.setThresholds({})).toMatchObject({ thresholds: [70], creditsLeft: [7] })
  })

  it('accepts the maximum number of thresholds and names the field of a mistake', async () => {
    const { set } = await account()
    const numbers = Array.from({ length: ALERT_THRESHOLDS_MAX }, (_, n) => n)
    expect(await set(numbers)).toMatchObject({ creditsLeft: numbers.toReversed() })
    await expect(set([...numbers, 100])).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    const fieldsOf = (creditsLeft: unknown[]) => {
      const { error } = SetAlertThresholds.safeParse({ thresholds: [], creditsLeft })
      const { reason, issues } = describeError(new TRPCError({ code: 'BAD_REQUEST', cause: error }))
      expect(reason).toBe('bad_request')
      return [...new Set(issues.map(({ field }) => field))]
    }
    expect(fieldsOf([...numbers, 100])).toEqual(['creditsLeft'])
    expect(fieldsOf([5, 5])).toEqual(['creditsLeft'])
    for (const wrong of [-1, 1.5, Number.MAX_SAFE_INTEGER + 1, 'x', null])
      expect(fieldsOf([0, wrong])).toEqual(['creditsLeft.1'])
  })
})

describe('the cost of alerts', () => {
  it('a charge reads and writes no alerts while it reaches no further threshold, also above a reached one or when it is refused', async () => {
    const { key, set, charge, alerts } = await account()
    await set([300, 0], [50, 99])
    await charge(1)
    expect(await alertStatements(key, [1, 1, 400])).toEqual([])
    expect(await alertStatements(key, [400])).toHaveLength(2)
    expect(await alerts()).toEqual(['50% of free', '300 left'])
    expect(await alertStatements(key, [1, 1])).toEqual([])
    expect(await alertStatements(key, [500])).toHaveLength(2)
    expect(await alertStatements(key, [500, 500, 1])).toEqual([])
  })

  it('a charge of an account without thresholds reads and writes no alerts, also if its plan grants no credits', async () => {
    for (const { key, set, charge } of [await account(), await prepaid(1000)]) {
      await set([], [])
      await charge(1)
      await charge(5000)
      expect(await alertStatements(key, [500, 5000, 499, 1])).toEqual([])
    }
  })

  it('alerts.list returns a bounded number of alerts, newest first, and reads only these', async () => {
    const { userId } = await account()
    await database.owner.query(
      `insert into alerts (user_id, cycle_start, period, kind, threshold, created_at, plan, credits_used, credits_left, credits_granted)
       select $1, $2, n / 10, 'credits_left', n % 10, $2::timestamptz + n / 10 * interval '1 hour', 'free', 1, n, 1000
         from generate_series(1, 5000) as n`,
      [userId, START],
    )
    const statements = await recordPlans(database, async (db) => {
      const caller = appRouter.createCaller(contextOf({ db }, await accessToken(userId)))
      const { data } = await caller.alerts.list()
      expect(data).toHaveLength(ALERTS_LISTED_MAX)
      expect(data.slice(0, 3).map(({ creditsLeft }) => creditsLeft)).toEqual([5000, 4990, 4991])
      // The limit cuts the last batch, whose thresholds are 0 to 9, before the threshold that was reached first.
      expect(data.slice(-9).map(({ creditsLeft }) => creditsLeft)).toEqual([
        4740, 4741, 4742, 4743, 4744, 4745, 4746, 4747, 4748,
      ])
    })
    expect(rowsRead(statements, 'alerts')).toBe(ALERTS_LISTED_MAX)
  })
})
