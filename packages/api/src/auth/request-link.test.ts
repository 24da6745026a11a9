import { createServer } from 'node:net'
import type { Db } from '@keymeter/db'
import { testAuth, testDatabase } from '@keymeter/local/testing'
import { callTRPCProcedure } from '@trpc/server'
import type { CompiledQuery } from 'kysely'
import { pino } from 'pino'
import { describe, expect, inject, it } from 'vitest'
import { type Answer, startAuthStandIn } from '../../test/auth-stand-in.ts'
import { contextOf } from '../../test/caller.ts'
import { CALLS, compareTimes, T_MAX } from '../../test/compare-times.ts'
import type { Context } from '../context.ts'
import { createLimits, NO_LIMITS } from '../limits/limits.ts'
import { appRouter } from '../router.ts'

const database = testDatabase()
const auth = testAuth(database, { emailConfirmation: true })

const KNOWN = 'known@example.com'
const UNKNOWN = 'unknown@example.com'
const PROCEDURES = ['requestPasswordReset', 'resendConfirmation'] as const
const RAW = 'raw sentence of Supabase'
const refused = (status: number, code?: string): Answer => ({ status, body: { code: status, error_code: code, msg: RAW } })
const supabaseAt = (url: string, secretKey: string | null = null) => ({ url, publishableKey: 'none', secretKey })

/** Returns the answer as the client gets it, or the fields of the error that the client gets. */
async function answerTo(procedure: (typeof PROCEDURES)[number], email: string, replace: Partial<Context>, next?: string) {
  const ctx = contextOf(database, null, { requestId: 'the-request', ...replace })
  const call = appRouter.createCaller(ctx).auth[procedure]
  return await call({ email, ...(next !== undefined && { next }) }).catch(({ reason, message, issues, retryAfterSeconds }) => ({
    reason,
    message,
    issues,
    retryAfterSeconds,
  }))
}

describe.each(PROCEDURES)('auth.%s', (procedure) => {
  it('answers with the same bytes for an address with an account and for an address without one', async () => {
    const supabase = { ...supabaseAt(auth.supabaseUrl), publishableKey: auth.publishableKey }
    const caller = appRouter.createCaller(contextOf(database, null, { supabase }))
    await caller.auth.signup({ email: `${procedure}-${KNOWN}`, password: 'a long password' })
    const answers = [
      await answerTo(procedure, `${procedure}-${KNOWN}`, { supabase }),
      await answerTo(procedure, `${procedure}-${UNKNOWN}`, { supabase }),
    ].map((answer) => JSON.stringify(answer))
    expect(answers).toEqual(['{"requestId":"the-request"}', '{"requestId":"the-request"}'])
  })

  it('sends the same requests and the same statements for both, and neither depends on what Supabase Auth knows', async () => {
    const supabase = await startAuthStandIn(({ body }) =>
      (body as { email: string }).email === KNOWN ? refused(429, 'over_email_send_rate_limit') : { status: 200, body: {} },
    )
    const uses: unknown[] = []
    const db = recordedDb(uses)
    const limits = createLimits(db, { ...NO_LIMITS, linkRequestsPerAddressPerHour: 99, linkRequestsPerMailboxPerHour: 99 })
    const trace = async (email: string) => {
      uses.length = 0
      supabase.received.length = 0
      const answer = JSON.stringify(await answerTo(procedure, email, { db, supabase: supabaseAt(supabase.url), limits }))
      const requests = supabase.received.map(({ method, path, body }) => ({
        method,
        path,
        body: { ...(body as object), email },
      }))
      return { answer, uses: [...uses], requests: JSON.parse(JSON.stringify(requests).replaceAll(email, 'the address')) }
    }
    const traces = [await trace(KNOWN), await trace(UNKNOWN)]
    expect(traces[0]).toEqual(traces[1])
    // The link must work without the verifier that PKCE would keep in one browser.
    expect(traces[0]?.requests).toMatchObject([{ method: 'POST', body: { email: 'the address', code_challenge: null } }])
    // One statement for each of the two limits.
    expect(traces[0]?.uses).toEqual([
      'executeQuery',
      expect.stringContaining('rate_limits'),
      'executeQuery',
      expect.stringContaining('rate_limits'),
    ])
    supabase.close()
  })

  it.each([
    [429, 'over_email_send_rate_limit'],
    [400, 'email_address_not_authorized'],
    [500, 'unexpected_failure'],
    [504, 'request_timeout'],
    [422, 'hook_timeout'],
    [403, 'user_banned'],
    [404, 'user_not_found'],
    [418, 'a_code_of_a_later_version'],
  ])(
    'answers as usual after %i %s, which Supabase Auth perhaps reports only for accounts, and logs it',
    async (status, code) => {
      const supabase = await startAuthStandIn(() => refused(status, code))
      const lines: Record<string, unknown>[] = []
      const log = pino({ level: 'debug' }, { write: (line) => lines.push(JSON.parse(line)) })
      expect(await answerTo(procedure, KNOWN, { supabase: supabaseAt(supabase.url), log })).toEqual({
        requestId: 'the-request',
      })
      expect(lines).toMatchObject([{ level: 40, msg: 'Supabase Auth sent no mail with a link' }])
      expect(JSON.stringify(lines)).not.toContain(KNOWN)
      supabase.close()
    },
  )

  it.each([
    [400, 'captcha_failed', 'captcha_failed'],
    [429, 'over_request_rate_limit', 'too_many_attempts'],
    [429, undefined, 'too_many_attempts'],
    [401, 'no_authorization', 'auth_unavailable'],
    [401, undefined, 'auth_unavailable'],
    [502, undefined, 'auth_unavailable'],
  ])(
    'after %i %s, which Supabase Auth reports for every address, refuses with %s in our own words',
    async (status, code, reason) => {
      const supabase = await startAuthStandIn(() => refused(status, code))
      for (const email of [KNOWN, UNKNOWN]) {
        const answer = await answerTo(procedure, email, { supabase: supabaseAt(supabase.url) })
        expect(answer).toMatchObject({ reason })
        expect(JSON.stringify(answer)).not.toContain(RAW)
      }
      supabase.close()
    },
  )

  it('answers auth_unavailable if the auth server cannot be reached', async () => {
    const answer = await answerTo(procedure, KNOWN, { supabase: supabaseAt('http://127.0.0.1:1') })
    expect(answer).toMatchObject({ reason: 'auth_unavailable', retryAfterSeconds: 1 })
  })

  it('answers as usual if the auth server accepts the request and does not answer, because only an account gets a mail', async () => {
    const silent = createServer((socket) => socket.on('error', () => {}))
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    const { port } = silent.address() as { port: number }
    expect(await answerTo(procedure, KNOWN, { supabase: supabaseAt(`http://127.0.0.1:${port}`) })).toEqual({
      requestId: 'the-request',
    })
    silent.close()
  })

  it('counts requests of a network and to a mailbox, however the address is written, and refuses the next one without a request', async () => {
    const supabase = await startAuthStandIn(() => ({ status: 200, body: {} }))
    const request = async (email: string, clientAddress: string, limits: Context['limits']) =>
      await answerTo(procedure, email, { supabase: supabaseAt(supabase.url), clientAddress, limits })
    const perMailbox = createLimits(database.db, { ...NO_LIMITS, linkRequestsPerMailboxPerHour: 2 })
    const mailbox = procedure.toLowerCase()
    const accepted = { requestId: 'the-request' }
    expect(await request(`${mailbox}.x@gmail.com`, '192.0.2.1', perMailbox)).toEqual(accepted)
    expect(await request(`${mailbox}x+tag@googlemail.com`, '192.0.2.2', perMailbox)).toEqual(accepted)
    expect(await request(`${mailbox}x@gmail.com`, '192.0.2.3', perMailbox)).toMatchObject({
      reason: 'too_many_attempts',
      message: 'Too many requests for a mail to this address: try again in 60 minutes.',
      retryAfterSeconds: 3_600,
    })
    const perAddress = createLimits(database.db, { ...NO_LIMITS, linkRequestsPerAddressPerHour: 2 })
    const network = procedure === 'requestPasswordReset' ? '2001:db8:1:7' : '2001:db8:1:8'
    for (const n of [1, 2]) expect(await request(`${n}@example.com`, `${network}::${n}`, perAddress)).toEqual(accepted)
    expect(await request('3@example.com', `${network}::3`, perAddress)).toMatchObject({
      reason: 'too_many_attempts',
      message: 'Too many requests for a mail from your network: try again in 60 minutes.',
    })
    expect(supabase.received).toHaveLength(4)
    supabase.close()
  })

  it('sends the token of the captcha, which Supabase Auth verifies, and none if the client has sent none', async () => {
    const supabase = await startAuthStandIn(() => ({ status: 200, body: {} }))
    const call = appRouter.createCaller(contextOf(database, null, { supabase: supabaseAt(supabase.url) })).auth[procedure]
    await call({ email: KNOWN, captchaToken: 'the-token' })
    await call({ email: KNOWN })
    const tokens = supabase.received.map(({ body }) => (body as { gotrue_meta_security: object }).gotrue_meta_security)
    expect(tokens).toEqual([{ captcha_token: 'the-token' }, {}])
    supabase.close()
  })

  it('sends the address of the client and the secret key, and a link to a page of this site only', async () => {
    const supabase = await startAuthStandIn(() => ({ status: 200, body: {} }))
    const replace = { supabase: supabaseAt(supabase.url, 'sb_secret_x'), clientAddress: '192.0.2.7' }
    await answerTo(procedure, KNOWN, { ...replace, publicUrl: 'https://keys.example' }, '/usage?range=day')
    await answerTo(procedure, KNOWN, { ...replace, publicUrl: null }, '/usage?range=day')
    for (const next of ['//evil.example', 'https://evil.example', '/\\evil.example'])
      expect(await answerTo(procedure, KNOWN, { ...replace, publicUrl: 'https://keys.example' }, next)).toMatchObject({
        message: expect.stringContaining('Use a path of this site'),
      })
    expect(supabase.received.map(({ path }) => new URL(path, supabase.url).searchParams.get('redirect_to'))).toEqual([
      'https://keys.example/usage?range=day',
      null,
    ])
    for (const { headers } of supabase.received)
      expect(headers).toMatchObject({ apikey: 'sb_secret_x', 'sb-forwarded-for': '192.0.2.7' })
    supabase.close()
  })
})

/** Returns a database handle that adds to `uses` each use of the handle, and the text of each statement. */
function recordedDb(uses: unknown[]): Db {
  return new Proxy(database.db, {
    get: (target, name) => {
      uses.push(name)
      const value = Reflect.get(target, name)
      if (name !== 'executeQuery') return value
      return async (query: CompiledQuery) => {
        uses.push(query.sql)
        return await target.executeQuery(query)
      }
    },
  })
}

describe.runIf(inject('isSoak'))('the time of an answer', () => {
  it.each(['signup', ...PROCEDURES] as const)(
    'auth.%s takes as long for a known address as for an unknown one',
    async (procedure) => {
      const supabase = await startAuthStandIn(() => ({
        status: 200,
        body: { id: '00000000-0000-4000-8000-000000000000', aud: 'authenticated', email: KNOWN, identities: [] },
      }))
      const limits = createLimits(database.db, {
        ...NO_LIMITS,
        signUpsPerAddressPerHour: 1_000_000,
        signUpsPerMailboxPerHour: 1_000_000,
        linkRequestsPerAddressPerHour: 1_000_000,
        linkRequestsPerMailboxPerHour: 1_000_000,
      })
      const ctx = contextOf(database, null, { supabase: supabaseAt(supabase.url), limits })
      await database.owner.query(
        'insert into auth.users (id, email, email_confirmed_at) values (gen_random_uuid(), $1, now()) on conflict do nothing',
        [KNOWN],
      )
      const call = (email: string) => async () =>
        await callTRPCProcedure({
          router: appRouter,
          path: `auth.${procedure}`,
          getRawInput: async () => ({ email, ...(procedure === 'signup' && { password: 'a long password' }) }),
          ctx,
          type: 'mutation',
          signal: undefined,
          batchIndex: 0,
        })
      const t = await compareTimes(call(KNOWN), call(UNKNOWN))
      console.log(`auth.${procedure}: t = ${t.toFixed(2)} over ${CALLS} calls`)
      expect(Math.abs(t)).toBeLessThan(T_MAX)
      supabase.close()
    },
  )
})
