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

describe('charges', () => {
  it('a charge stores the used credits, and returns the remaining credits and the end of the cycle', async () => {
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

  it('a charge of 0 credits without an idempotency key verifies the key and stores no event', async () => {
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

  it('a charge is refused and takes nothing if it needs more credits than remain', async () => {
    expect(await charge({ credits: 999 })).toMatchObject({ verdict: 'charged', remaining: 1 })
    expect(await charge({ credits: 2 })).toMatchObject({ verdict: 'insufficient_credits', remaining: 1 })
    expect(await charge({ credits: 1 })).toMatchObject({ verdict: 'charged', remaining: 0 })
    expect(await charge({ credits: 1 })).toMatchObject({ verdict: 'insufficient_credits', remaining: 0 })
    expect(await charge({ credits: 0, idempotencyKey: null })).toMatchObject({ verdict: 'charged', remaining: 0 })
    expect((await account.caller.billing.get()).account?.creditsUsed).toBe(1000)
  })

  it('a charge can request up to the largest safe integer', async () => {
    expect(await charge({ credits: Number.MAX_SAFE_INTEGER })).toMatchObject({ verdict: 'insufficient_credits' })
    await setAccount(`credits_per_cycle = ${Number.MAX_SAFE_INTEGER}`)
    expect(await charge({ credits: Number.MAX_SAFE_INTEGER })).toMatchObject({ verdict: 'charged', remaining: 0 })
  })

  it('charges with dev keys and with prod keys spend the same credits of the account', async () => {
    const prod = await account.caller.keys.create({ name: 'prod', keyType: 'prod' })
    expect(await charge({ key: prod.secret, credits: 10 })).toMatchObject({
      verdict: 'charged',
      keyType: 'prod',
      remaining: 990,
    })
    expect(await charge({ credits: 10 })).toMatchObject({ keyType: 'dev', remaining: 980 })
  })
})

describe('keys', () => {
  it('a charge of a key that does not exist gets not_found and stores nothing', async () => {
    const other = await provisioned(database)
    const { secret } = account.defaultKey
    for (const key of ['', 'nonsense', `${secret.slice(0, -1)}!`, secret.replace('km_', 'xx_')])
      expect(await charge({ key })).toMatchObject({ verdict: 'not_found' })
    await database.owner.query('delete from api_keys where user_id = $1', [other.userId])
    expect(await charge({ key: other.defaultKey.secret })).toMatchObject({ verdict: 'not_found' })
    await database.owner.query('delete from billing_accounts where user_id = $1', [other.userId])
    expect(await charge({ key: other.defaultKey.secret })).toMatchObject({ verdict: 'not_found' })
    expect(await events()).toEqual([])
  })

  it('a revoked or disabled key is refused from the next charge on, and an enabled key is charged again', async () => {
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

  it('a key is refused from its expiry on', async () => {
    const expiresAt = new Date(Date.now() + DAY_MS)
    await account.caller.keys.update({ id: account.defaultKey.id, expiresAt: expiresAt.toISOString() })
    await clock.set(new Date(expiresAt.getTime() - 1))
    expect(await charge()).toMatchObject({ verdict: 'charged' })
    await clock.set(expiresAt)
    expect(await charge()).toMatchObject({ verdict: 'expired' })
  })

  it('a rotated key can be charged with both secrets until the grace period of the previous secret ends', async () => {
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

  it('a key is limited by its own credit limit per cycle and by the credits of the account', async () => {
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

  it('a key is refused if its account is suspended', async () => {
    await setAccount('suspended_at = now()')
    expect(await charge()).toMatchObject({ verdict: 'account_suspended' })
    await setAccount('suspended_at = null')
    expect(await charge()).toMatchObject({ verdict: 'charged' })
  })

  it('every request with a secret, also a refused one, is a use of the secret and of its key, so the secret is not lost', async () => {
    const { caller, userId } = account
    const first = await charge({ credits: 3, idempotencyKey: 'first' })
    if (first.verdict !== 'charged') throw new Error('nothing is charged')
    const states: [string, (id: string) => Promise<unknown>, Partial<Charge>][] = [
      ['charged', async () => {}, { credits: 0, idempotencyKey: null }],
      ['disabled', async (id) => await caller.keys.disable({ id }), {}],
      ['disabled', async (id) => await caller.keys.disable({ id }), { credits: 0, idempotencyKey: null }],
      ['revoked', async (id) => await caller.keys.revoke({ id }), {}],
      ['insufficient_credits', async () => {}, { credits: 5000 }],
      ['key_limit_exceeded', async (id) => await caller.keys.update({ id, creditLimit: 1 }), { credits: 2 }],
      ['conflict', async () => {}, { credits: 4, idempotencyKey: 'first' }],
      ['account_suspended', async () => await setAccount('suspended_at = now()'), {}],
      ['account_suspended', async () => {}, { credits: 0, idempotencyKey: null }],
    ]
    for (const [verdict, change, input] of states) {
      const { id, secret, keyPrefix } = await caller.keys.create({ name: 'used' })
      await change(id)
      const shown = async () => await caller.keys.get({ id })
      expect(await shown(), verdict).toMatchObject({ isSecretSaved: false, lastUsedAt: null })
      expect(await charge({ key: secret, ...input }), verdict).toMatchObject({ verdict })
      expect(await shown(), verdict).toMatchObject({ isSecretSaved: true, lastUsedAt: expect.any(String) })
      const replaced = caller.keys.replaceLostSecret({ id, keyPrefix, idempotencyKey: `replace-${id}` })
      await expect(replaced, verdict).rejects.toMatchObject({
        reason: verdict === 'revoked' ? 'key_revoked' : 'secret_not_lost',
      })
    }
    await setAccount('suspended_at = null')
    const { rows } = await database.owner.query(
      'select count(*)::int from api_key_secrets where user_id = $1 and last_used_at is null',
      [userId],
    )
    expect(rows).toEqual([{ count: 0 }])
  })

  it('the first request with a secret is a use of this secret, also if it is expired, a retry, or the second of its batch', async () => {
    const { caller, defaultKey } = account
    const { id } = defaultKey
    const used = async () =>
      (
        await database.owner.query<{ isUsed: boolean }>(
          'select last_used_at is not null as "isUsed" from api_key_secrets where api_key_id = $1 order by valid_until nulls last',
          [id],
        )
      ).rows.map(({ isUsed }) => isUsed)
    const second = await caller.keys.rotate({ id, graceSeconds: 60 })
    const third = await caller.keys.rotate({ id, graceSeconds: 3600 })
    expect(await used()).toEqual([false, false, false])
    await clock.set(new Date(Date.now() + 61_000))
    expect(await charge()).toMatchObject({ verdict: 'expired' })
    expect(await used()).toEqual([true, false, false])
    // The key itself was used a moment ago, but its other secrets were not.
    const log = pino({ level: 'silent' })
    const engine = new Metering({ db: database.db, keyBrand: 'km', log })
    const item = { credits: 1, idempotencyKey: 'both', operation: 'default' }
    const answers = await engine.chargeMany([second, third].map(({ secret }) => ({ ...item, key: secret })))
    expect(answers).toMatchObject([{ replayed: false }, { replayed: true }])
    expect(await used()).toEqual([true, true, true])
    const fourth = await caller.keys.rotate({ id, graceSeconds: 3600 })
    expect(await charge({ ...item, key: fourth.secret })).toMatchObject({ verdict: 'charged', replayed: true })
    expect(await used()).toEqual([true, true, true, true])
  })

  it('the last use of a key is stored to the minute, without a write for each charge', async () => {
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

describe('retries', () => {
  it('a retry gets the first verdict, even if the key and the credits have changed since the first request', async () => {
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

  it('a retry of a refused charge is still refused after a top-up, but a charge with a new idempotency key succeeds', async () => {
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

  it('a different request with the same idempotency key is a conflict, and changes nothing', async () => {
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

  it('a retry can use the new secret after a rotation, and gets the first verdict', async () => {
    await charge({ credits: 5, idempotencyKey: 'a' })
    const { secret } = await account.caller.keys.rotate({ id: account.defaultKey.id, graceSeconds: 0 })
    expect(await charge({ credits: 5, idempotencyKey: 'a', key: secret })).toMatchObject({ verdict: 'charged', replayed: true })
    expect(await charge({ credits: 5, idempotencyKey: 'a' })).toMatchObject({ verdict: 'charged', replayed: true })
  })

  it('a request does not affect another account that uses the same idempotency key', async () => {
    const other = await provisioned(database)
    expect(await charge({ idempotencyKey: 'a' })).toMatchObject({ replayed: false })
    expect(await charge({ idempotencyKey: 'a', key: other.defaultKey.secret })).toMatchObject({
      replayed: false,
      remaining: 999,
    })
  })

  it('a request with the same idempotency key after 35 days is a new request, even if the first event is in another partition', async () => {
    const now = new Date('2027-01-20T00:00:00.000Z')
    await clock.set(now)
    await charge({ idempotencyKey: 'a' })
    await clock.set(new Date(now.getTime() + 35 * DAY_MS - 1))
    expect(await charge({ idempotencyKey: 'a' })).toMatchObject({ replayed: true })
    await clock.set(new Date(now.getTime() + 35 * DAY_MS))
    expect(await charge({ idempotencyKey: 'a' })).toMatchObject({ replayed: false, remaining: 999 })
    expect(await charge({ idempotencyKey: 'b' })).toMatchObject({ replayed: false })
  })

  it('a request with the same idempotency key after 35 days stays a new request, even if the clock is set back', async () => {
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

describe('billing cycles', () => {
  it('an ended cycle is closed and stored with its totals at the next charge, and so are idle cycles after it', async () => {
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

  it('an account stays in its current cycle if the clock is set back to the previous cycle', async () => {
    const later = new Date(Date.now() + 40 * DAY_MS)
    await clock.set(later)
    const first = await charge()
    await clock.set(new Date(later.getTime() - 30 * DAY_MS))
    expect(await charge()).toMatchObject({ cycleEnd: first.verdict === 'charged' ? first.cycleEnd : '', remaining: 998 })
  })
})

describe('operations', () => {
  it('the 101st operation of an account is refused and not stored, and the other 100 operations still work', async () => {
    for (let n = 0; n < 100; n++) expect(await charge({ operation: `op-${n}` })).toMatchObject({ verdict: 'charged' })
    expect(await charge({ operation: 'op-100', idempotencyKey: 'a' })).toMatchObject({ verdict: 'operation_limit_exceeded' })
    expect(await charge({ operation: 'op-99', idempotencyKey: 'a' })).toMatchObject({
      verdict: 'charged',
      remaining: 899,
      replayed: false,
    })
  })
})

describe('batches', () => {
  const metering = new Metering({ db: database.db, keyBrand: 'km', log: pino({ level: 'silent' }) })
  const item = (input: Partial<Charge>): Charge => ({
    key: account.defaultKey.secret,
    credits: 1,
    idempotencyKey: `request-${requests++}`,
    operation: 'default',
    ...input,
  })

  it('an item can use the idempotency key of an earlier item that was refused with a verdict that is not remembered', async () => {
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

  it('a batch is decided in one attempt even if the sum of its credits exceeds the largest safe integer', async () => {
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
  ])('a charge with this input is refused with the name of the field, and changes nothing: %j', async (input, field) => {
    await expect(charge(input)).rejects.toMatchObject({ code: 'BAD_REQUEST', message: expect.stringContaining(field) })
    expect(await events()).toEqual([])
  })
})

describe('the service key', () => {
  it.each([null, '', 'Bearer', `Bearer ${SERVICE_KEY}x`, `Bearer ${SERVICE_KEY.slice(1)}`, SERVICE_KEY])(
    'metering.charge refuses a wrong service key in the header: %j',
    async (authorization) => {
      const caller = appRouter.createCaller({ ...contextOf(database, null), authorization })
      await expect(caller.metering.charge({ key: account.defaultKey.secret, credits: 0 })).rejects.toMatchObject({
        reason: 'service_key_invalid',
      })
    },
  )

  it('metering.charge refuses every caller if the server has no service key', async () => {
    const caller = appRouter.createCaller({ ...contextOf(database, null, { serviceKey: null }), authorization: 'Bearer null' })
    await expect(caller.metering.charge({ key: account.defaultKey.secret, credits: 0 })).rejects.toMatchObject({
      reason: 'service_key_invalid',
    })
  })
})
