import { randomUUID } from 'node:crypto'
import { createServer as createHttpServer, type IncomingHttpHeaders } from 'node:http'
import { createServer } from 'node:net'
import { createDb } from '@keymeter/db'
import { type TestAuth, testAuth, testDatabase } from '@keymeter/local/testing'
import { createClient } from '@supabase/supabase-js'
import { pino } from 'pino'
import { describe, expect, it } from 'vitest'
import { startAuthStandIn } from '../../test/auth-stand-in.ts'
import { contextOf } from '../../test/caller.ts'
import type { Context } from '../context.ts'
import { createLimits, NO_LIMITS } from '../limits/limits.ts'
import { findAccount } from '../operator/find-account.ts'
import { appRouter } from '../router.ts'
import { createAccessTokenVerifier } from './verify-access-token.ts'

const database = testDatabase()
const auth = testAuth(database)

const supabaseOf = ({ supabaseUrl, publishableKey }: TestAuth) => ({ url: supabaseUrl, publishableKey, secretKey: null })
const anyone = (replace: Partial<Context> = {}) =>
  appRouter.createCaller(contextOf(database, null, { supabase: supabaseOf(auth), ...replace }))
const bearerOf = (token: string) =>
  appRouter.createCaller(contextOf(database, token, { verifyAccessToken: createAccessTokenVerifier(auth) }))
const someone = () => ({ email: `${randomUUID()}@example.com`, password: 'a long password' })

/** Returns a logger, and an array with the lines that it has logged. */
function recorder() {
  const lines: Record<string, unknown>[] = []
  return { lines, log: pino({ level: 'debug' }, { write: (line) => lines.push(JSON.parse(line)) }) }
}

describe('auth.signup', () => {
  it('signs up at the real auth server and returns a working session and the default key', async () => {
    const person = someone()
    const { user, session, defaultKey, requestId } = await anyone().auth.signup(person)
    expect(user.email).toBe(person.email)
    expect(requestId).toMatch(/^[0-9a-f-]{36}$/)
    expect(defaultKey).toMatchObject({ name: 'default', keyType: 'dev', secret: expect.stringMatching(/^km_dev_/) })
    expect(Date.parse(session?.expiresAt ?? '')).toBeGreaterThan(Date.now())

    const caller = bearerOf(session?.accessToken ?? '')
    expect((await caller.keys.list()).data).toMatchObject([{ id: defaultKey?.id, name: 'default' }])
    expect((await caller.billing.get()).account).toMatchObject({ plan: 'free', creditsPerCycle: 1000 })
    expect((await caller.auth.provision()).defaultKey).toBeNull()

    const browser = createClient(auth.supabaseUrl, auth.publishableKey, { auth: { persistSession: false } })
    expect((await browser.auth.signInWithPassword(person)).data.user?.id).toBe(user.id)
    await browser.auth.signOut()
  })

  it('refuses an e-mail address that is already taken, and does not change the account of that address', async () => {
    const person = someone()
    await anyone().auth.signup(person)
    await expect(anyone().auth.signup(person)).rejects.toMatchObject({
      code: 'CONFLICT',
      reason: 'email_taken',
      issues: [{ field: 'email' }],
    })
    await expect(anyone().auth.signup({ ...person, email: person.email.toUpperCase() })).rejects.toMatchObject({
      reason: 'email_taken',
    })
  })

  it.each([
    ['bücher.example', 'BÜCHER.example.', 'xn--bcher-kva.example'],
    ['例え.jp', '例え。jp', 'xn--r8jz45g.jp'],
    ['почта.рф', 'ПОЧТА.рф', 'xn--80a1acny.xn--p1ai'],
  ])('an address at %s signs up, and all spellings of its domain are one user', async (written, other, ascii) => {
    const [name, password] = [randomUUID(), 'a long password']
    const { user, session } = await anyone().auth.signup({ email: `${name}@${written}`, password })
    expect(user.email).toBe(`${name}@${ascii}`)
    expect((await bearerOf(session?.accessToken ?? '').billing.get()).account).toMatchObject({ creditsPerCycle: 1000 })
    for (const domain of [other, ascii]) {
      const again = anyone().auth.signup({ email: `${name}@${domain}`, password })
      await expect(again).rejects.toMatchObject({ reason: 'email_taken' })
    }
    for (const domain of [written, other, ascii]) expect(await findAccount(database.ownerDb, `${name}@${domain}`)).toBe(user.id)

    const browser = createClient(auth.supabaseUrl, auth.publishableKey, { auth: { persistSession: false } })
    const signedIn = await browser.auth.signInWithPassword({ email: `${name}@${ascii}`, password })
    expect(signedIn.data.user?.id).toBe(user.id)
    await browser.auth.signOut()
  })

  it('the limit for a mailbox counts all spellings of its domain together', async () => {
    const limits = createLimits(database.db, { ...NO_LIMITS, signUpsPerMailboxPerHour: 2 })
    const signUp = async (domain: string) =>
      await anyone({ limits }).auth.signup({ email: `limited@${domain}`, password: 'a long password' })
    await signUp('bücher.example')
    await expect(signUp('xn--bcher-kva.example')).rejects.toMatchObject({ reason: 'email_taken' })
    await expect(signUp('BÜCHER.example.')).rejects.toMatchObject({ reason: 'too_many_attempts' })
  })

  it('creates one account and one key for 20 concurrent sign-ups with one address, and each refused sign-up gets email_taken', async () => {
    const person = someone()
    const results = await Promise.allSettled(Array.from({ length: 20 }, async () => await anyone().auth.signup(person)))
    const succeeded = results.filter((result) => result.status === 'fulfilled')
    expect(succeeded.length).toBeGreaterThanOrEqual(1)
    const refusals = results.flatMap((result) => (result.status === 'rejected' ? [result.reason.reason] : []))
    for (const reason of refusals) expect(reason).toBe('email_taken')
    const keys = await database.owner.query(
      'select count(*) from api_keys join auth.users on users.id = user_id where email = $1',
      [person.email],
    )
    expect(keys.rows).toEqual([{ count: '1' }])
  })

  it.each([
    [{ email: 'nonsense', password: 'a long password' }, 'email'],
    [{ email: `${'x'.repeat(250)}@example.com`, password: 'a long password' }, 'email'],
    [{ email: '用户@example.com', password: 'a long password' }, 'email'],
    [{ email: 'someone@\u200d.example', password: 'a long password' }, 'email'],
    [{ email: 'someone@[127.0.0.1]', password: 'a long password' }, 'email'],
    [{ email: 'someone@example.com', password: 'short' }, 'password'],
    [{ email: 'someone@example.com', password: 'é'.repeat(37) }, 'password'],
    [{ email: 'someone@example.com', password: 'with a NUL \0 in it' }, 'password'],
  ])('refuses %j and names the field', async (input, field) => {
    await expect(anyone().auth.signup(input)).rejects.toMatchObject({
      code: 'BAD_REQUEST',
      message: expect.stringContaining(field),
    })
    expect((await database.owner.query('select 1 from auth.users where email = $1', [input.email])).rows).toEqual([])
  })

  it('returns no key and logs a warning if the server’s role cannot insert keys, and auth.provision creates the key later', async () => {
    const person = someone()
    const { lines, log } = recorder()
    await database.owner.query('revoke insert on public.api_keys from keymeter_api')
    await database.owner.query(
      'revoke insert (user_id, name, key_type, created_at, expires_at, credit_limit, created_by, is_service) on public.api_keys from keymeter_api',
    )
    try {
      const signedUp = await anyone({ log: log.child({ requestId: 'the-request' }) }).auth.signup(person)
      expect(signedUp.session).not.toBeNull()
      expect(signedUp.defaultKey).toBeNull()
      expect(lines).toMatchObject([
        { level: 40, requestId: 'the-request', userId: signedUp.user.id, msg: expect.stringContaining('provisioning failed') },
      ])
      // The transaction could not create the key, so it also rolled back the account.
      expect(
        (await database.owner.query('select 1 from billing_accounts where user_id = $1', [signedUp.user.id])).rows,
      ).toEqual([])

      await database.owner.query(
        'grant insert (user_id, name, key_type, created_at, expires_at, credit_limit, created_by, is_service) on public.api_keys to keymeter_api',
      )
      const healed = await bearerOf(signedUp.session?.accessToken ?? '').auth.provision()
      expect(healed.defaultKey).toMatchObject({ name: 'default', keyType: 'dev' })
    } finally {
      await database.owner.query(
        'grant insert (user_id, name, key_type, created_at, expires_at, credit_limit, created_by, is_service) on public.api_keys to keymeter_api',
      )
    }
  })

  it('succeeds, but returns no key, if the database is down', async () => {
    const db = createDb('postgresql://keymeter_api:none@127.0.0.1:1/none', () => {})
    const signedUp = await anyone({ db }).auth.signup(someone())
    expect(signedUp).toMatchObject({ defaultKey: null, session: { accessToken: expect.any(String) } })
    expect((await bearerOf(signedUp.session?.accessToken ?? '').auth.provision()).defaultKey).not.toBeNull()
    await db.destroy()
  })

  it('answers auth_unavailable if the auth server is down, closes the connection or sends an invalid response', async () => {
    for (const answer of [
      null,
      '',
      'HTTP/1.1 502 Bad Gateway\r\ncontent-length: 3\r\n\r\nbad',
      'HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\n{}',
    ]) {
      const server = createServer((socket) => socket.once('data', () => socket.end(answer ?? '')).on('error', () => {}))
      const port = await new Promise<number>((resolve) =>
        server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
      )
      if (answer === null) await new Promise((resolve) => server.close(resolve))
      const down = { url: `http://127.0.0.1:${port}`, publishableKey: 'none', secretKey: null }
      await expect(anyone({ supabase: down }).auth.signup(someone())).rejects.toMatchObject({
        code: 'SERVICE_UNAVAILABLE',
        reason: 'auth_unavailable',
      })
      server.close()
    }
  })
})

describe('auth.signup in a project with e-mail confirmation', () => {
  const database = testDatabase()
  const auth = testAuth(database, { emailConfirmation: true })
  const anyone = () => appRouter.createCaller(contextOf(database, null, { supabase: supabaseOf(auth) }))

  it('returns no session and provisions nothing, for a new address and for an address that is taken', async () => {
    const person = someone()
    expect(await anyone().auth.signup(person)).toMatchObject({ user: { email: person.email }, session: null, defaultKey: null })
    // If an address is already taken, Supabase returns an invented user without a session, or refuses to send another mail within
    // a minute. The auth server of the tests refuses too. Both must look like a first sign-up.
    const again = await anyone().auth.signup(person)
    expect(again).toEqual({
      user: { id: expect.stringMatching(/^[0-9a-f-]{36}$/), email: person.email },
      session: null,
      defaultKey: null,
      requestId: expect.any(String),
    })
    expect(Object.keys(again)).toEqual(Object.keys(await anyone().auth.signup(someone())))
    expect(
      (
        await database.owner.query(
          'select (select count(*) from billing_accounts) as accounts, (select count(*) from api_keys) as keys',
        )
      ).rows,
    ).toEqual([{ accounts: '0', keys: '0' }])
  })

  it('returns another invented id for each sign-up, so that two sign-ups do not show whether the address was taken', async () => {
    const person = someone()
    const { user } = await anyone().auth.signup(person)
    const { rows } = await database.owner.query<{ id: string }>('select id from auth.users where email = $1', [person.email])
    expect(rows).toHaveLength(1)
    expect(user.id).not.toBe(rows[0]?.id)
    // Supabase Auth returns the same id for each sign-up with an address that is not confirmed yet.
    const unconfirmed = { id: randomUUID(), aud: 'authenticated', role: '', email: 'Free@example.com', identities: [] }
    const supabase = await startAuthStandIn(() => ({ status: 200, body: unconfirmed }))
    const caller = appRouter.createCaller(
      contextOf(database, null, { supabase: { url: supabase.url, publishableKey: 'key', secretKey: null } }),
    )
    const signUp = async () => (await caller.auth.signup({ email: 'Free@example.com', password: 'a long password' })).user
    const users = [await signUp(), await signUp()]
    expect(new Set([unconfirmed.id, ...users.map(({ id }) => id)]).size).toBe(3)
    expect(users.map(({ email }) => email)).toEqual(['free@example.com', 'free@example.com'])
    supabase.close()
  })

  it('provisions nothing for the invented user that Supabase returns for an address that is taken', async () => {
    const received: IncomingHttpHeaders[] = []
    const supabase = createHttpServer((request, response) => {
      received.push(request.headers)
      response.setHeader('content-type', 'application/json')
      response.end(
        JSON.stringify({ id: randomUUID(), aud: 'authenticated', role: '', email: 'taken@example.com', identities: [] }),
      )
    })
    await new Promise<void>((resolve) => supabase.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(supabase.address() as { port: number }).port}`
    const caller = appRouter.createCaller(
      contextOf(database, null, { supabase: { url, publishableKey: 'key', secretKey: null }, clientAddress: '192.0.2.7' }),
    )
    const answer = await caller.auth.signup({ email: 'taken@example.com', password: 'a long password' })
    expect(answer).toMatchObject({ session: null, defaultKey: null })
    // Supabase reads the address of the client from this header and limits the rate of each address, if the project accepts
    // the header.
    expect(received).toMatchObject([{ 'sb-forwarded-for': '192.0.2.7' }])
    expect((await database.owner.query('select from billing_accounts')).rows).toEqual([])
    supabase.close()
  })
})
