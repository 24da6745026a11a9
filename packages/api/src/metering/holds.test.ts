import { CREDITS_GIVEN_MAX, HOLDS_OPEN_MAX } from '@keymeter/contract'
import { pino } from 'pino'
import { beforeAll, describe, expect, it } from 'vitest'
import { backend as backendOf, provisioned, signedIn } from '../../test/caller.ts'
import { replaceClock } from '../../test/clock.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { keepUsageByDaysFrom } from '../../test/usage-days.ts'
import { Metering } from './metering.ts'

const database = reconciledDatabase()
const { metering, operator } = backendOf(database)
const ANCHOR = new Date('2027-01-31T12:00:00.000Z')
const SECOND_MS = 1000
const DAY_MS = 86_400_000

let clock: Awaited<ReturnType<typeof replaceClock>>
beforeAll(async () => {
  clock = await replaceClock(database)
  await keepUsageByDaysFrom(database, 1)
})

/** Sets the clock to `ANCHOR` and creates an account whose first cycle starts at that time. */
async function account() {
  await clock.set(ANCHOR)
  const created = await provisioned(database)
  await database.owner.query(
    'update billing_accounts set billing_cycle_anchor = $2, billing_cycle_start = $2 where user_id = $1',
    [created.userId, ANCHOR],
  )
  const { caller, userId, defaultKey } = created
  return {
    ...created,
    key: defaultKey.secret,
    remaining: async () => (await caller.billing.get()).account?.creditsRemaining,
    used: async (cycleStart?: string) => (await caller.keys.usage({ cycleStart })).data[0]?.creditsUsed,
    set: async (columns: string) =>
      void (await database.owner.query(`update billing_accounts set ${columns} where user_id = $1`, [userId])),
  }
}

let requests = 0
const once = () => `request-${requests++}`

async function hold(key: string, credits: number, ttlSeconds = 60) {
  const held = await metering.hold({ key, credits, idempotencyKey: once(), ttlSeconds })
  if (held.verdict !== 'held') throw new Error(`the hold is ${held.verdict}`)
  return held
}

async function charge(key: string, credits: number) {
  const charged = await metering.charge({ key, credits, idempotencyKey: once() })
  if (charged.verdict !== 'charged' || charged.chargeId === null) throw new Error(`the charge is ${charged.verdict}`)
  return { ...charged, chargeId: charged.chargeId }
}

describe('holds', () => {
  it('a hold takes credits until it is settled, and the settle gives back the credits that were not needed', async () => {
    const { key, remaining, used } = await account()
    const held = await hold(key, 300)
    expect(held).toMatchObject({
      credits: 300,
      remaining: 700,
      expiresAt: new Date(ANCHOR.getTime() + 60 * SECOND_MS).toISOString(),
    })
    expect([await remaining(), await used()]).toEqual([700, 0])
    expect(await metering.charge({ key, credits: 701, idempotencyKey: once() })).toMatchObject({
      verdict: 'insufficient_credits',
    })
    const settled = await metering.settle({ holdId: held.holdId, credits: 120, idempotencyKey: once() })
    expect(settled).toMatchObject({ verdict: 'settled', credits: 120, remaining: 880, keyId: held.keyId })
    expect([await remaining(), await used()]).toEqual([880, 120])
  })

  it('a hold can be settled for all of its credits, for none and for more', async () => {
    const { key, remaining } = await account()
    const [all, nothing, more] = [await hold(key, 100), await hold(key, 100), await hold(key, 100)]
    expect(await metering.settle({ holdId: all.holdId, credits: 100, idempotencyKey: once() })).toMatchObject({
      verdict: 'settled',
      credits: 100,
      uncollected: 0,
      remaining: 700,
    })
    expect(await metering.settle({ holdId: nothing.holdId, credits: 0, idempotencyKey: once() })).toMatchObject({
      verdict: 'settled',
      credits: 0,
      uncollected: 0,
      remaining: 800,
    })
    expect(await metering.settle({ holdId: more.holdId, credits: 101, idempotencyKey: once() })).toMatchObject({
      verdict: 'settled',
      credits: 101,
      uncollected: 0,
      remaining: 799,
    })
    expect(await remaining()).toBe(799)
  })

  it('a hold is ended by one request, and the next request gets the verdict hold_ended', async () => {
    const { key } = await account()
    const [settled, released] = [await hold(key, 10), await hold(key, 10)]
    await metering.settle({ holdId: settled.holdId, credits: 5, idempotencyKey: once() })
    expect(await metering.release({ holdId: released.holdId, idempotencyKey: once() })).toMatchObject({
      verdict: 'released',
      credits: 10,
    })
    for (const { holdId } of [settled, released]) {
      expect(await metering.settle({ holdId, credits: 5, idempotencyKey: once() })).toMatchObject({
        verdict: 'hold_ended',
        remaining: 995,
      })
      expect(await metering.release({ holdId, idempotencyKey: once() })).toMatchObject({ verdict: 'hold_ended' })
    }
  })

  it('a hold expires to the millisecond, without a background job', async () => {
    const { key, remaining } = await account()
    const held = await hold(key, 1000, 60)
    const end = ANCHOR.getTime() + 60 * SECOND_MS
    await clock.set(new Date(end - 1))
    expect(await remaining()).toBe(0)
    await clock.set(new Date(end))
    expect(await remaining()).toBe(1000)
    expect(await metering.settle({ holdId: held.holdId, credits: 1, idempotencyKey: once() })).toMatchObject({
      verdict: 'hold_expired',
      remaining: 1000,
    })
    expect(await charge(key, 1000)).toMatchObject({ remaining: 0 })
  })

  it('a hold can be settled after its key was revoked or its account was suspended, but new holds are refused', async () => {
    const { key, caller, defaultKey, userId } = await account()
    const [one, other, third] = [await hold(key, 10), await hold(key, 10), await hold(key, 10)]
    await operator.suspend({ accountId: userId })
    expect(await metering.hold({ key, credits: 1, idempotencyKey: once() })).toMatchObject({ verdict: 'account_suspended' })
    expect(await metering.settle({ holdId: one.holdId, credits: 4, idempotencyKey: once() })).toMatchObject({
      verdict: 'settled',
    })
    await operator.resume({ accountId: userId })
    await caller.keys.revoke({ id: defaultKey.id })
    expect(await metering.hold({ key, credits: 1, idempotencyKey: once() })).toMatchObject({ verdict: 'revoked' })
    expect(await metering.settle({ holdId: other.holdId, credits: 6, idempotencyKey: once() })).toMatchObject({
      verdict: 'settled',
    })
    expect(await metering.release({ holdId: third.holdId, idempotencyKey: once() })).toMatchObject({
      verdict: 'released',
      remaining: 990,
    })
  })

  it('a hold counts toward the credit limit of its key', async () => {
    const { key, caller, defaultKey } = await account()
    await caller.keys.update({ id: defaultKey.id, creditLimit: 100 })
    await charge(key, 30)
    const held = await hold(key, 60)
    expect(await metering.hold({ key, credits: 11, idempotencyKey: once() })).toMatchObject({ verdict: 'key_limit_exceeded' })
    expect(await metering.charge({ key, credits: 11, idempotencyKey: once() })).toMatchObject({ verdict: 'key_limit_exceeded' })
    await metering.settle({ holdId: held.holdId, credits: 20, idempotencyKey: once() })
    await charge(key, 50)
    expect(await metering.charge({ key, credits: 1, idempotencyKey: once() })).toMatchObject({ verdict: 'key_limit_exceeded' })
  })

  it('the end of a hold frees credits of the account and of the key’s limit for later items of the same batch', async () => {
    const { key, caller, defaultKey, set } = await account()
    await caller.keys.update({ id: defaultKey.id, creditLimit: 100 })
    await set('credits_per_cycle = 120')
    const engine = new Metering({ db: database.db, keyBrand: 'km', log: pino({ level: 'silent' }) })
    const ask = (credits: number) => engine.charge({ key, credits, idempotencyKey: once(), operation: 'default' })
    const { chargeId } = await charge(key, 30)
    const [held, other] = [await hold(key, 40), await hold(key, 30)]
    const answers = await Promise.all([
      ask(1),
      engine.settle({ holdId: held.holdId, credits: 10, idempotencyKey: once() }),
      ask(31),
      ask(30),
      engine.release({ holdId: other.holdId, idempotencyKey: once() }),
      ask(30),
      engine.refund({ chargeId, credits: 5, idempotencyKey: once() }),
      ask(5),
      ask(1),
    ])
    const limit = 'key_limit_exceeded'
    expect(answers.map(({ verdict }) => verdict)).toEqual([
      limit,
      'settled',
      limit,
      'charged',
      'released',
      'charged',
      'refunded',
      'charged',
      limit,
    ])
  })

  it('a settle at the start of a batch frees only the credits of its own hold in the key’s limit', async () => {
    const { key, caller, defaultKey } = await account()
    await caller.keys.update({ id: defaultKey.id, creditLimit: 100 })
    const engine = new Metering({ db: database.db, keyBrand: 'km', log: pino({ level: 'silent' }) })
    const [held] = [await hold(key, 40), await hold(key, 30)]
    const answers = await Promise.all([
      engine.settle({ holdId: held.holdId, credits: 10, idempotencyKey: once() }),
      engine.charge({ key, credits: 61, idempotencyKey: once(), operation: 'default' }),
      engine.charge({ key, credits: 60, idempotencyKey: once(), operation: 'default' }),
    ])
    expect(answers.map(({ verdict }) => verdict)).toEqual(['settled', 'key_limit_exceeded', 'charged'])
  })

  it('a settle counts in the cycle in which its hold was made, even after that cycle has ended', async () => {
    const { key, remaining, used, caller } = await account()
    const end = new Date('2027-02-28T12:00:00.000Z')
    await clock.set(new Date(end.getTime() - SECOND_MS))
    const held = await hold(key, 400, 3600)
    await clock.set(end)
    expect(await remaining()).toBe(1000)
    await charge(key, 7)
    expect(await metering.settle({ holdId: held.holdId, credits: 150, idempotencyKey: once() })).toMatchObject({
      verdict: 'settled',
      remaining: 993,
      cycleEnd: '2027-03-31T12:00:00.000Z',
    })
    expect([await used(), await used(ANCHOR.toISOString())]).toEqual([7, 150])
    const { series } = await caller.usage.timeseries({ cycleStart: ANCHOR.toISOString() })
    expect(series.flatMap(({ credits }) => credits).reduce((sum, n) => sum + n)).toBe(150)
  })

  it('a hold that is open at the end of its cycle uses top-ups only until it ends', async () => {
    const { key, remaining, userId } = await account()
    await operator.grantTopUp({ accountId: userId, credits: 500, idempotencyKey: once() })
    await clock.set(new Date('2027-02-28T11:59:59.000Z'))
    await charge(key, 900)
    const [settled, expired] = [await hold(key, 300, 3600), await hold(key, 300, 7200)]
    await clock.set(new Date('2027-02-28T12:00:00.000Z'))
    // In the ended cycle, all 1,500 credits were used or held, including the top-up of 500. So only the granted credits of
    // the new cycle remain.
    expect(await remaining()).toBe(1000)
    await metering.settle({ holdId: settled.holdId, credits: 100, idempotencyKey: once() })
    expect(await remaining()).toBe(1200)
    await clock.set(new Date('2027-02-28T14:00:00.000Z'))
    expect(await remaining()).toBe(1500)
    expect(await metering.release({ holdId: expired.holdId, idempotencyKey: once() })).toMatchObject({
      verdict: 'hold_expired',
      remaining: 1500,
    })
  })

  it('a retry of a hold gets the first verdict, and another request with the same idempotency key is a conflict', async () => {
    const { key } = await account()
    const request = { key, credits: 50, idempotencyKey: once(), ttlSeconds: 60, operation: 'a' }
    const first = await metering.hold(request)
    expect(await metering.hold(request)).toEqual({ ...first, requestId: expect.any(String), replayed: true })
    for (const other of [
      { ...request, credits: 51 },
      { ...request, ttlSeconds: 61 },
      { ...request, operation: 'b' },
    ])
      expect(await metering.hold(other)).toMatchObject({ verdict: 'conflict' })
    expect(await metering.charge({ key, credits: 50, idempotencyKey: request.idempotencyKey, operation: 'a' })).toMatchObject({
      verdict: 'conflict',
    })
    if (first.verdict !== 'held') throw new Error('nothing is held')
    const settle = { holdId: first.holdId, credits: 20, idempotencyKey: once() }
    const settled = await metering.settle(settle)
    expect(await metering.settle(settle)).toEqual({ ...settled, requestId: expect.any(String), replayed: true })
    expect(await metering.settle({ ...settle, credits: 21 })).toMatchObject({ verdict: 'conflict' })
    expect(await metering.release({ holdId: first.holdId, idempotencyKey: settle.idempotencyKey })).toMatchObject({
      verdict: 'conflict',
    })
  })

  it('a hold is refused and not stored while the account has 10,000 open holds', async () => {
    const { key, userId, remaining, set } = await account()
    await set('credits_per_cycle = 20000')
    const ask = async (idempotencyKey = once(), operation = 'default') =>
      await metering.hold({ key, credits: 1, idempotencyKey, ttlSeconds: 60, operation })
    const [first] = [await hold(key, 1)]
    for (let n = 1; n < HOLDS_OPEN_MAX - 1; n += 909)
      await Promise.all(Array.from({ length: Math.min(909, HOLDS_OPEN_MAX - 1 - n) }, async () => await hold(key, 1)))
    const verdicts = async (calls: Promise<{ verdict: string }>[]) => (await Promise.all(calls)).map(({ verdict }) => verdict)
    expect(await verdicts([ask(), ask(), ask('later', 'only-later')])).toEqual([
      'held',
      'hold_limit_exceeded',
      'hold_limit_exceeded',
    ])
    expect(await remaining()).toBe(20_000 - HOLDS_OPEN_MAX)
    const { rows } = await database.owner.query('select operation from operations where user_id = $1', [userId])
    expect(rows).toEqual([{ operation: 'default' }])

    // A settle makes room for another hold in the same batch.
    const settle = async () => await metering.settle({ holdId: first.holdId, credits: 1, idempotencyKey: once() })
    expect(await verdicts([ask('later'), settle(), ask('later'), ask('later'), ask()])).toEqual([
      'hold_limit_exceeded',
      'settled',
      'held',
      'held',
      'hold_limit_exceeded',
    ])
    await charge(key, 1)
    await clock.set(new Date(ANCHOR.getTime() + 60 * SECOND_MS))
    expect(await verdicts([ask(), ask()])).toEqual(['held', 'held'])
    expect(await remaining()).toBe(20_000 - 1 - 1 - 2)
  })

  it('an id that does not belong to a hold gets not_found, and invalid input is refused', async () => {
    const { key } = await account()
    const { chargeId } = await charge(key, 1)
    const holdId = chargeId.replace('charge_', 'hold_')
    expect(await metering.settle({ holdId, credits: 1, idempotencyKey: once() })).toMatchObject({ verdict: 'not_found' })
    expect(await metering.release({ holdId: `hold_${'_'.repeat(32)}`, idempotencyKey: once() })).toMatchObject({
      verdict: 'not_found',
    })
    await expect(metering.release({ holdId: 'hold_1', idempotencyKey: once() })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    await expect(metering.hold({ key, credits: 0, idempotencyKey: once() })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    for (const ttlSeconds of [0, 7 * 86_400 + 1, 1.5])
      await expect(metering.hold({ key, credits: 1, idempotencyKey: once(), ttlSeconds })).rejects.toMatchObject({
        code: 'BAD_REQUEST',
      })
  })
})

describe('a refusal for lack of credits', () => {
  const refused = async (key: string, credits: number, idempotencyKey = once()) =>
    await metering.charge({ key, credits, idempotencyKey })

  it('says how many credits the open holds of the account hold, and a retry says the same', async () => {
    const { key, caller } = await account()
    const { secret } = await caller.keys.create({ name: 'another' })
    const [held] = [await hold(key, 600), await hold(secret, 400)]
    const idempotencyKey = once()
    const first = await refused(key, 1, idempotencyKey)
    expect(first).toMatchObject({ verdict: 'insufficient_credits', remaining: 0, creditsHeld: 1000 })
    const second = await metering.hold({ key, credits: 1, idempotencyKey: once() })
    expect(second).toMatchObject({ verdict: 'insufficient_credits', creditsHeld: 1000 })
    await metering.settle({ holdId: held.holdId, credits: 600, idempotencyKey: once() })
    expect(await refused(key, 1)).toMatchObject({ verdict: 'insufficient_credits', creditsHeld: 400 })
    expect(await refused(key, 1, idempotencyKey)).toEqual({ ...first, requestId: expect.any(String), replayed: true })
    await clock.set(new Date(ANCHOR.getTime() + 60 * SECOND_MS))
    expect(await refused(key, 401)).toMatchObject({ verdict: 'insufficient_credits', remaining: 400, creditsHeld: 0 })
  })

  it('counts the holds of earlier items of the batch, and open holds of the previous cycle', async () => {
    const { key } = await account()
    const end = new Date('2027-02-28T12:00:00.000Z')
    await clock.set(new Date(end.getTime() - SECOND_MS))
    const { holdId } = await hold(key, 30, 3600)
    await clock.set(end)
    const engine = new Metering({ db: database.db, keyBrand: 'km', log: pino({ level: 'silent' }) })
    const ask = async () => await engine.charge({ key, credits: 1000, idempotencyKey: once(), operation: 'default' })
    const answers = await Promise.all([
      engine.hold({ key, credits: 7, idempotencyKey: once(), operation: 'default', ttlSeconds: 60 }),
      ask(),
      engine.release({ holdId, idempotencyKey: once() }),
      ask(),
    ])
    expect(answers).toMatchObject([
      { verdict: 'held' },
      { verdict: 'insufficient_credits', remaining: 993, creditsHeld: 37 },
      { verdict: 'released' },
      { verdict: 'insufficient_credits', remaining: 993, creditsHeld: 7 },
    ])
  })

  it('says how many credits the holds of the key hold of its limit', async () => {
    const { key, caller, defaultKey } = await account()
    const { secret } = await caller.keys.create({ name: 'another' })
    await caller.keys.update({ id: defaultKey.id, creditLimit: 100 })
    await charge(key, 10)
    await hold(secret, 500)
    const [held] = [await hold(key, 50), await hold(key, 30)]
    const idempotencyKey = once()
    const first = await refused(key, 11, idempotencyKey)
    expect(first).toMatchObject({ verdict: 'key_limit_exceeded', creditsHeld: 80 })
    const engine = new Metering({ db: database.db, keyBrand: 'km', log: pino({ level: 'silent' }) })
    const answers = await Promise.all([
      engine.hold({ key, credits: 5, idempotencyKey: once(), operation: 'default', ttlSeconds: 60 }),
      engine.charge({ key, credits: 6, idempotencyKey: once(), operation: 'default' }),
      engine.settle({ holdId: held.holdId, credits: 50, idempotencyKey: once() }),
      engine.hold({ key, credits: 6, idempotencyKey: once(), operation: 'default', ttlSeconds: 60 }),
    ])
    expect(answers).toMatchObject([
      { verdict: 'held' },
      { verdict: 'key_limit_exceeded', creditsHeld: 85 },
      { verdict: 'settled' },
      { verdict: 'key_limit_exceeded', creditsHeld: 35 },
    ])
    expect(await refused(key, 11, idempotencyKey)).toEqual({ ...first, requestId: expect.any(String), replayed: true })
  })
})

describe('a settle above its hold', () => {
  const END = new Date('2027-02-28T12:00:00.000Z')
  const settle = async (holdId: string, credits: number, idempotencyKey = once()) =>
    await metering.settle({ holdId, credits, idempotencyKey })
  /** Creates an account, and sets the clock to one second before the end of its first cycle. */
  async function lateAccount() {
    const created = await account()
    await clock.set(new Date(END.getTime() - SECOND_MS))
    return created
  }

  it('charges what the account has left, and returns, stores and shows the credits that were not collected', async () => {
    const { key, caller, used } = await account()
    const { holdId } = await hold(key, 100)
    await charge(key, 850)
    const idempotencyKey = once()
    const settled = await settle(holdId, 170, idempotencyKey)
    expect(settled).toMatchObject({ verdict: 'settled', credits: 150, uncollected: 20, remaining: 0 })
    expect(await used()).toBe(1000)
    expect((await caller.usage.events({ limit: 3 })).data).toMatchObject([
      { action: 'settle', verdict: 'settled', creditsRequested: 170, creditsCharged: 150, uncollected: 20 },
      { action: 'charge', creditsRequested: 850, creditsCharged: 850, uncollected: 0 },
      { action: 'hold', creditsRequested: 100, creditsCharged: 0, uncollected: 0 },
    ])
    // A retry returns the same numbers, even if the account has more credits at that time.
    if (settled.verdict !== 'settled') throw new Error('nothing is settled')
    await metering.refund({ chargeId: settled.chargeId, credits: 30, idempotencyKey: once() })
    expect(await settle(holdId, 170, idempotencyKey)).toEqual({ ...settled, requestId: expect.any(String), replayed: true })
    expect(await settle(holdId, 150, idempotencyKey)).toMatchObject({ verdict: 'conflict' })
  })

  it('is refunded at most by the credits that it charged', async () => {
    const { key, remaining } = await account()
    const { holdId } = await hold(key, 1000)
    const settled = await settle(holdId, 1500)
    if (settled.verdict !== 'settled') throw new Error('nothing is settled')
    expect(settled).toMatchObject({ credits: 1000, uncollected: 500 })
    const refund = async (credits: number) =>
      await metering.refund({ chargeId: settled.chargeId, credits, idempotencyKey: once() })
    expect(await refund(1001)).toMatchObject({ verdict: 'exceeds_charge' })
    expect(await refund(1000)).toMatchObject({ verdict: 'refunded' })
    expect(await remaining()).toBe(1000)
  })

  it('charges no more than the limit of its key allows', async () => {
    const { key, caller, defaultKey } = await account()
    await caller.keys.update({ id: defaultKey.id, creditLimit: 200 })
    await charge(key, 50)
    const [one, other] = [await hold(key, 60), await hold(key, 40)]
    expect(await settle(one.holdId, 111)).toMatchObject({ credits: 110, uncollected: 1, remaining: 800 })
    // The customer sets the limit below the credits that the key has used. Then only the hold is charged.
    await caller.keys.update({ id: defaultKey.id, creditLimit: 10 })
    expect(await settle(other.holdId, 41)).toMatchObject({ credits: 40, uncollected: 1, remaining: 800 })
  })

  it('charges only the hold after the key was revoked, disabled or expired or the account was suspended', async () => {
    const { key, caller, defaultKey, userId } = await account()
    const [first, second, third, fourth, fifth] = [
      await hold(key, 10),
      await hold(key, 10),
      await hold(key, 10),
      await hold(key, 10),
      await hold(key, 10),
    ]
    const onlyTheHold = { verdict: 'settled', credits: 10, uncollected: 5 }
    await operator.suspend({ accountId: userId })
    expect(await settle(first.holdId, 15)).toMatchObject(onlyTheHold)
    await operator.resume({ accountId: userId })
    await caller.keys.disable({ id: defaultKey.id })
    expect(await settle(second.holdId, 15)).toMatchObject(onlyTheHold)
    await caller.keys.enable({ id: defaultKey.id })
    // A hold belongs to a key. So it does not matter that the secret that made the hold no longer works.
    const { secret } = await caller.keys.rotate({ id: defaultKey.id, graceSeconds: 0 })
    expect(await metering.charge({ key, credits: 1, idempotencyKey: once() })).toMatchObject({ verdict: 'expired' })
    expect(await settle(third.holdId, 15)).toMatchObject({ credits: 15, uncollected: 0 })
    const expiresAt = new Date(ANCHOR.getTime() + 10 * SECOND_MS)
    await caller.keys.update({ id: defaultKey.id, expiresAt: expiresAt.toISOString() })
    await clock.set(expiresAt)
    expect(await settle(fourth.holdId, 15)).toMatchObject(onlyTheHold)
    await caller.keys.update({ id: defaultKey.id, expiresAt: null })
    await charge(secret, 1)
    await caller.keys.revoke({ id: defaultKey.id })
    expect(await settle(fifth.holdId, 15)).toMatchObject({ ...onlyTheHold, remaining: 1000 - 4 * 10 - 15 - 1 })
  })

  it('a settle above an expired or ended hold charges nothing', async () => {
    const { key, remaining } = await account()
    const [expired, released] = [await hold(key, 100, 60), await hold(key, 100, 3600)]
    await metering.release({ holdId: released.holdId, idempotencyKey: once() })
    await clock.set(new Date(ANCHOR.getTime() + 60 * SECOND_MS))
    expect(await settle(expired.holdId, 150)).toMatchObject({ verdict: 'hold_expired', remaining: 1000 })
    expect(await settle(released.holdId, 150)).toMatchObject({ verdict: 'hold_ended', remaining: 1000 })
    expect(await remaining()).toBe(1000)
  })

  it('can ask for and charge the largest safe integer', async () => {
    const { key } = await account()
    const most = Number.MAX_SAFE_INTEGER
    const [held] = [await hold(key, 1)]
    expect(await settle(held.holdId, most)).toMatchObject({ credits: 1000, uncollected: most - 1000, remaining: 0 })
    const rich = await account()
    await rich.set(`credits_per_cycle = ${most}`)
    const { holdId } = await hold(rich.key, 1)
    expect(await settle(holdId, most)).toMatchObject({ credits: most, uncollected: 0, remaining: 0 })
  })

  it('takes the last credits in the order of the batch, also beside a charge or another settle', async () => {
    const engine = new Metering({ db: database.db, keyBrand: 'km', log: pino({ level: 'silent' }) })
    for (const isSettleFirst of [true, false]) {
      const { key } = await account()
      const [one, other] = [await hold(key, 400), await hold(key, 500)]
      const end = async ({ holdId }: { holdId: string }, credits: number) =>
        await engine.settle({ holdId, credits, idempotencyKey: once() })
      const take = async () => await engine.charge({ key, credits: 60, idempotencyKey: once(), operation: 'default' })
      const answers = await Promise.all(
        isSettleFirst
          ? [end(one, 470), take(), end(other, 531), end(other, 500)]
          : [take(), end(one, 470), end(other, 500), take()],
      )
      expect(answers).toMatchObject(
        isSettleFirst
          ? [
              { verdict: 'settled', credits: 470, uncollected: 0, remaining: 30 },
              { verdict: 'insufficient_credits', remaining: 30 },
              { verdict: 'settled', credits: 530, uncollected: 1, remaining: 0 },
              { verdict: 'hold_ended' },
            ]
          : [
              { verdict: 'charged', remaining: 40 },
              { verdict: 'settled', credits: 440, uncollected: 30, remaining: 0 },
              { verdict: 'settled', credits: 500, uncollected: 0, remaining: 0 },
              { verdict: 'insufficient_credits', remaining: 0 },
            ],
      )
    }
  })

  it('records the alerts for the thresholds that its excess reaches', async () => {
    const { key, caller } = await account()
    const { holdId } = await hold(key, 400)
    await settle(holdId, 790)
    expect((await caller.alerts.list()).data).toMatchObject([{ threshold: 50, creditsUsed: 790 }])
    const second = await hold(key, 5)
    await settle(second.holdId, 1000)
    expect((await caller.alerts.list()).data.map(({ threshold, creditsUsed }) => [threshold, creditsUsed])).toEqual([
      [100, 1000],
      [80, 1000],
      [50, 790],
    ])
  })

  it('a settle above a hold of an ended cycle takes the granted credits that this cycle had left, and none of the current cycle', async () => {
    const { key, remaining, used, caller } = await lateAccount()
    await charge(key, 870)
    const { holdId } = await hold(key, 100, 3600)
    await clock.set(END)
    await charge(key, 7)
    expect(await settle(holdId, 140)).toMatchObject({ credits: 130, uncollected: 10, remaining: 993 })
    expect([await remaining(), await used(), await used(ANCHOR.toISOString())]).toEqual([993, 7, 1000])
    const { entries, balance } = await caller.billing.ledger({ cycleStart: ANCHOR.toISOString() })
    expect([entries.map(({ kind, credits }) => [kind, credits]), balance]).toEqual([
      [
        ['grant', 1000],
        ['charges', -1000],
      ],
      0,
    ])
  })

  it('a settle above a hold of an ended cycle then takes the top-ups that are left, but not those that the current cycle uses or holds', async () => {
    const { key, userId, caller } = await lateAccount()
    await operator.grantTopUp({ accountId: userId, credits: 500, idempotencyKey: once() })
    await charge(key, 870)
    const { holdId } = await hold(key, 100, 3600)
    await clock.set(END)
    // The current cycle uses and holds 250 of the 500 top-up credits.
    await charge(key, 1050)
    await hold(key, 200, 3600)
    expect(await settle(holdId, 100 + 30 + 251)).toMatchObject({ credits: 380, uncollected: 1, remaining: 0 })
    expect((await caller.billing.get()).account).toMatchObject({ topUps: 250, creditsUsed: 1050, creditsHeld: 200 })
    expect(await caller.billing.ledger({ cycleStart: ANCHOR.toISOString() })).toMatchObject({ balance: 250 })
  })

  it('a settle above a hold of an ended cycle takes no top-ups that were granted later', async () => {
    const { key, userId, remaining, caller } = await lateAccount()
    await operator.grantTopUp({ accountId: userId, credits: 20, idempotencyKey: once() })
    await charge(key, 900)
    const { holdId } = await hold(key, 100, 3600)
    await clock.set(END)
    await operator.grantTopUp({ accountId: userId, credits: 300, idempotencyKey: once() })
    expect(await settle(holdId, 150)).toMatchObject({ credits: 120, uncollected: 30, remaining: 1300 })
    expect(await remaining()).toBe(1300)
    expect(await caller.billing.ledger({ cycleStart: ANCHOR.toISOString() })).toMatchObject({ balance: 0 })
  })

  it('a settle above a hold of an ended cycle counts toward the limit that its key has in that cycle, also beside settles of the same batch', async () => {
    const { key, caller, defaultKey, used } = await lateAccount()
    await caller.keys.update({ id: defaultKey.id, creditLimit: 100 })
    await charge(key, 40)
    const [one, other] = [await hold(key, 10, 3600), await hold(key, 10, 3600)]
    await clock.set(END)
    const engine = new Metering({ db: database.db, keyBrand: 'km', log: pino({ level: 'silent' }) })
    const answers = await Promise.all([
      engine.charge({ key, credits: 100, idempotencyKey: once(), operation: 'default' }),
      engine.settle({ holdId: one.holdId, credits: 35, idempotencyKey: once() }),
      engine.settle({ holdId: other.holdId, credits: 30, idempotencyKey: once() }),
    ])
    expect(answers).toMatchObject([
      { verdict: 'charged', remaining: 900 },
      { credits: 35, uncollected: 0, remaining: 900 },
      { credits: 25, uncollected: 5, remaining: 900 },
    ])
    expect([await used(), await used(ANCHOR.toISOString())]).toEqual([100, 100])
  })

  it('never charges more than the account has, if 100 concurrent settles ask for more than it has', async () => {
    const { key, remaining } = await account()
    const log = pino({ level: 'silent' })
    const engines = Array.from({ length: 4 }, () => new Metering({ db: database.db, keyBrand: 'km', log }))
    const holds = await Promise.all(Array.from({ length: 100 }, async () => await hold(key, 5)))
    const answers = await Promise.all(
      holds.map(async ({ holdId }, n) => await engines[n % 4]?.settle({ holdId, credits: 12, idempotencyKey: once() })),
    )
    const sum = (field: 'credits' | 'uncollected') =>
      answers.reduce((total, answer) => total + (answer?.verdict === 'settled' ? answer[field] : 0), 0)
    expect([sum('credits'), sum('uncollected'), await remaining()]).toEqual([1000, 200, 0])
  })
})

describe('a refund', () => {
  it('gives back a charge in parts, but never more credits than the charge took', async () => {
    const { key, remaining, used } = await account()
    const { chargeId } = await charge(key, 100)
    const refund = async (credits: number) => await metering.refund({ chargeId, credits, idempotencyKey: once() })
    expect(await refund(101)).toMatchObject({ verdict: 'exceeds_charge' })
    expect(await refund(30)).toMatchObject({ verdict: 'refunded', credits: 30, becameTopUp: false, remaining: 930 })
    expect(await refund(71)).toMatchObject({ verdict: 'exceeds_charge', remaining: 930 })
    expect(await refund(70)).toMatchObject({ verdict: 'refunded', remaining: 1000 })
    expect(await refund(1)).toMatchObject({ verdict: 'exceeds_charge' })
    expect([await remaining(), await used()]).toEqual([1000, 0])
  })

  it('gives back the credits of a settle', async () => {
    const { key, remaining } = await account()
    const { holdId } = await hold(key, 100)
    const settled = await metering.settle({ holdId, credits: 60, idempotencyKey: once() })
    if (settled.verdict !== 'settled') throw new Error('nothing is settled')
    expect(await metering.refund({ chargeId: settled.chargeId, credits: 61, idempotencyKey: once() })).toMatchObject({
      verdict: 'exceeds_charge',
    })
    await metering.refund({ chargeId: settled.chargeId, credits: 60, idempotencyKey: once() })
    expect(await remaining()).toBe(1000)
  })

  it('becomes a top-up if the cycle of its charge has ended, and does not change the usage of that cycle', async () => {
    const { key, remaining, used } = await account()
    const { chargeId } = await charge(key, 100)
    await clock.set(new Date('2027-02-28T12:00:00.000Z'))
    const refund = { chargeId, credits: 40, idempotencyKey: once() }
    expect(await metering.refund(refund)).toMatchObject({ verdict: 'refunded', becameTopUp: true, remaining: 1040 })
    expect(await metering.refund(refund)).toMatchObject({ verdict: 'refunded', becameTopUp: true, replayed: true })
    expect([await remaining(), await used(), await used(ANCHOR.toISOString())]).toEqual([1040, 0, 100])
    await clock.set(new Date('2027-03-31T12:00:00.000Z'))
    expect(await remaining()).toBe(1040)
  })

  it('is refused if it would become a top-up that raises the credits of the account above the maximum', async () => {
    const { key, userId, remaining } = await account()
    const topUp = async (credits: number) => await operator.grantTopUp({ accountId: userId, credits, idempotencyKey: once() })
    await topUp(100)
    const { chargeId } = await charge(key, 1050)
    const refund = async (credits: number) => await metering.refund({ chargeId, credits, idempotencyKey: once() })
    await clock.set(new Date('2027-02-28T11:59:59.000Z'))
    const { holdId } = await hold(key, 20, 86_400)
    await clock.set(new Date('2027-02-28T12:00:00.000Z'))
    await charge(key, 1)
    // The account has 1,000 granted credits, 30 in top-ups, and 20 in the hold of the ended cycle.
    for (let more = Number.MAX_SAFE_INTEGER - 1000 - 30 - 20 - 7; more > 0; more -= CREDITS_GIVEN_MAX)
      await topUp(Math.min(more, CREDITS_GIVEN_MAX))
    expect(await refund(8)).toMatchObject({ verdict: 'exceeds_charge' })
    expect(await refund(7)).toMatchObject({ verdict: 'refunded', becameTopUp: true })
    expect(await refund(1)).toMatchObject({ verdict: 'exceeds_charge' })
    // The credits of this hold come back, and the account has the maximum.
    expect(await metering.release({ holdId, idempotencyKey: once() })).toMatchObject({ verdict: 'released' })
    expect(await remaining()).toBe(Number.MAX_SAFE_INTEGER - 1)
    expect(await refund(1)).toMatchObject({ verdict: 'exceeds_charge' })
  })

  it('lets the key spend its credit limit again', async () => {
    const { key, caller, defaultKey } = await account()
    await caller.keys.update({ id: defaultKey.id, creditLimit: 10 })
    const { chargeId } = await charge(key, 10)
    await metering.refund({ chargeId, credits: 4, idempotencyKey: once() })
    expect(await charge(key, 4)).toMatchObject({ remaining: 990 })
    expect(await metering.charge({ key, credits: 1, idempotencyKey: once() })).toMatchObject({ verdict: 'key_limit_exceeded' })
  })
})

describe('concurrent calls', () => {
  const log = pino({ level: 'silent' })
  /** Several charge engines, like those of several server processes. */
  const engines = Array.from({ length: 4 }, () => new Metering({ db: database.db, keyBrand: 'km', log }))
  const engine = (n: number) => {
    const one = engines[n % engines.length]
    if (one === undefined) throw new Error('there is no engine')
    return one
  }

  it('100 concurrent requests end one hold only once', async () => {
    const { key, remaining } = await account()
    const { holdId } = await hold(key, 100)
    const answers = await Promise.all(
      Array.from({ length: 100 }, async (_, n) =>
        n % 2 === 0
          ? await engine(n).settle({ holdId, credits: 30, idempotencyKey: once() })
          : await engine(n).release({ holdId, idempotencyKey: once() }),
      ),
    )
    const [ended] = answers.filter(({ verdict }) => verdict !== 'hold_ended')
    expect(answers.filter(({ verdict }) => verdict === 'hold_ended')).toHaveLength(99)
    expect(await remaining()).toBe(ended?.verdict === 'settled' ? 970 : 1000)
  })

  it('100 concurrent retries of one settle store one event, and all get the same answer', async () => {
    const { key, userId } = await account()
    const { holdId } = await hold(key, 100)
    const settle = { holdId, credits: 30, idempotencyKey: once() }
    const answers = await Promise.all(Array.from({ length: 100 }, async (_, n) => await engine(n).settle(settle)))
    expect(answers.filter((answer) => answer.verdict === 'settled' && !answer.replayed)).toHaveLength(1)
    expect(new Set(answers.map((answer) => JSON.stringify({ ...answer, replayed: true }))).size).toBe(1)
    const { rows } = await database.owner.query('select count(*)::int as n from api_key_usage where user_id = $1', [userId])
    expect(rows).toEqual([{ n: 2 }])
  })

  it('exactly ten of 100 concurrent refunds succeed if each gives back a tenth of a charge', async () => {
    const { key, remaining } = await account()
    const { chargeId } = await charge(key, 100)
    const answers = await Promise.all(
      Array.from({ length: 100 }, async (_, n) => await engine(n).refund({ chargeId, credits: 10, idempotencyKey: once() })),
    )
    expect(answers.filter(({ verdict }) => verdict === 'refunded')).toHaveLength(10)
    expect(await remaining()).toBe(1000)
  })

  it('each hold ends only once, by a settle, a release or its expiry, and retries get the same verdict', async () => {
    const { key, set, remaining } = await account()
    await set('credits_per_cycle = 100000')
    const holds = await Promise.all(Array.from({ length: 120 }, async (_, n) => await hold(key, 100, 1 + (n % 3))))
    const verdicts = new Map<string, Set<string>>()
    await Promise.all(
      Array.from({ length: 40 }, async (_, round) => {
        await clock.set(new Date(ANCHOR.getTime() + round * 100))
        await Promise.all(
          holds.slice(round * 3, round * 3 + 12).flatMap(({ holdId }, n) =>
            ['a', 'b'].map(async (which) => {
              const idempotencyKey = `${holdId}-${which}`
              const ask = async () =>
                which === 'a'
                  ? await engine(n).settle({ holdId, credits: 40, idempotencyKey })
                  : await engine(n + 1).release({ holdId, idempotencyKey })
              const answers = [await ask(), ...(await Promise.all([ask(), ask()]))]
              const seen = verdicts.get(idempotencyKey) ?? new Set()
              for (const { verdict } of answers) seen.add(verdict)
              verdicts.set(idempotencyKey, seen)
            }),
          ),
        )
      }),
    )
    expect([...verdicts.values()].filter((seen) => seen.size !== 1)).toEqual([])
    await clock.set(new Date(ANCHOR.getTime() + DAY_MS))
    const settled = [...verdicts.values()].filter((seen) => seen.has('settled')).length
    expect(await remaining()).toBe(100_000 - settled * 40)
  })
})

describe('alerts', () => {
  it('an alert is recorded once per cycle and threshold, even if 100 concurrent charges cross the threshold', async () => {
    const { key, caller } = await account()
    const log = pino({ level: 'silent' })
    const engines = Array.from({ length: 4 }, () => new Metering({ db: database.db, keyBrand: 'km', log }))
    const spend = async (count: number, credits: number) =>
      await Promise.all(
        Array.from({ length: count }, async (_, n) =>
          engines[n % engines.length]?.charge({ key, credits, idempotencyKey: once(), operation: 'default' }),
        ),
      )
    await spend(1, 499)
    expect((await caller.alerts.list()).data).toEqual([])
    await spend(100, 1)
    expect((await caller.alerts.list()).data).toMatchObject([
      { threshold: 50, creditsPerCycle: 1000, cycleStart: ANCHOR.toISOString() },
    ])
    await spend(40, 9)
    await spend(30, 1)
    expect((await caller.alerts.list()).data.map(({ threshold }) => threshold)).toEqual([80, 50])
    await spend(1, 12)
    expect((await caller.alerts.list()).data).toHaveLength(2)
    await clock.set(new Date('2027-02-28T12:00:00.000Z'))
    await spend(100, 10)
    expect((await caller.alerts.list()).data.map(({ threshold }) => threshold)).toEqual([100, 80, 50, 80, 50])
  })

  it('an alert is not recorded for held credits, and is not repeated if usage reaches the threshold again after a refund', async () => {
    const { key, caller } = await account()
    const { holdId } = await hold(key, 900)
    expect((await caller.alerts.list()).data).toEqual([])
    const settled = await metering.settle({ holdId, credits: 500, idempotencyKey: once() })
    expect((await caller.alerts.list()).data).toMatchObject([{ threshold: 50, creditsUsed: 500 }])
    if (settled.verdict !== 'settled') throw new Error('nothing is settled')
    await metering.refund({ chargeId: settled.chargeId, credits: 500, idempotencyKey: once() })
    await charge(key, 600)
    expect((await caller.alerts.list()).data).toHaveLength(1)
  })

  it('a settle in an ended cycle records no alert', async () => {
    const { key, caller } = await account()
    await clock.set(new Date('2027-02-28T11:59:59.000Z'))
    const { holdId } = await hold(key, 10, 86_400)
    await clock.set(new Date('2027-02-28T12:00:00.000Z'))
    await charge(key, 100)
    await caller.alerts.setThresholds({ thresholds: [10] })
    expect(await metering.settle({ holdId, credits: 10, idempotencyKey: once() })).toMatchObject({ verdict: 'settled' })
    expect((await caller.alerts.list()).data).toEqual([])
    await charge(key, 1)
    expect((await caller.alerts.list()).data).toMatchObject([{ threshold: 10, creditsUsed: 101 }])
  })

  it('alerts.setThresholds creates the account if it is the first call of a user', async () => {
    const caller = await signedIn(database, await database.createUser())
    expect(await caller.alerts.setThresholds({ thresholds: [25] })).toMatchObject({ thresholds: [25] })
    expect(await caller.alerts.list()).toMatchObject({ thresholds: [25], data: [] })
  })

  it('an alert is recorded only for the thresholds of the account, and never if the account has no thresholds', async () => {
    const { key, caller } = await account()
    expect(await caller.alerts.setThresholds({ thresholds: [90, 10] })).toMatchObject({ thresholds: [10, 90] })
    await charge(key, 100)
    expect((await caller.alerts.list()).data.map(({ threshold }) => threshold)).toEqual([10])
    await clock.set(new Date(ANCHOR.getTime() + SECOND_MS))
    await caller.alerts.setThresholds({ thresholds: [5] })
    await charge(key, 1)
    await caller.alerts.setThresholds({ thresholds: [] })
    await charge(key, 899)
    // The list shows the newest alert first. The alert for 5 percent is newer, because this threshold was set later.
    expect(await caller.alerts.list()).toMatchObject({ thresholds: [], data: [{ threshold: 5 }, { threshold: 10 }] })
    for (const thresholds of [[0], [1001], [50, 50], Array.from({ length: 11 }, (_, n) => n + 1)])
      await expect(caller.alerts.setThresholds({ thresholds })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  })
})
