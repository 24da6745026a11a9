import { createServer, type Server } from 'node:http'
import { connect } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import {
  createAccessTokenVerifier,
  createLimits,
  createSessionChecker,
  Metering,
  NO_LIMITS,
  UsageWatch,
} from '@keymeter/api/server'
import { BATCH_CALLS_MAX } from '@keymeter/contract'
import { ping } from '@keymeter/db'
import { testAuth, testDatabase } from '@keymeter/local/testing'
import fc from 'fast-check'
import { Hono } from 'hono'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BODY_BYTES_MAX, createHttpApp } from './http.ts'
import type { HttpEnv } from './http-env.ts'

const database = testDatabase()
const auth = testAuth(database)
const logged: string[] = []
let server: Server
let url: string

beforeAll(async () => {
  const log = pino({ level: 'debug' }, { write: (line) => logged.push(line) })
  const app = createHttpApp({
    api: {
      db: database.db,
      log,
      supabase: { url: auth.supabaseUrl, publishableKey: auth.publishableKey, secretKey: null },
      verifyAccessToken: createAccessTokenVerifier(auth),
      checkSession: createSessionChecker({ url: auth.supabaseUrl, publishableKey: auth.publishableKey }),
      limits: createLimits(database.db, NO_LIMITS),
      freeCredits: 'after_confirmation',
      keyBrand: 'km',
      serviceKey: auth.serviceKey,
      metering: new Metering({ db: database.db, keyBrand: 'km', log }),
      usageWatch: new UsageWatch(log),
    },
    settings: { supabaseUrl: auth.supabaseUrl, supabasePublishableKey: auth.publishableKey, googleSignIn: false },
    trustedProxyHops: 0,
    dashboard: new Hono<HttpEnv>().get('*', (c) => c.html('the dashboard')),
    isReady: () => ping(database.db).then(() => true),
  })
  server = createServer(getRequestListener(app.fetch))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as { port: number }).port}`
})
afterAll(() => server.close())

const json = { 'content-type': 'application/json' }
/** A parsed response body of any shape. The tests assert the shape. */
type Json = ReturnType<typeof JSON.parse>
const parse = async (response: Response): Promise<Json> => await response.json()

async function post(path: string, body: string, headers: Record<string, string> = json) {
  const response = await fetch(`${url}/trpc/${path}`, { method: 'POST', headers, body })
  return { response, body: await parse(response) }
}

let people = 0
async function signUp() {
  const { body } = await post(
    'auth.signup',
    JSON.stringify({ email: `person-${people++}@example.com`, password: 'a long password' }),
  )
  return body.result.data
}

describe('API over plain HTTP', () => {
  it('the API serves every step from sign-up to usage to a client without a library', async () => {
    const { session, defaultKey } = await signUp()
    const headers = { ...json, authorization: `Bearer ${session.accessToken}` }
    const created = await post('keys.create', JSON.stringify({ name: 'curl', keyType: 'prod' }), headers)
    expect(created.body.result.data).toMatchObject({
      name: 'curl',
      keyType: 'prod',
      secret: expect.stringMatching(/^km_prod_/),
    })
    const charge = await fetch(`${url}/trpc/metering.charge`, {
      method: 'POST',
      headers: { authorization: `Bearer ${auth.serviceKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ key: defaultKey.secret, credits: 12, idempotencyKey: 'curl-1', operation: 'search' }),
    })
    expect((await parse(charge)).result.data).toMatchObject({
      verdict: 'charged',
      credits: 12,
      remaining: 988,
      keyId: defaultKey.id,
    })
    const usage = await parse(await fetch(`${url}/trpc/keys.usage`, { headers }))
    expect(usage.result.data.data.map((key: { name: string; creditsUsed: number }) => [key.name, key.creditsUsed])).toEqual([
      ['curl', 0],
      ['default', 12],
    ])
  })

  it('the API puts the request id of an error into the body, the header and the log', async () => {
    const ids = new Set<string>()
    const answers = [
      await post('auth.signup', '{"email":"x"}'),
      await post('auth.signup', '{'),
      await post('nope', '{}'),
      await post('keys.create', '{"name":"x"}'),
      await post('keys.create', 'name=x', { 'content-type': 'application/x-www-form-urlencoded' }),
      await post('auth.signup', JSON.stringify({ email: 'x'.repeat(BODY_BYTES_MAX) })),
      await post(
        `${Array(BATCH_CALLS_MAX + 1)
          .fill('keys.list')
          .join(',')}?batch=1`,
        '{}',
      ),
    ]
    for (const { response, body } of answers) {
      const { data } = (Array.isArray(body) ? body[0] : body).error
      expect(data.requestId).toMatch(/^[0-9a-f-]{36}$/)
      expect(response.headers.get('x-request-id')).toBe(data.requestId)
      ids.add(data.requestId)
    }
    expect(ids.size).toBe(answers.length)
    expect(answers.map(({ response }) => response.status)).toEqual([400, 400, 404, 401, 415, 413, 400])
    for (const id of ids) expect(logged.join('')).toContain(id)
  })

  it('all calls of an HTTP batch have the same request id, and each call has its own result', async () => {
    const { session } = await signUp()
    const response = await fetch(`${url}/trpc/keys.list,keys.nope?batch=1&input=%7B%7D`, {
      headers: { authorization: `Bearer ${session.accessToken}` },
    })
    const [list, nope] = await parse(response)
    expect(response.status).toBe(207)
    expect(list.result.data.requestId).toBe(nope.error.data.requestId)
  })

  it('the API accepts an HTTP batch and a body of the maximum size, and refuses larger ones', async () => {
    const { session } = await signUp()
    const headers = { ...json, authorization: `Bearer ${session.accessToken}` }
    const batch = async (calls: number) =>
      await fetch(`${url}/trpc/${Array(calls).fill('keys.list').join(',')}?batch=1&input=%7B%7D`, { headers })
    expect((await batch(BATCH_CALLS_MAX)).status).toBe(200)
    expect((await batch(BATCH_CALLS_MAX + 1)).status).toBe(400)
    const body = (bytes: number) => JSON.stringify({ name: 'x'.repeat(bytes - JSON.stringify({ name: '' }).length) })
    expect((await post('keys.create', body(BODY_BYTES_MAX), headers)).body.error.data.reason).toBe('bad_request')
    expect((await post('keys.create', body(BODY_BYTES_MAX + 1), headers)).body.error.data.reason).toBe('request_too_large')
  })

  it('the API logs the cause of an internal error, but does not send the cause to the client', async () => {
    const { session } = await signUp()
    await database.owner.query('alter table api_keys rename column name to renamed')
    try {
      const response = await fetch(`${url}/trpc/keys.list`, { headers: { authorization: `Bearer ${session.accessToken}` } })
      const body = await response.text()
      expect(response.status).toBe(500)
      expect(JSON.parse(body).error).toMatchObject({
        message: expect.stringContaining('on our side'),
        data: { reason: 'internal_error' },
      })
      expect(body).not.toMatch(/column|api_keys|select|stack|\.ts/i)
      expect(logged.at(-1)).toContain('keys.name does not exist')
    } finally {
      await database.owner.query('alter table api_keys rename column renamed to name')
    }
  })

  it('the API accepts only JSON bodies', async () => {
    for (const type of [
      'text/plain',
      'multipart/form-data; boundary=x',
      'application/octet-stream',
      'application/x-www-form-urlencoded',
      'application/jsonp',
      '',
    ]) {
      const { response, body } = await post('keys.create', '{"name":"x"}', type ? { 'content-type': type } : {})
      expect([type, response.status, body.error.data.reason]).toEqual([type, 415, 'content_type_not_supported'])
    }
    expect(
      (await post('keys.create', '{"name":"x"}', { 'content-type': 'application/json; charset=utf-8' })).response.status,
    ).toBe(401)
  })

  it('the API refuses a mutation with GET and a query with POST', async () => {
    const get = await fetch(
      `${url}/trpc/auth.signup?input=${encodeURIComponent('{"email":"a@example.com","password":"a long password"}')}`,
    )
    expect([get.status, (await parse(get)).error.data.reason]).toEqual([405, 'method_not_allowed'])
    expect((await post('keys.list', '{}')).response.status).toBe(405)
  })

  it('the API does not let caches store its answers, and does not let other sites read its answers', async () => {
    const { response } = await post(
      'auth.signup',
      JSON.stringify({ email: 'uncached@example.com', password: 'a long password' }),
    )
    expect(response.status).toBe(200)
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
    expect(response.headers.get('x-frame-options')).toBe('DENY')
    const preflight = await fetch(`${url}/trpc/keys.list`, {
      method: 'OPTIONS',
      headers: { origin: 'https://elsewhere.example', 'access-control-request-method': 'POST' },
    })
    expect([...preflight.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([])
  })

  it('the API answers hostile input with a 4xx status and a reason, and continues to work', async () => {
    const { session } = await signUp()
    const headers = { ...json, authorization: `Bearer ${session.accessToken}` }
    const bodies = fc.oneof(
      fc.json(),
      fc.string({ unit: 'binary' }),
      fc.record({ name: fc.anything(), keyType: fc.anything() }).map((value) => JSON.stringify(value) ?? ''),
      fc.constantFrom(
        '{"__proto__":{"name":"x"}}',
        '{"name":{"constructor":{"prototype":{}}}}',
        '['.repeat(10_000),
        '{"name":1e999}',
        '{"name":"\\u0000"}',
        '{"id":"\' or 1=1 --"}',
        'null',
        '',
      ),
    )
    await fc.assert(
      fc.asyncProperty(fc.constantFrom('keys.create', 'keys.revoke', 'auth.signup'), bodies, async (path, body) => {
        const answer = await post(path, body, headers)
        expect(answer.response.status).toBeLessThan(500)
        if (answer.response.status !== 200) expect(answer.body.error.data.reason).toBeTypeOf('string')
      }),
      { numRuns: 300 },
    )
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(
          'keys.list',
          'keys.usage',
          'auth.provision',
          'keys.list,keys.usage',
          '%00',
          '..%2f..',
          '__proto__',
          'constructor',
          'keys',
        ),
        fc.string(),
        async (path, input) => {
          const response = await fetch(`${url}/trpc/${path}?batch=1&input=${encodeURIComponent(input)}`, { headers })
          expect(response.status).toBeLessThan(500)
        },
      ),
      { numRuns: 200 },
    )
    expect((await fetch(`${url}/trpc/keys.list`, { headers })).status).toBe(200)
  })

  it('the API limits the size of a request body that has no content length', async () => {
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1')
      let received = ''
      socket
        .on('data', (data) => (received += data))
        .on('close', () => resolve(received))
        .on('error', () => resolve(received))
      socket.write(
        'POST /trpc/auth.signup HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n',
      )
      for (let i = 0; i < 3; i++) socket.write(`${(30_000).toString(16)}\r\n${'x'.repeat(30_000)}\r\n`)
      socket.write('0\r\n\r\n')
    })
    expect(answer).toMatch(/^HTTP\/1.1 413/)
    expect(answer).toContain('"reason":"request_too_large"')
  })
})

describe('paths of the server', () => {
  it('the server returns the settings of the sign-in page, but no secret, at /config.json', async () => {
    expect(await (await fetch(`${url}/config.json`)).json()).toEqual({
      supabaseUrl: auth.supabaseUrl,
      supabasePublishableKey: auth.publishableKey,
      googleSignIn: false,
    })
  })

  it('the server answers 200 at /livez and /readyz while the database answers', async () => {
    expect([(await fetch(`${url}/livez`)).status, (await fetch(`${url}/readyz`)).status]).toEqual([200, 200])
  })

  it('the server answers 404 at /panel if it has no tRPC panel', async () => {
    for (const path of ['/panel', '/panel/', '/panel/x']) expect((await fetch(url + path)).status).toBe(404)
  })

  it('the server serves the dashboard at every path that no other part of the server uses', async () => {
    expect(await (await fetch(`${url}/keys/anything`)).text()).toBe('the dashboard')
  })
})
