import { randomUUID } from 'node:crypto'
import { testAuth, testDatabase } from '@keymeter/local/testing'
import { createClient } from '@supabase/supabase-js'
import { afterEach, describe, expect, it } from 'vitest'
import { type Answer, startAuthStandIn, userOf } from '../../test/auth-stand-in.ts'
import { accessToken, contextOf, provisioned } from '../../test/caller.ts'
import type { Context } from '../context.ts'
import { appRouter } from '../router.ts'
import { createSessionChecker } from './check-session.ts'
import { createAccessTokenVerifier } from './verify-access-token.ts'

const database = testDatabase()
const auth = testAuth(database)

/** Signs a person up at the real auth server. Returns a caller with the access token of this session. */
async function person() {
  const { supabaseUrl: url, publishableKey } = auth
  const supabase = createClient(url, publishableKey, { auth: { persistSession: false } })
  const { data } = await supabase.auth.signUp({ email: `${randomUUID()}@example.com`, password: 'a long password' })
  const ctx = contextOf(database, data.session?.access_token ?? '', {
    verifyAccessToken: createAccessTokenVerifier(auth),
    checkSession: createSessionChecker({ url, publishableKey }),
  })
  const caller = appRouter.createCaller(ctx)
  const { defaultKey } = await caller.auth.provision()
  if (defaultKey === null) throw new Error('a new user has no default key')
  return { supabase, caller, ctx, userId: data.user?.id ?? '', key: defaultKey }
}
type Caller = Awaited<ReturnType<typeof person>>['caller']

/** The calls that need a session that still exists. */
const CALLS: [string, (caller: Caller, key: { id: string; keyPrefix: string }) => Promise<unknown>][] = [
  ['keys.create', (caller) => caller.keys.create({ name: 'late' })],
  ['keys.rotate', (caller, { id }) => caller.keys.rotate({ id, graceSeconds: 60 })],
  [
    'keys.replaceLostSecret',
    (caller, { id, keyPrefix }) => caller.keys.replaceLostSecret({ id, keyPrefix, idempotencyKey: randomUUID() }),
  ],
  ['keys.enable', (caller, { id }) => caller.keys.enable({ id })],
  ['keys.endGrace', (caller, { id }) => caller.keys.endGrace({ id })],
  ['keys.revoke', (caller, { id }) => caller.keys.revoke({ id })],
]

async function stateOf(userId: string) {
  const { rows } = await database.owner.query(
    `select (select json_agg(keys order by id) from api_keys as keys where user_id = $1) as keys,
            (select json_agg(secrets order by key_hash) from api_key_secrets as secrets where user_id = $1) as secrets`,
    [userId],
  )
  return rows
}

describe('a session that has ended', () => {
  it('after a sign-out everywhere, every call that creates or ends a secret is refused and changes nothing', async () => {
    const { supabase, caller, userId, key } = await person()
    await caller.keys.create({ name: 'before' })
    await supabase.auth.signOut({ scope: 'global' })
    const before = await stateOf(userId)
    for (const [name, call] of CALLS) {
      const error = await call(caller, key).catch((error) => error)
      expect([name, error]).toMatchObject([name, { code: 'UNAUTHORIZED', reason: 'not_signed_in' }])
    }
    expect(await stateOf(userId)).toEqual(before)
  })

  it('after a sign-out, reads, edits, and disabling a key are possible until the access token expires', async () => {
    const { supabase, caller, key } = await person()
    await supabase.auth.signOut()
    expect((await caller.keys.usage()).data).toMatchObject([{ id: key.id, creditsUsed: 0 }])
    expect((await caller.billing.get()).account).toMatchObject({ plan: 'free' })
    expect(await caller.auth.provision()).toMatchObject({ defaultKey: null })
    await caller.keys.update({ id: key.id, name: 'renamed' })
    expect(await caller.keys.disable({ id: key.id })).toMatchObject({ status: 'disabled' })
  })

  it('ends only the session of the sign-out: another session of the same user still works', async () => {
    const { supabase, caller, ctx } = await person()
    const { data } = await supabase.auth.getUser()
    const other = createClient(auth.supabaseUrl, auth.publishableKey, { auth: { persistSession: false } })
    const second = await other.auth.signInWithPassword({ email: data.user?.email ?? '', password: 'a long password' })
    await supabase.auth.signOut({ scope: 'local' })
    await expect(caller.keys.create({ name: 'late' })).rejects.toMatchObject({ reason: 'not_signed_in' })
    const elsewhere = appRouter.createCaller({ ...ctx, authorization: `Bearer ${second.data.session?.access_token}` })
    expect(await elsewhere.keys.create({ name: 'second' })).toMatchObject({ name: 'second' })
  })

  it('a deleted user is refused', async () => {
    const { caller, userId } = await person()
    await database.owner.query('delete from auth.users where id = $1', [userId])
    await expect(caller.keys.create({ name: 'late' })).rejects.toMatchObject({ reason: 'not_a_member' })
    await expect(caller.auth.provision()).rejects.toMatchObject({ reason: 'not_signed_in' })
  })
})

// The auth server of the tests implements neither bans nor outages.
describe('other answers of Supabase Auth', () => {
  const closing: (() => void)[] = []
  afterEach(() => {
    for (const close of closing.splice(0)) close()
  })

  /** Returns a provisioned user whose session is checked at a stand-in with this answer. */
  async function checkedAt(answer: Parameters<typeof startAuthStandIn>[0], more: Partial<Context> = {}) {
    const { userId, defaultKey } = await provisioned(database)
    const standIn = await startAuthStandIn(answer)
    closing.push(standIn.close)
    const checkSession = createSessionChecker({ url: standIn.url, publishableKey: 'none' })
    const caller = appRouter.createCaller(contextOf(database, await accessToken(userId), { checkSession, ...more }))
    return { caller, userId, key: defaultKey, received: standIn.received }
  }
  const refusal = (status: number, code?: string): Answer => ({ status, body: { code: status, error_code: code, msg: 'raw' } })

  it.each([
    ['a banned user', refusal(403, 'user_banned')],
    ['a session that does not exist', refusal(403, 'session_not_found')],
    ['a user who does not exist', refusal(403, 'user_not_found')],
    ['a token that is not valid', refusal(403, 'bad_jwt')],
  ])('refuse %s with not_signed_in', async (_, answer) => {
    const { caller } = await checkedAt(() => answer)
    await expect(caller.keys.create({ name: 'x' })).rejects.toMatchObject({
      reason: 'not_signed_in',
      message: expect.not.stringContaining('raw'),
    })
  })

  it('a ban is noticed if an earlier version of Supabase Auth returns the banned user', async () => {
    let banned_until: string | undefined
    const { caller } = await checkedAt((request) => {
      const { status, body } = userOf(request)
      return { status, body: { ...(body as object), banned_until } }
    })
    await caller.keys.create({ name: 'x' })
    banned_until = new Date(Date.now() - 1_000).toISOString()
    await caller.keys.create({ name: 'x' })
    banned_until = '2999-01-01T00:00:00Z'
    await expect(caller.keys.create({ name: 'x' })).rejects.toMatchObject({ reason: 'not_signed_in' })
  })

  it('a user other than the one of the access token is refused', async () => {
    const { caller } = await checkedAt(() => ({ status: 200, body: { id: randomUUID(), email: 'x@example.com' } }))
    await expect(caller.keys.create({ name: 'x' })).rejects.toMatchObject({ reason: 'not_signed_in' })
  })

  it.each([
    ['a fault', refusal(500, 'unexpected_failure')],
    ['a gateway without an auth server', refusal(502)],
    ['too many requests', refusal(429, 'over_request_rate_limit')],
    ['a project over its quota', refusal(402)],
    ['a wrong publishable key', { status: 401, body: { message: 'Invalid API key' } }],
  ])('%s is auth_unavailable, and nothing changes', async (_, answer) => {
    const { caller, userId, key } = await checkedAt(() => answer)
    const before = await stateOf(userId)
    for (const [name, call] of CALLS) {
      const error = await call(caller, key).catch((error) => error)
      expect([name, error]).toMatchObject([name, { code: 'SERVICE_UNAVAILABLE', reason: 'auth_unavailable' }])
    }
    expect(await stateOf(userId)).toEqual(before)
  })

  it('an auth server that cannot be reached is auth_unavailable, and a key can still be disabled', async () => {
    const { userId, defaultKey } = await provisioned(database)
    const checkSession = createSessionChecker({ url: 'http://127.0.0.1:1', publishableKey: 'none' })
    const caller = appRouter.createCaller(contextOf(database, await accessToken(userId), { checkSession }))
    for (const [name, call] of CALLS) {
      const error = await call(caller, defaultKey).catch((error) => error)
      expect([name, error]).toMatchObject([name, { reason: 'auth_unavailable', retryAfterSeconds: 1 }])
    }
    expect(await caller.auth.provision()).toMatchObject({ defaultKey: null })
    expect(await caller.keys.disable({ id: defaultKey.id })).toMatchObject({ status: 'disabled' })
  })

  it('the auth server is asked for every call, because no answer is kept, and it gets the access token only in the header', async () => {
    const { caller, received } = await checkedAt(userOf)
    await caller.keys.create({ name: 'a' })
    await caller.keys.create({ name: 'b' })
    expect(received).toHaveLength(2)
    for (const { method, path, headers } of received) {
      expect([method, path]).toEqual(['GET', '/auth/v1/user'])
      expect(headers.authorization).toMatch(/^Bearer ey/)
    }
  })

  it('no connection to the database is in use while the auth server is asked', async () => {
    let inTransaction: number | undefined
    const { caller } = await checkedAt(async (request) => {
      const { rows } = await database.owner.query<{ count: string }>(
        "select count(*) from pg_locks join pg_stat_activity using (pid) where usename = 'keymeter_api' and datname = current_database()",
      )
      inTransaction = Number(rows[0]?.count)
      return userOf(request)
    })
    await caller.keys.create({ name: 'a' })
    expect(inTransaction).toBe(0)
  })
})
