import { BATCH_CALLS_MAX } from '@keymeter/contract'
import { testAuth, testDatabase } from '@keymeter/local/testing'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { accessToken } from '../test/metering.ts'
import { parseResponse, rawConnection } from '../test/raw-connection.ts'
import { testApp } from '../test/test-app.ts'
import { BODY_BYTES_MAX } from './http.ts'
import { SECURITY_HEADERS } from './security-headers.ts'

const database = testDatabase()
const auth = testAuth(database)
const app = testApp(database, auth)
/** A server that waits only shortly for a slow client. */
const impatient = testApp(database, auth, { patienceMs: 500 })
const logged = () => JSON.stringify(app.logged)
let url: string
beforeAll(() => {
  url = app.url
})

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
    for (const id of ids) expect(logged()).toContain(id)
  })

  it('at most two calls of an account use the database, the next ones are refused after their wait, and other accounts go on', async () => {
    const busy = await signUp()
    const other = await signUp()
    const headersOf = (person: typeof busy) => ({ ...json, authorization: `Bearer ${person.session.accessToken}` })
    const session = await database.owner.connect()
    await session.query('begin')
    await session.query('select from billing_accounts where user_id = $1 for update', [busy.user.id])
    const edit = (n: number) =>
      post('keys.update', JSON.stringify({ id: busy.defaultKey.id, name: `edit ${n}` }), headersOf(busy))
    const waitingSessions = async () => {
      const { rows } = await database.owner.query(
        'select distinct pid from pg_locks join pg_stat_activity using (pid) where not granted and datname = current_database()',
      )
      return rows.length
    }
    try {
      const edits = Array.from({ length: 9 }, (_, n) => edit(n))
      await expect.poll(waitingSessions).toBe(2)
      const batch = fetch(`${url}/trpc/keys.list,billing.get,audit.list?batch=1&input=%7B%7D`, { headers: headersOf(busy) })
      const balance = await fetch(`${url}/trpc/billing.get`, { headers: headersOf(other) })
      expect(balance.status).toBe(200)

      const refused = await Promise.any(edits)
      expect(refused.response.status).toBe(429)
      expect(refused.response.headers.get('retry-after')).toBe('1')
      expect(refused.body.error.data).toMatchObject({ reason: 'account_busy', retryAfterSeconds: 1 })
      expect(await waitingSessions()).toBeLessThanOrEqual(2)
      const statuses = (await Promise.all(edits)).map(({ response }) => response.status)
      // The two calls that use the database wait until the lock timeout of the server's role.
      expect(statuses.toSorted()).toEqual([...Array(7).fill(429), 503, 503])
      expect((await batch).status).toBe(429)
    } finally {
      await session.query('rollback')
      session.release()
    }
    expect((await edit(9)).response.status).toBe(200)
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
      expect(JSON.stringify(app.logged.at(-1))).toContain('keys.name does not exist')
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
    const chunk = `${(30_000).toString(16)}\r\n${'x'.repeat(30_000)}\r\n`
    const answer = await rawConnection(
      app.port,
      `POST /trpc/auth.signup HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n${chunk.repeat(3)}0\r\n\r\n`,
    ).closed
    expect(answer).toMatch(/^HTTP\/1.1 413/)
    expect(answer).toContain('"reason":"request_too_large"')
  })
})

describe('refusals over plain HTTP', () => {
  const bearer = async () => ({ authorization: `Bearer ${(await signUp()).session.accessToken}` })
  /** Requests without a connection pool, which accept every method. Resolves to the status, the headers and the parsed body. */
  async function send(method: string, path: string, headers: Record<string, string> = {}) {
    const lines = Object.entries({ host: 'x', connection: 'close', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
    const response = parseResponse(await rawConnection(app.port, `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`).closed)
    return { ...response, json: response.body.startsWith('{') ? JSON.parse(response.body) : null }
  }

  it('every method except GET, HEAD and POST is refused with 405 and the allowed methods, on every path', async () => {
    const paths = ['/trpc/keys.list', '/trpc', '/trpc/nope', '/livez', '/export/usage.csv', '/export', '/panel', '/', '/keys/x']
    for (const path of paths)
      for (const method of ['OPTIONS', 'TRACE', 'QUERY', 'PUT', 'PATCH', 'DELETE', 'PURGE', 'PROPFIND', 'FOO', 'get']) {
        const { status, headers, json } = await send(method, path)
        const allow = path.startsWith('/trpc') ? 'GET, HEAD, POST' : 'GET, HEAD'
        expect([method, path, status, headers.get('allow')]).toEqual([method, path, 405, allow])
        expect(json.error.data).toMatchObject({ reason: 'method_not_allowed', httpStatus: 405 })
      }
    expect((await send('POST', '/livez')).status).toBe(405)
    expect((await send('GET', '/trpc/auth.signup')).headers.get('allow')).toBe('POST')
    expect((await send('POST', '/trpc/keys.list', { ...json, 'content-length': '0' })).headers.get('allow')).toBe('GET, HEAD')
  })

  it('HEAD returns the status and the headers of GET, without a body, and ends the stream or export behind it', async () => {
    const { authorization } = await bearer()
    for (const [path, headers, expected] of [
      ['/livez', {}, 200],
      ['/readyz', {}, 200],
      ['/', {}, 200],
      ['/panel', {}, 404],
      ['/trpc/keys.list', { authorization }, 200],
      ['/trpc/keys.list', {}, 401],
      ['/trpc/nope', {}, 404],
      ['/trpc/auth.signup', {}, 405],
      ['/trpc/usage.watch', { authorization }, 200],
      ['/trpc/usage.watch', {}, 401],
      ['/export/usage.csv', { authorization }, 200],
      ['/export/usage.csv', {}, 401],
    ] as const) {
      const { status, body, headers: answered } = await send('HEAD', path, headers)
      expect([path, status, body]).toEqual([path, expected, ''])
      expect(answered.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
    }
    expect(app.api.usageWatch.size).toBe(0)
    expect(app.api.accountExports.size).toBe(0)
  })

  it('every response has the security headers, whatever answers it', async () => {
    const { authorization } = await bearer()
    for (const [path, status, headers] of [
      ['/livez', 200],
      ['/readyz', 200],
      ['/config.json', 200],
      ['/trpc/keys.list', 200, { authorization }],
      ['/trpc/keys.list', 401],
      ['/trpc/%', 400],
      ['/export/usage.csv', 200, { authorization }],
      ['/export/usage.csv', 401],
      ['/export/nope', 404],
      ['/panel', 404],
      ['/', 200],
      ['\\', 400],
    ] as const) {
      const response = await send('GET', path, headers)
      expect([path, response.status]).toEqual([path, status])
      for (const [name, value] of Object.entries(SECURITY_HEADERS))
        expect([path, name, response.headers.get(name)]).toEqual([path, name, value])
    }
    expect(SECURITY_HEADERS['strict-transport-security']).toBe('max-age=31536000; includeSubDomains')
  })

  it('no header turns the status of a refused call into a success', async () => {
    const jsonLines = 'application/jsonl'
    for (const headers of [
      { 'trpc-accept': jsonLines },
      { accept: jsonLines },
      { accept: `text/html, ${jsonLines}` },
      { accept: jsonLines.toUpperCase(), 'trpc-accept': 'x' },
      { accept: 'text/event-stream' },
      { 'x-http-method-override': 'HEAD' },
      { prefer: 'return=minimal' },
      { 'x-trpc-source': 'server' },
    ] as Record<string, string>[])
      for (const path of ['keys.list?batch=1', 'keys.list,billing.get?batch=1', 'keys.list', 'usage.watch']) {
        const { status, json } = await send('GET', `/trpc/${path}`, headers)
        expect([headers, path, status === 400 || status === 401]).toEqual([headers, path, true])
        if (status === 400) expect(json.error.message).toContain('use httpBatchLink')
      }
  })

  it('a stream that is refused before it starts has the status and the body of its error', async () => {
    const { status, headers, json } = await send('GET', '/trpc/usage.watch', { authorization: 'Bearer nonsense' })
    expect([status, headers.get('content-type')]).toEqual([401, 'application/json'])
    expect(json.error.data).toMatchObject({ reason: 'not_signed_in', requestId: headers.get('x-request-id') })
    const before = app.logged.length
    const input = encodeURIComponent(JSON.stringify({ lastEventId: 'x'.repeat(65) }))
    expect((await send('GET', `/trpc/usage.watch?input=${input}`, await bearer())).status).toBe(400)
    expect(app.logged.slice(before).filter(({ msg }) => msg === 'call refused')).toHaveLength(1)
  })

  it('a request whose host or URL is not valid is refused with a reason', async () => {
    for (const [bytes, status] of [
      ['GET / HTTP/1.1\r\nconnection: close\r\n\r\n', 400],
      ['GET / HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n', 400],
      ['GET http:// HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n', 400],
      ['GET /a\\b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n', 400],
      ['GET /trpc/%E0%A4%A HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n', 400],
    ] as const) {
      const response = parseResponse(await rawConnection(app.port, bytes).closed)
      expect([bytes, response.status]).toEqual([bytes, status])
      expect(JSON.parse(response.body).error.data.reason).toBe('bad_request')
    }
  })
})

describe('the log of refused calls', () => {
  const since = (count: number) => app.logged.slice(count).filter(({ msg, level }) => msg === 'call refused' && level === 30)

  it('each refused access token, service key and sign-up leaves exactly one line, with its origin and without the secret', async () => {
    const forged = accessToken('another secret, as long as the right one is', '00000000-0000-0000-0000-000000000001')
    const wrongKey = 'a wrong service key, which is long enough to be one'
    const refused = async (path: string, method: string, authorization: string, body?: object) => {
      const before = app.logged.length
      const response = await fetch(`${url}${path}`, {
        method,
        headers: { authorization, ...(body && json) },
        ...(body && { body: JSON.stringify(body) }),
      })
      expect(response.status).toBeGreaterThanOrEqual(400)
      const lines = since(before)
      expect([path, lines.length]).toEqual([path, 1])
      expect(lines[0]).toMatchObject({ clientAddress: '127.0.0.1', requestId: response.headers.get('x-request-id') })
      return [lines[0]?.['reason'], lines[0]?.['path']]
    }
    const charge = { key: 'km_dev_x', credits: 0 }
    const signedIn = await signUp()
    expect([
      await refused('/trpc/keys.list', 'GET', `Bearer ${forged}`),
      await refused('/trpc/keys.list,billing.get,audit.list?batch=1&input=%7B%7D', 'GET', `Bearer ${forged}`),
      await refused('/trpc/usage.watch', 'GET', `Bearer ${forged}`),
      await refused('/export/usage.csv', 'GET', `Bearer ${forged}`),
      await refused('/trpc/keys.create', 'POST', '', { name: 'x' }),
      await refused('/trpc/metering.charge', 'POST', `Bearer ${wrongKey}`, charge),
      await refused('/trpc/operator.suspend', 'POST', `Bearer ${forged}`, { accountId: signedIn.user.id }),
      await refused('/trpc/auth.signup', 'POST', '', { email: signedIn.user.email, password: 'another long password' }),
      await refused('/trpc/auth.signup', 'POST', '', { email: 'x', password: 'short-password-in-a-log' }),
    ]).toEqual([
      ['not_signed_in', 'keys.list'],
      // All calls of the batch are refused for the same reason, and the line names the first that was refused.
      ['not_signed_in', expect.stringMatching(/^(keys\.list|billing\.get|audit\.list)$/)],
      ['not_signed_in', 'usage.watch'],
      ['not_signed_in', '/export/usage.csv'],
      ['not_signed_in', 'keys.create'],
      ['service_key_invalid', 'metering.charge'],
      ['service_key_invalid', 'operator.suspend'],
      ['email_taken', 'auth.signup'],
      ['bad_request', 'auth.signup'],
    ])
    for (const secret of [forged, wrongKey, 'another long password', 'short-password-in-a-log'])
      expect(logged()).not.toContain(secret)
  })

  it('a call of a procedure that does not exist does not write its path, which can contain a secret', async () => {
    await fetch(`${url}/trpc/a-refresh-token`)
    await fetch(`${url}/export/a-refresh-token`)
    await fetch(`${url}/trpc/a-refresh-token`, { method: 'POST', body: 'x' })
    expect(logged()).not.toContain('a-refresh-token')
  })
})

describe('clients that are slow or disconnect', () => {
  it('200 requests whose body does not arrive are answered with 408, and leave no line above `debug`', async () => {
    const head = 'POST /trpc/auth.signup HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n'
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, n) => {
        const body = n % 2 ? 'content-length: 100\r\n\r\n{' : 'transfer-encoding: chunked\r\n\r\n5\r\n{'
        return parseResponse(await rawConnection(impatient.port, head + body).closed)
      }),
    )
    for (const { status, body } of answers)
      expect([status, JSON.parse(body).error.data.reason]).toEqual([408, 'request_too_slow'])
    expect((await fetch(`${impatient.url}/livez`)).status).toBe(200)
    expect(impatient.logged.filter(({ level }) => Number(level) > 20)).toEqual([])
  })

  it('clients of many accounts that send only a part of their bodies occupy no database connection', async () => {
    const slow = await Promise.all(Array.from({ length: 8 }, async () => await signUp()))
    const other = await signUp()
    const before = app.logged.length
    const half = slow.flatMap(({ session }) => {
      const head = `POST /trpc/keys.update HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${session.accessToken}\r\ncontent-type: application/json\r\n`
      return [0, 1].map(() => rawConnection(app.port, `${head}content-length: 400\r\n\r\n{"name":`))
    })
    await Promise.all(half.map(({ socket }) => new Promise((resolve) => socket.once('connect', resolve))))
    // With 16 occupied connections, these calls would wait for a connection in vain.
    for (let round = 0; round < 10; round++) {
      const headers = { ...json, authorization: `Bearer ${other.session.accessToken}` }
      expect((await fetch(`${url}/trpc/billing.get`, { headers })).status).toBe(200)
      const { response } = await post('keys.update', JSON.stringify({ id: other.defaultKey.id, name: `${round}` }), headers)
      expect(response.status).toBe(200)
    }
    for (const { socket } of half) socket.resetAndDestroy()
    await Promise.all(half.map(({ closed }) => closed))
    await expect
      .poll(() => app.logged.slice(before).filter(({ level }) => Number(level) <= 20).length)
      .toBeGreaterThanOrEqual(16)
    expect(app.logged.slice(before).filter(({ level }) => Number(level) > 20)).toEqual([])
  })

  it('200 requests whose client disconnects in the middle of the body leave no line above `debug`', async () => {
    const before = app.logged.length
    const head = 'POST /trpc/auth.signup HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n'
    const clients = Array.from({ length: 200 }, (_, n) =>
      rawConnection(app.port, `${head}${n % 2 ? 'content-length: 100\r\n\r\n{' : 'transfer-encoding: chunked\r\n\r\n5\r\n{'}`),
    )
    // The server has begun to read all bodies when it answers a later request.
    await Promise.all(clients.map(({ socket }) => new Promise((resolve) => socket.once('connect', resolve))))
    await fetch(`${url}/livez`)
    for (const [n, { socket }] of clients.entries()) n % 4 < 2 ? socket.resetAndDestroy() : socket.end()
    await Promise.all(clients.map(({ closed }) => closed))
    await expect.poll(() => app.logged.length - before).toBeGreaterThanOrEqual(200)
    expect(app.logged.slice(before).filter(({ level }) => Number(level) > 20)).toEqual([])
    expect((await fetch(`${url}/livez`)).status).toBe(200)
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

  it('the server answers 404 at /dev/mail, and at every other path below /dev, if it has no mailbox', async () => {
    for (const path of ['/dev', '/dev/mail', '/dev/mail/', '/dev/mail/x/html', '/dev/x'])
      expect([path, (await fetch(url + path)).status]).toEqual([path, 404])
  })

  it('the server serves the dashboard at every path that no other part of the server uses', async () => {
    expect(await (await fetch(`${url}/keys/anything`)).text()).toBe('the dashboard')
  })
})
