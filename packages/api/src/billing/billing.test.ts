import { randomUUID } from 'node:crypto'
import { CREDITS_GIVEN_MAX, LEDGER_SINGLE_ENTRIES_MAX } from '@keymeter/contract'
import { createDb } from '@keymeter/db'
import { beforeAll, describe, expect, it } from 'vitest'
import { backend as backendOf, byMember, contextOf, provisioned } from '../../test/caller.ts'
import { replaceClock } from '../../test/clock.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { recordPlans } from '../../test/recorded-plans.ts'
import { keepUsageByDaysFrom } from '../../test/usage-days.ts'
import { verifyAudit } from '../maintenance/verify-audit.ts'
import { inAccount } from '../scope.ts'
import { getLedger } from './ledger.ts'

const database = reconciledDatabase()
const { metering, operator } = backendOf(database)
const ANCHOR = new Date('2027-01-31T12:00:00.000Z')
const SECOND_CYCLE = '2027-02-28T12:00:00.000Z'
const THIRD_CYCLE = '2027-03-31T12:00:00.000Z'

let clock: Awaited<ReturnType<typeof replaceClock>>
beforeAll(async () => {
  clock = await replaceClock(database)
  await keepUsageByDaysFrom(database, 1)
  await database.owner.query(
    "insert into plans (plan, credits_per_cycle) values ('pro', 5000), ('tiny', 100), ('also-free', 1000)",
  )
})

async function account() {
  await clock.set(ANCHOR)
  const { userId, caller, defaultKey } = await provisioned(database)
  await database.owner.query(
    'update billing_accounts set billing_cycle_anchor = $2, billing_cycle_start = $2 where user_id = $1',
    [userId, ANCHOR],
  )
  return {
    accountId: userId,
    caller,
    charge: async (credits: number) => await metering.charge({ key: defaultKey.secret, credits, idempotencyKey: once() }),
    hold: async (credits: number) =>
      await metering.hold({ key: defaultKey.secret, credits, idempotencyKey: once(), ttlSeconds: 900 }),
    get: async () => (await caller.billing.get()).account,
    lines: async (cycleStart?: string) =>
      (await caller.billing.ledger({ cycleStart })).entries.map(({ kind, at, credits, balance }) => [
        kind,
        at.slice(0, 10),
        credits,
        balance,
      ]),
  }
}

let requests = 0
const once = () => `request-${requests++}`

describe('top-ups', () => {
  it('top-ups are spent after the granted credits, and unused top-ups are kept when the cycle ends', async () => {
    const { accountId, charge, get } = await account()
    await operator.grantTopUp({ accountId, credits: 500, idempotencyKey: once() })
    expect(await get()).toMatchObject({ creditsPerCycle: 1000, topUps: 500, creditsRemaining: 1500 })
    await charge(1200)
    await clock.set(new Date(SECOND_CYCLE))
    expect(await get()).toMatchObject({ topUps: 300, creditsUsed: 0, creditsRemaining: 1300 })
    await clock.set(new Date('2027-09-30T12:00:00.000Z'))
    expect(await get()).toMatchObject({ topUps: 300, creditsRemaining: 1300 })
    expect(await charge(1301)).toMatchObject({ verdict: 'insufficient_credits', remaining: 1300 })
  })

  it('a top-up is granted once per idempotency key, even if a retry comes concurrently or a year later', async () => {
    const { accountId, get } = await account()
    const grant = { accountId, credits: 70, idempotencyKey: once(), note: 'invoice 7' }
    const answers = await Promise.all(Array.from({ length: 20 }, async () => await operator.grantTopUp(grant)))
    expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1)
    await clock.set(new Date('2028-03-01T00:00:00.000Z'))
    expect(await operator.grantTopUp(grant)).toMatchObject({ replayed: true, grantedAt: ANCHOR.toISOString() })
    await expect(operator.grantTopUp({ ...grant, credits: 71 })).rejects.toMatchObject({ reason: 'idempotency_key_reused' })
    expect(await get()).toMatchObject({ topUps: 70 })
  })

  it('top-ups can reach the largest safe integer, and one more credit is refused and changes nothing', async () => {
    const { accountId, get } = await account()
    await database.owner.query('update billing_accounts set credits_per_cycle = 0 where user_id = $1', [accountId])
    for (let left = Number.MAX_SAFE_INTEGER - 5; left > 0; left -= CREDITS_GIVEN_MAX)
      await operator.grantTopUp({ accountId, credits: Math.min(left, CREDITS_GIVEN_MAX), idempotencyKey: once() })
    await expect(operator.grantTopUp({ accountId, credits: 6, idempotencyKey: once() })).rejects.toMatchObject({
      reason: 'bad_request',
      issues: [{ field: 'credits' }],
    })
    expect(await operator.grantTopUp({ accountId, credits: 5, idempotencyKey: once() })).toMatchObject({ replayed: false })
    expect(await get()).toMatchObject({ topUps: Number.MAX_SAFE_INTEGER })
  })

  it('a top-up is refused for an unknown account and for an invalid number of credits', async () => {
    const { accountId } = await account()
    const grant = { accountId, credits: 1, idempotencyKey: once() }
    await expect(operator.grantTopUp({ ...grant, accountId: randomUUID() })).rejects.toMatchObject({
      reason: 'account_not_found',
    })
    for (const credits of [0, -1, 1.5, 2 ** 53])
      await expect(operator.grantTopUp({ ...grant, credits })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    const note = 'what Postgres cannot keep: \u0000'
    await expect(operator.grantTopUp({ accountId, credits: 1, idempotencyKey: once(), note })).rejects.toMatchObject({
      code: 'BAD_REQUEST',
    })
  })
})

describe('a top-up that is taken back', () => {
  async function toppedUp(credits: number) {
    const created = await account()
    const topUpIdempotencyKey = once()
    await operator.grantTopUp({ accountId: created.accountId, credits, idempotencyKey: topUpIdempotencyKey })
    const { accountId } = created
    const takeBack = async (more: { credits?: number; idempotencyKey?: string; note?: string } = {}) =>
      await operator.takeBackTopUp({ accountId, topUpIdempotencyKey, idempotencyKey: once(), ...more })
    return { ...created, topUpIdempotencyKey, takeBack }
  }

  it('is taken back completely or in parts, but never more than once', async () => {
    const { takeBack, get, lines, caller } = await toppedUp(500)
    expect(await takeBack({ credits: 100, note: 'invoice 7' })).toMatchObject({
      takenBackAt: ANCHOR.toISOString(),
      creditsTakenBack: 100,
      creditsSpent: 0,
      replayed: false,
      account: { topUps: 400, creditsRemaining: 1400 },
    })
    expect(await takeBack()).toMatchObject({ creditsTakenBack: 400, creditsSpent: 0, account: { topUps: 0 } })
    expect(await takeBack()).toMatchObject({ creditsTakenBack: 0, creditsSpent: 0, account: { topUps: 0 } })
    expect(await get()).toMatchObject({ topUps: 0, creditsRemaining: 1000 })
    // The last line is missing, because it would change nothing.
    expect(await lines()).toEqual([
      ['grant', '2027-01-31', 1000, 1000],
      ['top_up', '2027-01-31', 500, 1500],
      ['take_back', '2027-01-31', -100, 1400],
      ['take_back', '2027-01-31', -400, 1000],
    ])
    expect((await caller.billing.ledger()).entries.map(({ note }) => note)).toEqual([null, null, 'invoice 7', null])
    const { data } = await caller.audit.list({ limit: 3 })
    const [none, rest, part] = data.map(({ action, actor, detail }) => ({ action, actor, ...detail }))
    const logged = { action: 'account.top_up_taken_back', actor: 'operator', creditsSpent: 0, topUpSequence: 1 }
    expect(none).toEqual({ ...logged, credits: 0, note: null, ledgerSequence: 4 })
    expect(rest).toEqual({ ...logged, credits: 400, note: null, ledgerSequence: 3 })
    expect(part).toEqual({ ...logged, credits: 100, note: 'invoice 7', ledgerSequence: 2 })
    expect((await verifyAudit(database.ownerDb)).faults).toEqual([])
  })

  it('loses only the credits that are neither spent nor held', async () => {
    const { takeBack, charge, hold } = await toppedUp(500)
    await charge(1100)
    const held = await hold(150)
    expect(await takeBack()).toMatchObject({ creditsTakenBack: 250, creditsSpent: 250, account: { creditsRemaining: 0 } })
    expect(await charge(1)).toMatchObject({ verdict: 'insufficient_credits', remaining: 0, creditsHeld: 150 })
    if (held.verdict !== 'held') throw new Error(held.verdict)
    await metering.release({ holdId: held.holdId, idempotencyKey: once() })
    // The hold has ended, so its credits can be taken back too.
    expect(await takeBack({ credits: 400 })).toMatchObject({ creditsTakenBack: 150, creditsSpent: 100 })
    expect(await takeBack()).toMatchObject({ creditsTakenBack: 0, creditsSpent: 100, account: { creditsRemaining: 0 } })
  })

  it('loses nothing if the plan was not used up, because the credits of the plan are spent first', async () => {
    const { takeBack, charge } = await toppedUp(500)
    await charge(1000)
    expect(await takeBack()).toMatchObject({ creditsTakenBack: 500, creditsSpent: 0, account: { creditsRemaining: 0 } })
  })

  it('shares one balance with all other top-ups, but loses at most its own credits', async () => {
    const { takeBack, charge, accountId } = await toppedUp(300)
    await operator.grantTopUp({ accountId, credits: 200, idempotencyKey: once() })
    await charge(1100)
    expect(await takeBack()).toMatchObject({ creditsTakenBack: 300, creditsSpent: 0, account: { topUps: 200 } })
  })

  it('stays taken back if the request is repeated, concurrently or a year later, and the repetition returns the same numbers', async () => {
    const { takeBack, get, accountId, charge } = await toppedUp(500)
    await charge(1450)
    const request = { credits: 80, idempotencyKey: once() }
    const answers = await Promise.all(Array.from({ length: 20 }, async () => await takeBack(request)))
    expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1)
    await operator.grantTopUp({ accountId, credits: 1000, idempotencyKey: once() })
    await clock.set(new Date('2028-03-01T00:00:00.000Z'))
    const same = { creditsTakenBack: 50, creditsSpent: 30, takenBackAt: ANCHOR.toISOString() }
    for (const answer of [...answers, await takeBack(request)]) expect(answer).toMatchObject(same)
    expect(await get()).toMatchObject({ topUps: 1000 })
    // A request without credits means all of the top-up, so it is a different request.
    for (const different of [{ ...request, credits: 79 }, { idempotencyKey: request.idempotencyKey }])
      await expect(takeBack(different)).rejects.toMatchObject({ reason: 'idempotency_key_reused' })
  })

  it('remembers that nothing was left, even if the account gets credits later', async () => {
    const { takeBack, get, accountId, charge } = await toppedUp(500)
    await charge(1500)
    const idempotencyKey = once()
    expect(await takeBack({ idempotencyKey })).toMatchObject({ creditsTakenBack: 0, creditsSpent: 500, replayed: false })
    await operator.grantTopUp({ accountId, credits: 500, idempotencyKey: once() })
    expect(await takeBack({ idempotencyKey })).toMatchObject({ creditsTakenBack: 0, creditsSpent: 500, replayed: true })
    expect(await get()).toMatchObject({ creditsRemaining: 500 })
  })

  it('can be taken back in a later cycle, and the totals of that cycle can be negative', async () => {
    const { takeBack, get, lines, charge, caller } = await toppedUp(500)
    await charge(1100)
    await clock.set(new Date(SECOND_CYCLE))
    expect(await takeBack({ credits: 150 })).toMatchObject({
      creditsTakenBack: 150,
      account: { topUps: 250, creditsRemaining: 1250 },
    })
    await charge(1050)
    expect(await takeBack()).toMatchObject({
      creditsTakenBack: 200,
      creditsSpent: 150,
      account: { topUps: 50, creditsRemaining: 0 },
    })
    const second = [
      ['carried_over', '2027-02-28', 400, 400],
      ['grant', '2027-02-28', 1000, 1400],
      ['charges', '2027-02-28', -1050, 350],
      ['take_back', '2027-02-28', -150, 200],
      ['take_back', '2027-02-28', -200, 0],
    ]
    expect(await lines()).toEqual(second)
    const { rows } = await database.owner.query(
      'select topped_up_this_cycle from billing_accounts where topped_up_this_cycle < 0',
    )
    expect(rows).toEqual([{ topped_up_this_cycle: '-350' }])
    // The test reads the account before and after the first charge of the third cycle, which closes the second cycle.
    await clock.set(new Date(THIRD_CYCLE))
    for (const used of [0, 10]) {
      if (used > 0) await charge(used)
      expect(await get()).toMatchObject({ topUps: 0, creditsRemaining: 1000 - used })
      expect(await lines(SECOND_CYCLE)).toEqual(second)
      expect((await lines(ANCHOR.toISOString())).at(-1)).toEqual(['charges', '2027-01-31', -1100, 400])
    }
    expect(await caller.billing.ledger()).toMatchObject({ balance: 990 })
  })

  it('is not available to a settle above a hold of the previous cycle', async () => {
    const { takeBack, charge, hold, get } = await toppedUp(50)
    await clock.set(new Date(new Date(SECOND_CYCLE).getTime() - 1))
    await charge(900)
    const held = await hold(100)
    if (held.verdict !== 'held') throw new Error(held.verdict)
    await clock.set(new Date(SECOND_CYCLE))
    await takeBack({ credits: 30 })
    expect(await metering.settle({ holdId: held.holdId, credits: 130, idempotencyKey: once() })).toMatchObject({
      credits: 120,
      uncollected: 10,
      remaining: 1000,
    })
    expect(await get()).toMatchObject({ topUps: 0, creditsRemaining: 1000 })
  })

  it('must exist: a refund that became a top-up, another account’s top-up and an earlier request cannot be taken back', async () => {
    const { takeBack, charge, accountId, caller } = await toppedUp(500)
    const other = await toppedUp(500)
    const charged = await charge(100)
    if (charged.verdict !== 'charged' || charged.chargeId === null) throw new Error('nothing was charged')
    await clock.set(new Date(SECOND_CYCLE))
    const refundKey = once()
    await metering.refund({ chargeId: charged.chargeId, credits: 100, idempotencyKey: refundKey })
    const takenKey = once()
    await takeBack({ credits: 1, idempotencyKey: takenKey })
    const before = await caller.billing.ledger()
    for (const topUpIdempotencyKey of [refundKey, takenKey, other.topUpIdempotencyKey, 'unknown'])
      await expect(operator.takeBackTopUp({ accountId, topUpIdempotencyKey, idempotencyKey: once() })).rejects.toMatchObject({
        reason: 'top_up_not_found',
        issues: [{ field: 'topUpIdempotencyKey' }],
      })
    const topUpIdempotencyKey = once()
    // The id of no user, and a user without an account.
    for (const [id, reason] of [
      [randomUUID(), 'account_not_found'],
      [await database.createUser(), 'top_up_not_found'],
    ] as const)
      await expect(
        operator.takeBackTopUp({ accountId: id, topUpIdempotencyKey, idempotencyKey: once() }),
      ).rejects.toMatchObject({ reason })
    // The two kinds of requests share their idempotency keys.
    await expect(operator.grantTopUp({ accountId, credits: 1, idempotencyKey: takenKey })).rejects.toMatchObject({
      reason: 'idempotency_key_reused',
    })
    for (const credits of [0, -1, 1.5, CREDITS_GIVEN_MAX + 1])
      await expect(takeBack({ credits })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    expect(await caller.billing.ledger()).toEqual({ ...before, requestId: expect.any(String) })
    expect(await takeBack({ credits: CREDITS_GIVEN_MAX })).toMatchObject({ creditsTakenBack: 499, creditsSpent: 0 })
  })

  it('is divided exactly between concurrent charges and requests to take it back', async () => {
    const { takeBack, charge, get } = await toppedUp(500)
    await charge(1000)
    const [charges, taken] = await Promise.all([
      Promise.all(Array.from({ length: 60 }, async () => await charge(9))),
      Promise.all(Array.from({ length: 30 }, async () => await takeBack({ credits: 7 }))),
    ])
    const spent = charges.filter(({ verdict }) => verdict === 'charged').length * 9
    const takenBack = taken.reduce((sum, { creditsTakenBack }) => sum + creditsTakenBack, 0)
    for (const { creditsTakenBack, creditsSpent } of taken) expect(creditsTakenBack + creditsSpent).toBe(7)
    expect(await get()).toMatchObject({
      topUps: 500 - takenBack,
      creditsUsed: 1000 + spent,
      creditsRemaining: 500 - spent - takenBack,
    })
    expect(spent + takenBack).toBeGreaterThan(450)
  })
})

it('an account can have and spend credits up to the largest safe integer, from its plan and top-ups together', async () => {
  await database.owner.query("insert into plans (plan, credits_per_cycle) values ('vast', $1)", [Number.MAX_SAFE_INTEGER - 100])
  const { accountId, charge, get, lines } = await account()
  const grant = async (credits: number) => await operator.grantTopUp({ accountId, credits, idempotencyKey: once() })
  await grant(101)
  await expect(operator.changePlan({ accountId, plan: 'vast' })).rejects.toMatchObject({
    reason: 'bad_request',
    issues: [{ field: 'plan' }],
  })
  expect(await get()).toMatchObject({ plan: 'free', nextPlan: null, creditsPerCycle: 1000 })
  await charge(1002)
  await clock.set(new Date(SECOND_CYCLE))
  expect(await operator.changePlan({ accountId, plan: 'vast' })).toMatchObject({ account: { topUps: 99 } })
  await expect(grant(2)).rejects.toMatchObject({ reason: 'bad_request', issues: [{ field: 'credits' }] })
  expect(await grant(1)).toMatchObject({ account: { topUps: 100, creditsRemaining: Number.MAX_SAFE_INTEGER } })

  expect(await charge(5)).toMatchObject({ verdict: 'charged', remaining: Number.MAX_SAFE_INTEGER - 5 })
  expect(await charge(Number.MAX_SAFE_INTEGER - 5)).toMatchObject({ verdict: 'charged', remaining: 0 })
  expect(await get()).toMatchObject({ creditsRemaining: 0, creditsUsed: Number.MAX_SAFE_INTEGER })
  expect((await lines()).at(-1)).toEqual(['charges', '2027-02-28', -Number.MAX_SAFE_INTEGER, 0])
  expect(await operator.suspend({ accountId })).toMatchObject({ account: { suspendedAt: expect.any(String) } })
})

it('an account with more credits than the largest safe integer, set by the database’s owner, is charged and shown', async () => {
  const { accountId, charge, get, lines } = await account()
  await operator.grantTopUp({ accountId, credits: 2 ** 50, idempotencyKey: once() })
  await database.owner.query('update billing_accounts set credits_per_cycle = $2 where user_id = $1', [
    accountId,
    Number.MAX_SAFE_INTEGER,
  ])
  expect(await charge(5)).toMatchObject({ verdict: 'charged', remaining: Number.MAX_SAFE_INTEGER })
  expect(await get()).toMatchObject({ creditsRemaining: Number.MAX_SAFE_INTEGER, creditsUsed: 5 })
  expect((await lines()).at(-1)).toEqual(['charges', '2027-01-31', -5, Number.MAX_SAFE_INTEGER])
  expect(await charge(Number.MAX_SAFE_INTEGER)).toMatchObject({ verdict: 'charged' })
})

it('held credits of an ended cycle count toward the maximum credits of an account, because their holds can be released', async () => {
  const { accountId, caller, charge, hold, get } = await account()
  const most = 2 ** 50
  const grant = async (credits = most) => await operator.grantTopUp({ accountId, credits, idempotencyKey: once() })
  for (let n = 0; n < 7; n++) await grant()
  await charge(1000)
  await clock.set(new Date(new Date(SECOND_CYCLE).getTime() - 1))
  for (let n = 0; n < 7; n++) expect(await hold(most)).toMatchObject({ verdict: 'held' })
  await clock.set(new Date(SECOND_CYCLE))
  expect(await get()).toMatchObject({ topUps: 0, creditsRemaining: 1000 })
  await expect(grant()).rejects.toMatchObject({ reason: 'bad_request', issues: [{ field: 'credits' }] })
  await grant(most - 1001)
  await clock.set(new Date('2027-03-01T12:00:00.000Z'))
  expect(await charge(1)).toMatchObject({ verdict: 'charged', remaining: 8 * most - 2 })
  expect((await caller.billing.ledger()).balance).toBe(8 * most - 2)
})

describe('changes of plan', () => {
  it('a change to a plan with more credits adds the difference immediately', async () => {
    const { accountId, charge, get } = await account()
    await charge(900)
    expect(await operator.changePlan({ accountId, plan: 'pro' })).toMatchObject({
      effectiveAt: ANCHOR.toISOString(),
      account: { plan: 'pro', creditsPerCycle: 5000, creditsRemaining: 4100, nextPlan: null },
    })
    await operator.changePlan({ accountId, plan: 'pro' })
    await clock.set(new Date(SECOND_CYCLE))
    expect(await get()).toMatchObject({ plan: 'pro', creditsRemaining: 5000 })
  })

  it('a change to a plan with fewer credits takes effect in the next cycle', async () => {
    const { accountId, charge, get } = await account()
    await charge(50)
    expect(await operator.changePlan({ accountId, plan: 'tiny' })).toMatchObject({
      effectiveAt: SECOND_CYCLE,
      account: { plan: 'free', nextPlan: 'tiny', creditsPerCycle: 1000, creditsRemaining: 950 },
    })
    await clock.set(new Date(SECOND_CYCLE))
    expect(await get()).toMatchObject({ plan: 'tiny', nextPlan: null, creditsPerCycle: 100, creditsRemaining: 100 })
    expect(await charge(101)).toMatchObject({ verdict: 'insufficient_credits' })
    expect(await get()).toMatchObject({ plan: 'tiny', nextPlan: null })
  })

  it('a change of plan applies from the next cycle, even if no call is made in that cycle', async () => {
    const { accountId, charge, caller } = await account()
    await operator.changePlan({ accountId, plan: 'tiny' })
    await clock.set(new Date('2027-05-01T00:00:00.000Z'))
    const grant = async () => (await caller.billing.ledger({ cycleStart: SECOND_CYCLE })).entries[0]
    expect(await grant()).toMatchObject({ kind: 'grant', plan: 'tiny', credits: 100 })
    await charge(1)
    expect(await grant()).toMatchObject({ kind: 'grant', plan: 'tiny', credits: 100 })
  })

  it('a change of plan grants the credits that the plan had when it was chosen, even if the operator edits the plan before the rollover', async () => {
    await database.owner.query("insert into plans (plan, credits_per_cycle) values ('agreed', 300)")
    const { accountId, charge, get, lines } = await account()
    await operator.changePlan({ accountId, plan: 'agreed' })
    await database.owner.query("update plans set credits_per_cycle = 900 where plan = 'agreed'")
    await clock.set(new Date(THIRD_CYCLE))
    const shown = async () => [await get(), await lines(SECOND_CYCLE)]
    const before = await shown()
    expect(before).toMatchObject([
      { plan: 'agreed', creditsPerCycle: 300 },
      [
        ['grant', '2027-02-28', 300, 300],
        ['lapsed', '2027-03-31', -300, 0],
      ],
    ])
    expect(await charge(0)).toMatchObject({ verdict: 'charged', remaining: 300 })
    expect(await shown()).toEqual(before)
  })

  it('a planned change is cancelled by a change to the current plan', async () => {
    const { accountId, get } = await account()
    await operator.changePlan({ accountId, plan: 'tiny' })
    await operator.changePlan({ accountId, plan: 'free' })
    await clock.set(new Date(SECOND_CYCLE))
    expect(await get()).toMatchObject({ plan: 'free', creditsPerCycle: 1000 })
  })

  it('a change to a larger plan, back, and to the larger plan again adds the difference once in a cycle', async () => {
    const { accountId, get } = await account()
    for (const plan of ['pro', 'free', 'pro', 'also-free', 'pro']) await operator.changePlan({ accountId, plan })
    expect(await get()).toMatchObject({ plan: 'pro', nextPlan: null, creditsPerCycle: 5000 })
  })

  it('a change to an unknown plan is refused', async () => {
    const { accountId } = await account()
    await expect(operator.changePlan({ accountId, plan: 'gold' })).rejects.toMatchObject({ reason: 'plan_not_found' })
    await expect(operator.changePlan({ accountId: randomUUID(), plan: 'free' })).rejects.toMatchObject({
      reason: 'account_not_found',
    })
  })
})

it('a suspended account cannot be charged until it is resumed', async () => {
  const { accountId, charge, get } = await account()
  expect((await operator.suspend({ accountId })).account.suspendedAt).toBe(ANCHOR.toISOString())
  await clock.set(new Date(ANCHOR.getTime() + 1000))
  expect((await operator.suspend({ accountId })).account.suspendedAt).toBe(ANCHOR.toISOString())
  expect(await charge(1)).toMatchObject({ verdict: 'account_suspended' })
  expect((await operator.resume({ accountId })).account.suspendedAt).toBeNull()
  expect(await charge(1)).toMatchObject({ verdict: 'charged' })
  expect(await get()).toMatchObject({ creditsUsed: 1 })
})

it('the audit log of an account contains the operator’s changes, and its chain stays valid for any spelling of the account id', async () => {
  const { accountId: id, caller } = await account()
  const accountId = id.toUpperCase()
  await operator.grantTopUp({ accountId, credits: 5, idempotencyKey: once() })
  await operator.changePlan({ accountId, plan: 'pro' })
  await operator.changePlan({ accountId, plan: 'pro' })
  await operator.suspend({ accountId })
  await operator.suspend({ accountId })
  await operator.resume({ accountId })
  const { data } = await caller.audit.list({ limit: 4 })
  expect(data.map(({ action, actor, keyId }) => [action, actor, keyId])).toEqual([
    ['account.resumed', 'operator', null],
    ['account.suspended', 'operator', null],
    ['account.plan_changed', 'operator', null],
    ['account.topped_up', 'operator', null],
  ])
  const ownerDb = createDb(database.urls.owner, () => {})
  expect((await verifyAudit(ownerDb)).faults).toEqual([])
  await ownerDb.destroy()
})

describe('the ledger', () => {
  it('lists every change of the balance, and the changes add up to the balance', async () => {
    const { accountId, charge, lines, caller, get } = await account()
    const charged = await charge(100)
    await clock.set(new Date('2027-02-02T08:00:00.000Z'))
    await charge(1)
    await charge(2)
    if (charged.verdict !== 'charged' || charged.chargeId === null) throw new Error('nothing was charged')
    await metering.refund({ chargeId: charged.chargeId, credits: 40, idempotencyKey: once() })
    await operator.changePlan({ accountId, plan: 'pro' })
    await operator.grantTopUp({ accountId, credits: 300, idempotencyKey: once(), note: 'thank you' })
    await clock.set(new Date('2027-02-03T08:00:00.000Z'))
    await charge(4950)
    expect(await lines()).toEqual([
      ['grant', '2027-01-31', 1000, 1000],
      ['charges', '2027-01-31', -100, 900],
      ['plan_change', '2027-02-02', 4000, 4900],
      ['top_up', '2027-02-02', 300, 5200],
      ['refund', '2027-02-02', 40, 5240],
      ['charges', '2027-02-02', -3, 5237],
      ['charges', '2027-02-03', -4950, 287],
    ])
    expect((await get())?.creditsRemaining).toBe(287)
    await clock.set(new Date(SECOND_CYCLE))
    // The test reads the ledger before and after the first charge of the new cycle.
    for (const used of [0, 10]) {
      if (used > 0) await charge(used)
      expect(await lines()).toEqual([
        ['carried_over', '2027-02-28', 287, 287],
        ['grant', '2027-02-28', 5000, 5287],
        ...(used > 0 ? [['charges', '2027-02-28', -used, 5287 - used]] : []),
      ])
      expect((await lines(ANCHOR.toISOString())).at(-1)).toEqual(['charges', '2027-02-03', -4950, 287])
    }
    await clock.set(new Date(THIRD_CYCLE))
    await metering.refund({ chargeId: charged.chargeId, credits: 60, idempotencyKey: once() })
    expect(await lines()).toEqual([
      ['carried_over', '2027-03-31', 287, 287],
      ['grant', '2027-03-31', 5000, 5287],
      ['refund_top_up', '2027-03-31', 60, 5347],
    ])
    expect((await lines(SECOND_CYCLE)).at(-1)).toEqual(['lapsed', '2027-03-31', -4990, 287])
    expect(await caller.billing.ledger()).toMatchObject({ isCurrent: true, previousCycleStart: SECOND_CYCLE })
    expect(await caller.billing.ledger({ cycleStart: ANCHOR.toISOString() })).toMatchObject({
      isCurrent: false,
      previousCycleStart: null,
    })
  })

  it('shows one consistent state, even if charges are committed during the read', async () => {
    const { accountId, charge, hold } = await account()
    const held = await hold(600)
    if (held.verdict !== 'held') throw new Error(held.verdict)
    let queries = 0
    const db = database.db.withPlugin({
      transformQuery: ({ node }) => node,
      transformResult: async ({ result }) => {
        // `getLedger` runs several statements. A settle and a charge are committed after the second statement, which reads
        // the cycles.
        if (++queries === 2) {
          await metering.settle({ holdId: held.holdId, credits: 600, idempotencyKey: once() })
          await charge(5)
        }
        return result
      },
    })
    const call = { ...contextOf(database, null), db, userId: accountId, by: byMember(accountId) }
    const { entries, balance } = await inAccount(call, 'read only', async (scope) => await getLedger(scope, {}))
    expect(queries).toBeGreaterThan(2)
    expect(entries.map(({ kind, credits }) => [kind, credits])).toEqual([
      ['grant', 1000],
      ['held', -600],
    ])
    expect(balance).toBe(400)
  })

  it('does not attribute the credits from the start of the cycle to a plan that was chosen later in the cycle', async () => {
    const { accountId, caller } = await account()
    const grant = async () => (await caller.billing.ledger({})).entries[0]
    expect(await grant()).toMatchObject({ kind: 'grant', credits: 1000, plan: 'free' })
    await operator.changePlan({ accountId, plan: 'pro' })
    expect(await grant()).toMatchObject({ kind: 'grant', credits: 1000, plan: null })
  })

  it('refuses a cycle that does not exist', async () => {
    const { caller } = await account()
    await expect(caller.billing.ledger({ cycleStart: THIRD_CYCLE })).rejects.toMatchObject({ reason: 'bad_request' })
    const { billingCycle } = await caller.billing.ledger({ cycleStart: '2027-01-31T14:00:00+02:00' })
    expect(billingCycle?.start).toBe(ANCHOR.toISOString())
  })

  it('has a line for each of the 100 newest top-ups of a cycle, and sums older top-ups by day', async () => {
    const { accountId, caller, get } = await account()
    const topUp = async (at: string, credits: number) => {
      await clock.set(new Date(at))
      await operator.grantTopUp({ accountId, credits, idempotencyKey: once(), note: `${credits}` })
    }
    const topUps = async () =>
      (await caller.billing.ledger()).entries
        .filter(({ kind }) => kind === 'top_up')
        .map(({ at, credits, count }) => [at, credits, count])
    const [first, second, third] = ['2027-02-01T08:00:00.000Z', '2027-02-02T08:00:00.000Z', '2027-02-03T08:00:00.000Z']
    for (const credits of [1, 2]) await topUp(first ?? '', credits)
    for (let n = 0; n < LEDGER_SINGLE_ENTRIES_MAX - 2; n++) await topUp(second ?? '', 10)
    expect(await topUps()).toHaveLength(LEDGER_SINGLE_ENTRIES_MAX)
    expect((await topUps()).slice(0, 3)).toEqual([
      [first, 1, null],
      [first, 2, null],
      [second, 10, null],
    ])
    await topUp(third ?? '', 500)
    expect((await topUps()).slice(0, 2)).toEqual([
      ['2027-02-01T00:00:00.000Z', 1, 1],
      [first, 2, null],
    ])
    for (let n = 0; n < 3; n++) await topUp(third ?? '', 500)
    const lines = await topUps()
    expect(lines).toHaveLength(LEDGER_SINGLE_ENTRIES_MAX + 2)
    expect(lines.slice(0, 3)).toEqual([
      ['2027-02-01T00:00:00.000Z', 3, 2],
      ['2027-02-02T00:00:00.000Z', 20, 2],
      [second, 10, null],
    ])
    const { balance, entries } = await caller.billing.ledger()
    expect(balance).toBe((await get())?.creditsRemaining)
    expect(entries.at(-1)?.balance).toBe(balance)
  })

  it('sums old plan changes by day, and then does not attribute the first credits to a plan', async () => {
    const { accountId, caller, get } = await account()
    await operator.changePlan({ accountId, plan: 'pro' })
    // These plans have fewer credits, so the account keeps the plan pro in this cycle.
    for (let n = 0; n < LEDGER_SINGLE_ENTRIES_MAX / 2 + 1; n++)
      for (const plan of ['tiny', 'free']) await operator.changePlan({ accountId, plan })
    const { entries, balance } = await caller.billing.ledger()
    const changes = entries.filter(({ kind }) => kind === 'plan_change')
    expect(changes.filter(({ count }) => count === null)).toHaveLength(LEDGER_SINGLE_ENTRIES_MAX)
    expect(changes.filter(({ count }) => count !== null)).toMatchObject([{ count: expect.any(Number), plan: null }])
    expect(entries[0]).toMatchObject({ kind: 'grant', plan: null })
    expect(balance).toBe((await get())?.creditsRemaining)
  })

  it('sums refunds without reading their rows, so few rows of the table are read', async () => {
    const { accountId, charge } = await account()
    const charged = await charge(1000)
    if (charged.verdict !== 'charged' || charged.chargeId === null) throw new Error('nothing was charged')
    for (let n = 0; n < 30; n++) await metering.refund({ chargeId: charged.chargeId, credits: 1, idempotencyKey: once() })
    await database.owner.query('vacuum analyze ledger_entries')
    const recorded = await recordPlans(database, async (db) => {
      await inAccount(
        { ...contextOf(database, null), db, userId: accountId, by: byMember(accountId) },
        'read only',
        async (scope) => await getLedger(scope, {}),
      )
    })
    const scans = recorded.flatMap(({ nodes }) => nodes).filter((node) => node['Relation Name'] === 'ledger_entries')
    expect(scans.map((node) => [node['Node Type'], node['Index Name']])).toEqual([
      ['Index Scan', 'ledger_entries_cycle_idx'],
      // The top-up of each line of a take-back.
      ['Index Scan', 'ledger_entries_pkey'],
      ['Index Only Scan', 'ledger_entries_cycle_idx'],
    ])
  })

  it('shows held credits', async () => {
    const { lines, caller } = await account()
    const { secret } = await caller.keys.create({ name: 'holds' })
    await metering.hold({ key: secret, credits: 25, idempotencyKey: once() })
    expect(await lines()).toEqual([
      ['grant', '2027-01-31', 1000, 1000],
      ['held', '2027-01-31', -25, 975],
    ])
  })
})

it('a clock that is set back before the start of the cycle changes neither the cycle nor the order of the ledger', async () => {
  const { caller, get, lines, hold } = await account()
  await clock.set(new Date(Date.parse(SECOND_CYCLE) + 500))
  await hold(25)
  await clock.set(new Date('2027-02-27T23:00:00.000Z'))
  expect((await get())?.billingCycle.start).toBe(SECOND_CYCLE)
  expect((await caller.keys.usage()).billingCycle?.start).toBe(SECOND_CYCLE)
  expect((await caller.keys.usage({ cycleStart: SECOND_CYCLE })).billingCycle?.start).toBe(SECOND_CYCLE)
  expect((await caller.usage.timeseries()).from).toBe(SECOND_CYCLE)
  expect(await lines()).toEqual([
    ['grant', '2027-02-28', 1000, 1000],
    ['held', '2027-02-28', -25, 975],
  ])
})

it('a new account gets the current credits of the plan free, and existing accounts keep theirs', async () => {
  const before = await account()
  await database.owner.query("update plans set credits_per_cycle = 2000 where plan = 'free'")
  try {
    expect(await (await account()).get()).toMatchObject({ plan: 'free', creditsRemaining: 2000 })
    expect(await before.get()).toMatchObject({ creditsRemaining: 1000 })
  } finally {
    await database.owner.query("update plans set credits_per_cycle = 1000 where plan = 'free'")
  }
})
