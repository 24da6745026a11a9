import type { Charge } from '@keymeter/contract'
import { pino } from 'pino'
import { beforeEach, describe, expect, it } from 'vitest'
import { contextOf, provisioned, SERVICE_KEY } from '../../test/caller.ts'
import { replaceClock } from '../../test/clock.ts'
import { naiveBoundary } from '../../test/naive-cycle.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { mintToken } from '../keys/token.ts'
import { appRouter } from '../router.ts'
import { Metering } from './metering.ts'

const database = reconciledDatabase()
const backend = appRouter.createCaller({ ...contextOf(database, null), authorization: `Bearer ${SERVICE_KEY}` })
const DAY_MS = 86_400_000

let clock: Awaited<ReturnType<typeof replaceClock>>
let account: Awaited<ReturnType<typeof provisioned>>
let requests = 0
beforeEach(async () => {
  clock = await replaceClock(database)
  account = await provisioned(database)
})

const charge = async (input: Partial<Charge> = {}) =>
  await backend.metering.charge({
    key: account.defaultKey.secret,
    credits: 1,
    idempotencyKey: `request-${requests++}`,
    ...input,
  })
const events = async () =>
  (
    await database.owner.query(
      'select sequence::int, verdict, credits_requested::int, credits_charged::int, remaining::int, operation from api_key_usage where user_id = $1 order by sequence',
      [account.userId],
    )
  ).rows
const setAccount = async (columns: string) =>
  await database.owner.query(`update billing_accounts set ${columns} where user_id = $1`, [account.userId])

describe('a charge', () => {
  it('takes the credits durably, and returns the remaining credits and the end of the cycle', async () => {
    const { defaultKey, userId, caller } = account
    const cycle = (await caller.billing.get()).account?.billingCycle
    expect(await charge({ credits: 7, operation: 'image:large' })).toEqual({
      verdict: 'charged',
      chargeId: expect.stringMatching(/^charge_[\w-]{32}$/),
      keyId: defaultKey.id,
      accountId: userId,
      keyType: 'dev',
      credits: 7,
      remaining: 993,
      cycleEnd: cycle?.end,
      replayed: false,
      requestId: expect.any(String),
    })
    expect(await events()).toEqual([
      { sequence: 1, verdict: 'charged', credits_requested: 7, credits_charged: 7, remaining: 993, operation: 'image:large' },
    ])
    expect((await caller.keys.usage()).data[0]).toMatchObject({
      creditsUsed: 7,
      lastUsedAt: expect.any(String),
      isSecretSaved: true,
    })
    expect((await caller.billing.get()).account?.creditsUsed).toBe(7)
  })

  it('of 0 credits only verifies the key, and leaves no event', async () => {
    expect(await charge({ credits: 0, idempotencyKey: null })).toMatchObject({
      verdict: 'charged',
      credits: 0,
      remaining: 1000,
    })
    expect(await events()).toEqual([])
    expect((await account.caller.keys.list()).data[0]?.lastUsedAt).not.toBeNull()
    expect(await charge({ credits: 0 })).toMatchObject({ verdict: 'charged' })
    expect(await events()).toHaveLength(1)
  })

  it('is refused as soon as too few credits remain, and then takes nothing', async () => {
    expect(await charge({ credits: 999 })).toMatchObject({ verdict: 'charged', remaining: 1 })
    expect(await charge({ credits: 2 })).toMatchObject({ verdict: 'insufficient_credits', remaining: 1 })
    expect(await charge({ credits: 1 })).toMatchObject({ verdict: 'charged', remaining: 0 })
    expect(await charge({ credits: 1 })).toMatchObject({ verdict: 'insufficient_credits', remaining: 0 })
    expect(await charge({ credits: 0, idempotencyKey: null })).toMatchObject({ verdict: 'charged', remaining: 0 })
    expect((await account.caller.billing.get()).account?.creditsUsed).toBe(1000)
  })

  it('can request up to the largest safe integer', async () => {
    expect(await charge({ credits: Number.MAX_SAFE_INTEGER })).toMatchObject({ verdict: 'insufficient_credits' })
    await setAccount(`credits_per_cycle = ${Number.MAX_SAFE_INTEGER}`)
    expect(await charge({ credits: Number.MAX_SAFE_INTEGER })).toMatchObject({ verdict: 'charged', remaining: 0 })
  })

  it('spends the same credits with both types of key', async () => {
    const prod = await account.caller.keys.create({ name: 'prod', keyType: 'prod' })
    expect(await charge({ key: prod.secret, credits: 10 })).toMatchObject({
      verdict: 'charged',
      keyType: 'prod',
      remaining: 990,
    })
    expect(await charge({ credits: 10 })).toMatchObject({ keyType: 'dev', remaining: 980 })
  })
})

describe('a key', () => {
  it('is not found if it does not exist, and leaves no trace', async () => {
    const other = await provisioned(database)
    const { secret } = account.defaultKey
    for (const key of ['', 'nonsense', `${secret.slice(0, -1)}!`, secret.replace('km_', 'xx_')])
      expect(await charge({ key })).toMatchObject({ verdict: 'not_found' })
    await database.owner.query('delete from api_keys where user_id = $1', [other.userId])
    expect(await charge({ key: other.defaultKey.secret })).toMatchObject({ verdict: 'not_found' })
    await database.owner.query('delete from auth.users where id = $1', [other.userId])
    expect(await charge({ key: other.defaultKey.secret })).toMatchObject({ verdict: 'not_found' })
    expect(await events()).toEqual([])
  })

  it('is refused from the next charge on when it is revoked or disabled, and charged when it is enabled again', async () => {
    const { caller, defaultKey } = account
    const { id } = defaultKey
    await caller.keys.disable({ id })
    expect(await charge()).toMatchObject({ verdict: 'disabled', remaining: 1000, keyId: id })
    await caller.keys.enable({ id })
    expect(await charge()).toMatchObject({ verdict: 'charged' })
    await caller.keys.revoke({ id })
    expect(await charge()).toMatchObject({ verdict: 'revoked', remaining: 999 })
    expect((await events()).map(({ verdict }) => verdict)).toEqual(['disabled', 'charged', 'revoked'])
  })

  it('is refused from its expiry on', async () => {
    const expiresAt = new Date(Date.now() + DAY_MS)
    await account.caller.keys.update({ id: account.defaultKey.id, expiresAt: expiresAt.toISOString() })
    await clock.set(new Date(expiresAt.getTime() - 1))
    expect(await charge()).toMatchObject({ verdict: 'charged' })
    await clock.set(expiresAt)
    expect(await charge()).toMatchObject({ verdict: 'expired' })
  })

  it('is charged by both of its secrets until the grace period of the previous one ends', async () => {
    const { caller, defaultKey } = account
    const now = new Date()
    await clock.set(now)
    const rotated = await caller.keys.rotate({ id: defaultKey.id, graceSeconds: 60 })
    expect(await charge({ credits: 5 })).toMatchObject({ verdict: 'charged', keyId: defaultKey.id })
    expect((await caller.keys.get({ id: defaultKey.id })).isSecretSaved).toBe(false)
    expect(await charge({ key: rotated.secret, credits: 6 })).toMatchObject({
      verdict: 'charged',
      keyId: defaultKey.id,
      remaining: 989,
    })
    expect((await caller.keys.get({ id: defaultKey.id })).isSecretSaved).toBe(true)
    await clock.set(new Date(now.getTime() + 59_999))
    expect(await charge()).toMatchObject({ verdict: 'charged' })
    await clock.set(new Date(now.getTime() + 60_000))
    expect(await charge()).toMatchObject({ verdict: 'expired' })
    expect(await charge({ key: rotated.secret })).toMatchObject({ verdict: 'charged' })
    expect((await caller.keys.usage()).data).toMatchObject([{ creditsUsed: 13 }])
  })

  it('is limited by its credit limit per cycle, and the account by its credits', async () => {
    const { caller } = account
    const limited = await caller.keys.create({ name: 'limited', creditLimit: 10 })
    const key = limited.secret
    expect(await charge({ key, credits: 10 })).toMatchObject({ verdict: 'charged', remaining: 990 })
    expect(await charge({ key, credits: 1 })).toMatchObject({ verdict: 'key_limit_exceeded', remaining: 990 })
    expect(await charge({ credits: 1 })).toMatchObject({ verdict: 'charged' })
    await caller.keys.update({ id: limited.id, creditLimit: 11 })
    expect(await charge({ key, credits: 1 })).toMatchObject({ verdict: 'charged' })
    await caller.keys.update({ id: limited.id, creditLimit: 5 })
    expect(await charge({ key, credits: 1 })).toMatchObject({ verdict: 'key_limit_exceeded' })
    await caller.keys.update({ id: limited.id, creditLimit: null })
    expect(await charge({ key, credits: 1 })).toMatchObject({ verdict: 'charged' })
  })

  it('is refused if its account is suspended', async () => {
    await setAccount('suspended_at = now()')
    expect(await charge()).toMatchObject({ verdict: 'account_suspended' })
    await setAccount('suspended_at = null')
    expect(await charge()).toMatchObject({ verdict: 'charged' })
  })

  it('stores its last use to the minute, without a write per charge', async () => {
    const now = new Date('2027-01-01T00:00:00.000Z')
    const lastUsedAt = async () => (await account.caller.keys.list()).data[0]?.lastUsedAt
    for (const [seconds, expected] of [
      [0, 0],
      [59, 0],
      [61, 61],
      [100, 61],
      [122, 122],
    ] as const) {
      await clock.set(new Date(now.getTime() + seconds * 1000))
      await charge()
      expect(await lastUsedAt()).toBe(new Date(now.getTime() + expected * 1000).toISOString())
    }
  })
})

describe('a retry', () => {
  it('returns the first verdict, even if the key and the credits have changed since', async () => {
    const { caller, defaultKey } = account
    const first = await charge({ credits: 5, idempotencyKey: 'a' })
    await charge({ credits: 100 })
    const again = await charge({ credits: 5, idempotencyKey: 'a' })
    expect(again).toEqual({ ...first, replayed: true, requestId: again.requestId })
    await caller.keys.revoke({ id: defaultKey.id })
    await clock.set(new Date(Date.now() + 34 * DAY_MS))
    expect(await charge({ credits: 5, idempotencyKey: 'a' })).toMatchObject({ ...again, requestId: expect.any(String) })
    expect(await events()).toHaveLength(2)
  })

  it('of a refusal stays refused after a top-up, while a new idempotency key is a new attempt', async () => {
    const refused = await charge({ credits: 2000, idempotencyKey: 'a' })
    expect(refused).toMatchObject({ verdict: 'insufficient_credits', remaining: 1000 })
    await setAccount('credits_per_cycle = 5000')
    expect(await charge({ credits: 2000, idempotencyKey: 'a' })).toMatchObject({
      verdict: 'insufficient_credits',
      remaining: 1000,
      replayed: true,
    })
    expect(await charge({ credits: 2000, idempotencyKey: 'b' })).toMatchObject({ verdict: 'charged', remaining: 3000 })
  })

  it('with a different request is a conflict, and changes nothing', async () => {
    const other = await account.caller.keys.create({ name: 'other' })
    await charge({ credits: 5, idempotencyKey: 'a', operation: 'x' })
    for (const request of [
      { credits: 6, operation: 'x' },
      { credits: 5, operation: 'y' },
      { credits: 5, operation: 'x', key: other.secret },
    ])
      expect(await charge({ idempotencyKey: 'a', ...request })).toEqual({ verdict: 'conflict', requestId: expect.any(String) })
    expect(await events()).toHaveLength(1)
  })

  it('with the new secret after a rotation is the same request', async () => {
    await charge({ credits: 5, idempotencyKey: 'a' })
    const { secret } = await account.caller.keys.rotate({ id: account.defaultKey.id, graceSeconds: 0 })
    expect(await charge({ credits: 5, idempotencyKey: 'a', key: secret })).toMatchObject({ verdict: 'charged', replayed: true })
    expect(await charge({ credits: 5, idempotencyKey: 'a' })).toMatchObject({ verdict: 'charged', replayed: true })
  })

  it('does not affect another account that uses the same idempotency key', async () => {
    const other = await provisioned(database)
    expect(await charge({ idempotencyKey: 'a' })).toMatchObject({ replayed: false })
    expect(await charge({ idempotencyKey: 'a', key: other.defaultKey.secret })).toMatchObject({
      replayed: false,
      remaining: 999,
    })
  })

  it('after 35 days is a new request, even if the first one is in another partition', async () => {
    const now = new Date('2027-01-20T00:00:00.000Z')
    await clock.set(now)
    await charge({ idempotencyKey: 'a' })
    await clock.set(new Date(now.getTime() + 35 * DAY_MS - 1))
    expect(await charge({ idempotencyKey: 'a' })).toMatchObject({ replayed: true })
    await clock.set(new Date(now.getTime() + 35 * DAY_MS))
    expect(await charge({ idempotencyKey: 'a' })).toMatchObject({ replayed: false, remaining: 999 })
    expect(await charge({ idempotencyKey: 'b' })).toMatchObject({ replayed: false })
  })

  it('stays a new request after 35 days, even if the clock is set back', async () => {
    const now = new Date('2027-01-20T00:00:00.000Z')
    await clock.set(now)
    await charge({ idempotencyKey: 'a' })
    await clock.set(new Date(now.getTime() + 36 * DAY_MS))
    await charge()
    await clock.set(new Date(now.getTime() + 20 * DAY_MS))
    expect(await charge({ idempotencyKey: 'a', credits: 2 })).toMatchObject({ verdict: 'charged', credits: 2, replayed: false })
    expect(await charge({ idempotencyKey: 'a', credits: 2 })).toMatchObject({ credits: 2, replayed: true })
  })
})

describe('a billing cycle', () => {
  it('rolls over with the first charge after its end, and is stored with its totals, like idle cycles', async () => {
    const { caller, defaultKey, userId } = account
    const anchor = new Date('2027-01-31T10:20:30.456Z')
    await setAccount(`billing_cycle_anchor = '${anchor.toISOString()}', billing_cycle_start = '${anchor.toISOString()}'`)
    await clock.set(anchor)
    await caller.keys.update({ id: defaultKey.id, creditLimit: 600 })
    expect(await charge({ credits: 600 })).toMatchObject({ verdict: 'charged', cycleEnd: '2027-02-28T10:20:30.456Z' })
    await clock.set(new Date('2027-02-28T10:20:30.455Z'))
    expect(await charge({ credits: 600 })).toMatchObject({ verdict: 'insufficient_credits', remaining: 400 })
    await clock.set(new Date('2027-02-28T10:20:30.456Z'))
    expect((await caller.billing.get()).account).toMatchObject({
      creditsUsed: 0,
      billingCycle: { end: '2027-03-31T10:20:30.456Z' },
    })
    expect((await caller.keys.usage()).data[0]?.creditsUsed).toBe(0)
    expect(await charge({ credits: 300 })).toMatchObject({
      verdict: 'charged',
      remaining: 700,
      cycleEnd: '2027-03-31T10:20:30.456Z',
    })
    await clock.set(new Date('2027-06-15T00:00:00.000Z'))
    expect(await charge({ credits: 1 })).toMatchObject({
      verdict: 'charged',
      remaining: 999,
      cycleEnd: '2027-06-30T10:20:30.456Z',
    })
    const { rows } = await database.owner.query(
      'select cycle_start, credits_granted::int, credits_used::int from billing_cycles where user_id = $1 order by cycle_start',
      [userId],
    )
    expect(rows).toEqual(
      [600, 300, 0, 0].map((credits_used, k) => ({
        cycle_start: naiveBoundary(anchor, k),
        credits_granted: 1000,
        credits_used,
      })),
    )
  })

  it('never rolls back if the clock is set back', async () => {
    const later = new Date(Date.now() + 40 * DAY_MS)
    await clock.set(later)
    const first = await charge()
    await clock.set(new Date(later.getTime() - 30 * DAY_MS))
    expect(await charge()).toMatchObject({ cycleEnd: first.verdict === 'charged' ? first.cycleEnd : '', remaining: 998 })
  })
})

describe('an operation', () => {
  it('is refused without a trace if it is the 101st, while known operations still work', async () => {
    for (let n = 0; n < 100; n++) expect(await charge({ operation: `op-${n}` })).toMatchObject({ verdict: 'charged' })
    expect(await charge({ operation: 'op-100', idempotencyKey: 'a' })).toMatchObject({ verdict: 'operation_limit_exceeded' })
    expect(await charge({ operation: 'op-99', idempotencyKey: 'a' })).toMatchObject({
      verdict: 'charged',
      remaining: 899,
      replayed: false,
    })
  })
})

describe('a batch', () => {
  const metering = new Metering({ db: database.db, keyBrand: 'km', log: pino({ level: 'silent' }) })
  const item = (input: Partial<Charge>): Charge => ({
    key: account.defaultKey.secret,
    credits: 1,
    idempotencyKey: `request-${requests++}`,
    operation: 'default',
    ...input,
  })

  it('decides an item with the idempotency key of an earlier item whose refusal left no trace', async () => {
    await metering.chargeMany(Array.from({ length: 100 }, (_, n) => item({ operation: `op-${n}` })))
    const [refused, again, charged, retried, other] = await metering.chargeMany([
      item({ operation: 'op-100', idempotencyKey: 'a' }),
      item({ operation: 'op-100', idempotencyKey: 'a' }),
      item({ operation: 'op-99', idempotencyKey: 'a' }),
      item({ operation: 'op-99', idempotencyKey: 'a' }),
      item({ operation: 'op-98', idempotencyKey: 'a' }),
    ])
    expect([refused, again]).toEqual([{ verdict: 'operation_limit_exceeded' }, { verdict: 'operation_limit_exceeded' }])
    expect(charged).toMatchObject({ verdict: 'charged', remaining: 899, replayed: false })
    expect(retried).toEqual({ ...charged, replayed: true })
    expect(other).toEqual({ verdict: 'conflict' })
  })

  it('is answered at the first attempt even if its sum exceeds the largest safe integer', async () => {
    const first = item({ credits: Number.MAX_SAFE_INTEGER })
    const unknown = item({ key: mintToken('km', 'dev', account.userId) })
    const verdicts = await metering.chargeMany([first, item({ credits: 2 ** 52 }), { ...first, operation: 'other' }, unknown])
    expect(verdicts).toMatchObject([
      { verdict: 'insufficient_credits', remaining: 1000, replayed: false },
      { verdict: 'insufficient_credits', remaining: 1000, replayed: false },
      { verdict: 'conflict' },
      { verdict: 'not_found' },
    ])
  })
})

describe('bad input', () => {
  it.each([
    [{ credits: -1 }, 'credits'],
    [{ credits: 0.5 }, 'credits'],
    [{ credits: 2 ** 53 }, 'credits'],
    [{ credits: '5' as unknown as number }, 'credits'],
    [{ idempotencyKey: null }, 'idempotencyKey'],
    [{ idempotencyKey: '' }, 'idempotencyKey'],
    [{ idempotencyKey: 'a b' }, 'idempotencyKey'],
    [{ idempotencyKey: 'x'.repeat(256) }, 'idempotencyKey'],
    [{ operation: '' }, 'operation'],
    [{ operation: 'Upper' }, 'operation'],
    [{ operation: 'x'.repeat(65) }, 'operation'],
    [{ accountId: 'x' } as Partial<Charge>, 'accountId'],
  ])('is refused with the name of the field, and changes nothing: %j', async (input, field) => {
    await expect(charge(input)).rejects.toMatchObject({ code: 'BAD_REQUEST', message: expect.stringContaining(field) })
    expect(await events()).toEqual([])
  })
})

describe('the service key', () => {
  it.each([null, '', 'Bearer', `Bearer ${SERVICE_KEY}x`, `Bearer ${SERVICE_KEY.slice(1)}`, SERVICE_KEY])(
    'must be right: %j is not',
    async (authorization) => {
      const caller = appRouter.createCaller({ ...contextOf(database, null), authorization })
      await expect(caller.metering.charge({ key: account.defaultKey.secret, credits: 0 })).rejects.toMatchObject({
        reason: 'service_key_invalid',
      })
    },
  )

  it('refuses every caller if none is configured', async () => {
    const caller = appRouter.createCaller({ ...contextOf(database, null, { serviceKey: null }), authorization: 'Bearer null' })
    await expect(caller.metering.charge({ key: account.defaultKey.secret, credits: 0 })).rejects.toMatchObject({
      reason: 'service_key_invalid',
    })
  })
})
