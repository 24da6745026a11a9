import { randomUUID } from 'node:crypto'
import { createDb, type Db } from '@keymeter/db'
import { testDatabase } from '@keymeter/local/testing'
import { describe, expect, it } from 'vitest'
import { startAuthStandIn, userOf } from '../../test/auth-stand-in.ts'
import { accessToken, charge, contextOf, provisioned, SERVICE_KEY } from '../../test/caller.ts'
import { createSessionChecker } from '../auth/check-session.ts'
import type { Context } from '../context.ts'
import { appRouter } from '../router.ts'
import { createLimits, DEFAULT_LIMITS, type LimitSettings, NO_LIMITS } from './limits.ts'

const database = testDatabase()
const limitsOf = (settings: Partial<LimitSettings>, db: Db = database.db) => createLimits(db, { ...NO_LIMITS, ...settings })
const callerOf = (token: string | null, replace: Partial<Context>) =>
  appRouter.createCaller(contextOf(database, token, replace))

/** Returns a provisioned user, and a caller with these limits. */
async function limited(settings: Partial<LimitSettings>, replace: Partial<Context> = {}) {
  const { userId, defaultKey } = await provisioned(database)
  const token = await accessToken(userId)
  const caller = () => callerOf(token, { limits: limitsOf(settings), ...replace })
  return { userId, caller: caller(), otherProcess: caller(), id: defaultKey.id, key: defaultKey }
}
const refused = (reason: string, message: RegExp) => ({
  code: 'TOO_MANY_REQUESTS',
  reason,
  message: expect.stringMatching(message),
  retryAfterSeconds: expect.any(Number),
})

describe('the limit of sign-ups', () => {
  const email = () => `${randomUUID()}@example.com`
  /** Signs up at an auth server that refuses every sign-up, so the tests create no users. */
  async function signUps(settings: Partial<LimitSettings>) {
    const auth = await startAuthStandIn(() => ({ status: 422, body: { error_code: 'signup_disabled' } }))
    const supabase = { url: auth.url, publishableKey: 'none', secretKey: null }
    const limits = limitsOf(settings)
    const signUp = async (clientAddress: string | null, address = email()) =>
      await callerOf(null, { supabase, limits, clientAddress })
        .auth.signup({ email: address, password: 'a long password' })
        .catch((error) => error)
    return { signUp, received: auth.received }
  }

  it('counts by IPv4 address and by /64, also refused sign-ups, and asks the auth server only below the limit', async () => {
    const { signUp, received } = await signUps({ signUpsPerAddressPerHour: 3 })
    for (const [first, second, third, fourth, other] of [
      ['192.0.2.7', '::ffff:192.0.2.7', '192.0.2.7', '::ffff:c000:207', '192.0.2.8'],
      ['2001:db8:1:2::1', '2001:db8:1:2::2', '2001:db8:1:2:ffff::', '2001:DB8:1:2:0:0:0:9', '2001:db8:1:3::1'],
      [null, '', 'not an address', '300.1.1.1', '198.51.100.1'],
    ] as const) {
      const before = received.length
      for (const address of [first, second, third]) expect(await signUp(address)).toMatchObject({ reason: 'sign_up_disabled' })
      expect(await signUp(fourth)).toMatchObject(
        refused('too_many_attempts', /^Too many sign-ups from your network: try again in 60 minutes\.$/),
      )
      expect(received).toHaveLength(before + 3)
      expect(await signUp(other)).toMatchObject({ reason: 'sign_up_disabled' })
    }
  })

  it('counts by mailbox, however the address is written, from any network', async () => {
    const { signUp, received } = await signUps({ signUpsPerMailboxPerHour: 2 })
    expect(await signUp('192.0.2.1', 'some.body@gmail.com')).toMatchObject({ reason: 'sign_up_disabled' })
    expect(await signUp('192.0.2.2', 'SomeBody+2@googlemail.com')).toMatchObject({ reason: 'sign_up_disabled' })
    expect(await signUp('192.0.2.3', 's.o.m.e.body@gmail.com')).toMatchObject(
      refused('too_many_attempts', /with this e-mail address/),
    )
    expect(await signUp('192.0.2.3', 'another.body@gmail.com')).toMatchObject({ reason: 'sign_up_disabled' })
    expect(received).toHaveLength(3)
  })

  it('stores no e-mail address', async () => {
    const { signUp } = await signUps({ signUpsPerMailboxPerHour: 2 })
    await signUp('192.0.2.1', 'private-person@example.com')
    const { rows } = await database.owner.query("select key from rate_limits where key like 'sign-up-mailbox:%'")
    expect(rows.length).toBeGreaterThan(0)
    for (const { key } of rows) expect(key).toMatch(/^sign-up-mailbox:[0-9a-f]{64}$/)
  })
})

describe('the limit of key changes', () => {
  it('counts all changes of an account together, in all processes, and refuses the next one without a change', async () => {
    const { caller, otherProcess, id, userId } = await limited({ keyChangesPerAccountPerHour: 6 })
    await caller.keys.create({ name: 'a' })
    await otherProcess.keys.update({ id, name: 'b' })
    await caller.keys.rotate({ id, graceSeconds: 0 })
    await otherProcess.keys.confirmSecretSaved({ id })
    await caller.keys.enable({ id })
    await caller.alerts.setThresholds({ thresholds: [10] })
    const before = await database.owner.query('select * from audit_log where user_id = $1', [userId])
    for (const { keys, alerts } of [caller, otherProcess])
      for (const change of [
        () => keys.create({ name: 'late' }),
        () => keys.update({ id, name: 'late' }),
        () => keys.rotate({ id, graceSeconds: 0 }),
        () => keys.confirmSecretSaved({ id }),
        () => keys.enable({ id }),
        () => keys.replaceLostSecret({ id, keyPrefix: 'km_dev_x', idempotencyKey: randomUUID() }),
        () => alerts.setThresholds({ thresholds: [20] }),
      ])
        await expect(change()).rejects.toMatchObject(
          refused(
            'too_many_key_changes',
            /^This account has made too many changes: .* You can still revoke and disable keys\.$/,
          ),
        )
    expect((await database.owner.query('select * from audit_log where user_id = $1', [userId])).rows).toEqual(before.rows)
    expect((await caller.keys.list()).data).toHaveLength(2)
  })

  it('refuses all but the allowed ones of 50 concurrent changes', async () => {
    const { caller, otherProcess, id } = await limited({ keyChangesPerAccountPerHour: 7 })
    const results = await Promise.allSettled(
      Array.from(
        { length: 50 },
        async (_, i) => await (i % 2 === 0 ? caller : otherProcess).keys.update({ id, name: `n${i}` }),
      ),
    )
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(7)
  })

  it('does not count the changes of another account', async () => {
    const one = await limited({ keyChangesPerAccountPerHour: 1 })
    await one.caller.keys.update({ id: one.id, name: 'a' })
    await expect(one.caller.keys.update({ id: one.id, name: 'b' })).rejects.toMatchObject({ reason: 'too_many_key_changes' })
    const other = await limited({ keyChangesPerAccountPerHour: 1 })
    await other.caller.keys.update({ id: other.id, name: 'a' })
  })

  it('a leaked key can be revoked and disabled after all changes are used up, up to a limit of its own', async () => {
    const { caller, id } = await limited({ keyChangesPerAccountPerHour: 1, keyRevokesPerPersonPerHour: 3 })
    const created = await caller.keys.create({ name: 'leaked' })
    await expect(caller.keys.update({ id, name: 'x' })).rejects.toMatchObject({ reason: 'too_many_key_changes' })
    await caller.keys.endGrace({ id })
    expect(await caller.keys.disable({ id })).toMatchObject({ status: 'disabled' })
    expect(await caller.keys.revoke({ id: created.id })).toMatchObject({ status: 'revoked' })
    for (const stop of [
      () => caller.keys.revoke({ id }),
      () => caller.keys.disable({ id }),
      () => caller.keys.endGrace({ id }),
    ])
      await expect(stop()).rejects.toMatchObject(refused('too_many_key_changes', /requests to revoke or disable keys/))
  })

  it('the default allows more revokes in an hour than an account can have keys', () => {
    expect(DEFAULT_LIMITS.keyRevokesPerPersonPerHour).toBeGreaterThan(DEFAULT_LIMITS.keyChangesPerAccountPerHour)
    expect(DEFAULT_LIMITS.keyChangesPerAccountPerHour).toBeGreaterThan(DEFAULT_LIMITS.newKeysPerAccountPerDay)
  })

  it('the number of keys that an account can create in a day is limited, also if it revokes them', async () => {
    const { caller, id } = await limited({ newKeysPerAccountPerDay: 3 })
    for (let i = 0; i < 3; i += 1) await caller.keys.revoke({ id: (await caller.keys.create({ name: 'short' })).id })
    const error = await caller.keys.create({ name: 'late' }).catch((error) => error)
    expect(error).toMatchObject(refused('too_many_key_changes', /^This account has created too many keys: .* You can still/))
    expect(error.retryAfterSeconds).toBeGreaterThan(86_000)
    await caller.keys.rotate({ id, graceSeconds: 0 })
  })

  it('an attempt above the limit does not ask the auth server', async () => {
    const auth = await startAuthStandIn(userOf)
    const checkSession = createSessionChecker({ url: auth.url, publishableKey: 'none' })
    const { caller, id } = await limited({ keyChangesPerAccountPerHour: 2 }, { checkSession })
    for (let i = 0; i < 5; i += 1) await caller.keys.rotate({ id, graceSeconds: 0 }).catch(() => {})
    expect(auth.received).toHaveLength(2)
    auth.close()
  })

  it('if Postgres does not answer, a change and a sign-up are database_unavailable and are not let pass', async () => {
    const nowhere = createDb('postgresql://keymeter_api:none@127.0.0.1:1/none', () => {})
    const limits = limitsOf(DEFAULT_LIMITS, nowhere)
    const { caller, id } = await limited({}, { limits })
    const unavailable = { code: 'SERVICE_UNAVAILABLE', reason: 'database_unavailable' }
    await expect(caller.keys.update({ id, name: 'x' })).rejects.toMatchObject(unavailable)
    await expect(caller.keys.revoke({ id })).rejects.toMatchObject(unavailable)
    await expect(
      callerOf(null, { limits }).auth.signup({ email: 'a@example.com', password: 'a long password' }),
    ).rejects.toMatchObject(unavailable)
    await nowhere.destroy()
  })
})

describe('the limit of wrong service keys', () => {
  const verify = (authorization: string | null, replace: Partial<Context>) =>
    appRouter
      .createCaller({ ...contextOf(database, null, replace), authorization })
      .metering.charge({ key: 'km_dev_x', credits: 0 })
      .catch((error) => error)

  it('counts wrong keys by network, and accepts the right key from a network that has used up its limit', async () => {
    const limits = limitsOf({ wrongServiceKeysPerAddressPerHour: 3 })
    const from = (clientAddress: string) => ({ limits, clientAddress })
    for (const address of ['2001:db8:9::1', '2001:db8:9::2', '2001:db8:9::3'])
      expect(await verify('Bearer wrong', from(address))).toMatchObject({ reason: 'service_key_invalid' })
    expect(await verify('Bearer wrong', from('2001:db8:9::4'))).toMatchObject(
      refused('too_many_attempts', /^Too many wrong service keys from your network: .* The right service key is accepted/),
    )
    expect(await verify('Bearer wrong', from('2001:db8:a::4'))).toMatchObject({ reason: 'service_key_invalid' })
    expect(await verify(`Bearer ${SERVICE_KEY}`, from('2001:db8:9::4'))).toMatchObject({ verdict: 'not_found' })
  })

  it('a charge with the right key neither reads nor writes the counters', async () => {
    const nowhere = createDb('postgresql://keymeter_api:none@127.0.0.1:1/none', () => {})
    const limits = limitsOf(DEFAULT_LIMITS, nowhere)
    const { defaultKey } = await provisioned(database)
    const caller = appRouter.createCaller({ ...contextOf(database, null, { limits }), authorization: `Bearer ${SERVICE_KEY}` })
    const input = { key: defaultKey.secret, credits: 1, idempotencyKey: 'first' }
    expect(await caller.metering.charge(input)).toMatchObject({ verdict: 'charged' })
    expect(await verify('Bearer wrong', { limits })).toMatchObject({ reason: 'database_unavailable' })
    await nowhere.destroy()
    expect(await charge(database, defaultKey.secret, 1)).toMatchObject({ verdict: 'charged' })
  })

  it('a missing key, and every key if none is configured, is refused and not counted', async () => {
    const limits = limitsOf({ wrongServiceKeysPerAddressPerHour: 1 })
    const from = { limits, clientAddress: '203.0.113.9' }
    for (const authorization of [null, '', 'Basic x', 'Bearer'])
      for (let i = 0; i < 2; i += 1) expect(await verify(authorization, from)).toMatchObject({ reason: 'service_key_invalid' })
    for (let i = 0; i < 2; i += 1)
      expect(await verify('Bearer wrong', { ...from, serviceKey: null })).toMatchObject({ reason: 'service_key_invalid' })
    expect(await verify('Bearer wrong', from)).toMatchObject({ reason: 'service_key_invalid' })
  })
})
