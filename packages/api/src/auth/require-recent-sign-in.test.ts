import { randomUUID } from 'node:crypto'
import { testDatabase } from '@keymeter/local/testing'
import { describe, expect, it } from 'vitest'
import { accessToken, charge, contextOf, provisioned } from '../../test/caller.ts'
import { createLimits, DEFAULT_LIMITS } from '../limits/limits.ts'
import { appRouter } from '../router.ts'
import { RECENT_SIGN_IN_SECONDS, requireRecentSignIn } from './require-recent-sign-in.ts'

const database = testDatabase()

/** Returns a caller of the same user, who signed in this number of seconds ago. */
async function signedInAgo(userId: string, seconds: number, more: Parameters<typeof contextOf>[2] = {}) {
  const now = Math.floor(Date.now() / 1000)
  const amr = [
    { method: 'token_refresh', timestamp: now },
    { method: 'password', timestamp: now - seconds },
  ]
  return appRouter.createCaller(contextOf(database, await accessToken(userId, { amr }), more))
}
type Caller = Awaited<ReturnType<typeof signedInAgo>>

/** The calls that need a recent sign-in. */
const SENSITIVE: [string, (caller: Caller, key: { id: string; keyPrefix: string }) => Promise<unknown>][] = [
  ['keys.create', (caller) => caller.keys.create({ name: 'late' })],
  ['keys.rotate', (caller, { id }) => caller.keys.rotate({ id, graceSeconds: 60 })],
  [
    'keys.replaceLostSecret',
    (caller, { id, keyPrefix }) => caller.keys.replaceLostSecret({ id, keyPrefix, idempotencyKey: randomUUID() }),
  ],
  ['keys.enable', (caller, { id }) => caller.keys.enable({ id })],
  ['keys.update of the expiry', (caller, { id }) => caller.keys.update({ id, expiresAt: null })],
]

describe('a recent sign-in', () => {
  it('a sign-in is recent until it is 30 minutes old', () => {
    const ago = (ms: number) => ({ signedInAt: new Date(Date.now() - ms) })
    expect(RECENT_SIGN_IN_SECONDS).toBe(1_800)
    // A second is left for the time between the two readings of the clock.
    expect(() => requireRecentSignIn(ago(RECENT_SIGN_IN_SECONDS * 1000 - 1_000))).not.toThrow()
    const error = expect.objectContaining({ reason: 'sign_in_too_old', code: 'FORBIDDEN' })
    expect(() => requireRecentSignIn(ago(RECENT_SIGN_IN_SECONDS * 1000))).toThrow(error)
    expect(() => requireRecentSignIn({ signedInAt: null })).toThrow(error)
  })

  it('every call that gives a key a secret, or makes one work again, is refused after an old sign-in and changes nothing', async () => {
    const { userId, defaultKey } = await provisioned(database)
    const secrets = async () =>
      (await database.owner.query('select * from api_key_secrets where user_id = $1 order by key_hash', [userId])).rows
    const before = await secrets()
    const late = await signedInAgo(userId, RECENT_SIGN_IN_SECONDS)
    for (const [name, call] of SENSITIVE) {
      const error = await call(late, defaultKey).catch((error) => error)
      expect([name, error]).toMatchObject([name, { code: 'FORBIDDEN', reason: 'sign_in_too_old' }])
    }
    expect(await secrets()).toEqual(before)
    const again = await signedInAgo(userId, RECENT_SIGN_IN_SECONDS - 60)
    expect(await again.keys.rotate({ id: defaultKey.id, graceSeconds: 60 })).toMatchObject({ id: defaultKey.id })
  })

  it('a new expiry, which makes the secret of an expired key work again, is refused after an old sign-in', async () => {
    const { userId, defaultKey: key } = await provisioned(database)
    await database.owner.query("update api_keys set expires_at = now() - interval '1 day' where user_id = $1", [userId])
    const late = await signedInAgo(userId, RECENT_SIGN_IN_SECONDS)
    for (const expiresAt of [null, '9999-01-01T00:00:00Z']) {
      const update = late.keys.update({ id: key.id, name: 'alive', expiresAt, creditLimit: null })
      await expect(update).rejects.toMatchObject({ code: 'FORBIDDEN', reason: 'sign_in_too_old' })
    }
    expect(await charge(database, key.secret, 1)).toMatchObject({ verdict: 'expired' })
    const again = await signedInAgo(userId, 0)
    expect(await again.keys.update({ id: key.id, expiresAt: null })).toMatchObject({ status: 'active', name: 'default' })
    expect(await charge(database, key.secret, 1)).toMatchObject({ verdict: 'charged' })
  })

  it('a token without the time of the sign-in is not a recent sign-in', async () => {
    const { userId } = await provisioned(database)
    const caller = appRouter.createCaller(contextOf(database, await accessToken(userId, { amr: undefined })))
    await expect(caller.keys.create({ name: 'x' })).rejects.toMatchObject({ reason: 'sign_in_too_old' })
  })

  it('reads, edits, and calls that stop a secret are possible after an old sign-in', async () => {
    const { userId, defaultKey: key } = await provisioned(database)
    const late = await signedInAgo(userId, 86_400)
    expect((await late.keys.usage()).data).toHaveLength(1)
    await late.keys.update({ id: key.id, name: 'renamed' })
    await late.keys.endGrace({ id: key.id })
    expect(await late.keys.disable({ id: key.id })).toMatchObject({ status: 'disabled' })
    expect(await late.keys.revoke({ id: key.id })).toMatchObject({ status: 'revoked' })
  })

  it('a call that is refused because of an old sign-in uses up no attempt of a limit', async () => {
    const { userId } = await provisioned(database)
    const limits = createLimits(database.db, { ...DEFAULT_LIMITS, newKeysPerAccountPerDay: 1 })
    const late = await signedInAgo(userId, RECENT_SIGN_IN_SECONDS, { limits })
    await expect(late.keys.create({ name: 'x' })).rejects.toMatchObject({ reason: 'sign_in_too_old' })
    const again = await signedInAgo(userId, 0, { limits })
    expect(await again.keys.create({ name: 'x' })).toMatchObject({ name: 'x' })
    await expect(again.keys.create({ name: 'y' })).rejects.toMatchObject({ reason: 'too_many_key_changes' })
  })
})
