import { randomUUID } from 'node:crypto'
import { freePort } from '@keymeter/local'
import { serverEnv, testAuth, testDatabase } from '@keymeter/local/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startReadyMain } from '../test/start-main.ts'

const SIGN_UPS = 3
const KEY_CHANGES = 4
const WRONG_KEYS = 5

const database = testDatabase()
const auth = testAuth(database)
const started: (() => void)[] = []
afterAll(() => {
  for (const end of started) end()
})

/** Two processes of the server behind one trusted proxy, so that a test can choose the address of a client. */
const urls: string[] = []
beforeAll(async () => {
  for (let i = 0; i < 2; i += 1) {
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const env = {
      ...serverEnv(database, auth, port),
      TRUSTED_PROXY_HOPS: '1',
      SIGN_UPS_PER_ADDRESS_PER_HOUR: String(SIGN_UPS),
      KEY_CHANGES_PER_ACCOUNT_PER_HOUR: String(KEY_CHANGES),
      WRONG_SERVICE_KEYS_PER_ADDRESS_PER_HOUR: String(WRONG_KEYS),
    }
    const main = await startReadyMain(env, url)
    started.push(() => main.child.kill('SIGKILL'))
    urls.push(url)
  }
})

/** Calls a mutation at one of the two processes. */
async function call(procedure: string, input: object, { token = '', address = '192.0.2.1', process = 0 } = {}) {
  return await fetch(`${urls[process % 2]}/trpc/${procedure}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-forwarded-for': address, authorization: `Bearer ${token}` },
    body: JSON.stringify(input),
  })
}
const reasonOf = async (response: Response) => {
  const body = (await response.json()) as { error?: { data: { reason: string; retryAfterSeconds: number } } }
  return body.error?.data
}
async function signUp(address: string, process = 0) {
  return await call('auth.signup', { email: `${randomUUID()}@example.com`, password: 'a long password' }, { address, process })
}
async function person(address: string) {
  const { result } = (await (await signUp(address)).json()) as {
    result: { data: { session: { accessToken: string }; defaultKey: { id: string; secret: string } } }
  }
  return { token: result.data.session.accessToken, ...result.data.defaultKey }
}

/** A response that is refused by a limit has the status 429 and says twice when a retry can succeed. */
async function expectRefusal(response: Response, reason: string) {
  expect(response.status).toBe(429)
  const retryAfter = Number(response.headers.get('retry-after'))
  expect(await reasonOf(response)).toMatchObject({ reason, retryAfterSeconds: retryAfter })
  expect(retryAfter).toBeGreaterThan(3_000)
  expect(retryAfter).toBeLessThanOrEqual(3_600)
}

describe('limits over two processes', () => {
  it('exactly the allowed number of concurrent sign-ups from one network passes, and the others get Retry-After', async () => {
    const addresses = (i: number) => (i % 3 === 0 ? '198.51.100.7' : i % 3 === 1 ? '::ffff:198.51.100.7' : '198.51.100.7:80')
    const responses = await Promise.all(Array.from({ length: 20 }, async (_, i) => await signUp(addresses(i), i)))
    expect(responses.filter(({ status }) => status === 200)).toHaveLength(SIGN_UPS)
    for (const response of responses.filter(({ status }) => status !== 200)) await expectRefusal(response, 'too_many_attempts')
    const { rows } = await database.owner.query('select count(*)::int as accounts from billing_accounts')
    expect(rows).toEqual([{ accounts: SIGN_UPS }])
  })

  it('exactly the allowed number of concurrent changes of one account passes', async () => {
    const { token, id } = await person('203.0.113.1')
    const responses = await Promise.all(
      Array.from({ length: 12 }, async (_, i) => await call('keys.update', { id, name: `n${i}` }, { token, process: i })),
    )
    expect(responses.filter(({ status }) => status === 200)).toHaveLength(KEY_CHANGES)
    for (const response of responses.filter(({ status }) => status === 429))
      await expectRefusal(response, 'too_many_key_changes')
    expect((await call('keys.revoke', { id }, { token })).status).toBe(200)
  })

  it('wrong service keys are refused with 429 after the allowed number, and the right key still charges', async () => {
    const { secret } = await person('203.0.113.2')
    const charge = async (serviceKey: string, process: number) =>
      await call(
        'metering.charge',
        { key: secret, credits: 1, idempotencyKey: `a${process}` },
        {
          token: serviceKey,
          address: '203.0.113.3',
          process,
        },
      )
    for (let i = 0; i < WRONG_KEYS; i += 1) expect((await charge('wrong', i)).status).toBe(401)
    for (const process of [0, 1]) {
      await expectRefusal(await charge('wrong', process), 'too_many_attempts')
      expect((await charge(auth.serviceKey, process)).status).toBe(200)
    }
  })
})

describe('an export after the sign-out', () => {
  it('is refused, while reads are possible until the access token expires', async () => {
    const { token } = await person('203.0.113.4')
    const get = async (path: string) => await fetch(`${urls[0]}${path}`, { headers: { authorization: `Bearer ${token}` } })
    expect((await get('/export/usage.csv')).status).toBe(200)
    const signOut = await fetch(`${auth.supabaseUrl}/auth/v1/logout?scope=global`, {
      method: 'POST',
      headers: { apikey: auth.publishableKey, authorization: `Bearer ${token}` },
    })
    expect(signOut.status).toBe(204)
    const refused = await get('/export/usage.csv')
    expect(refused.status).toBe(401)
    expect(await reasonOf(refused)).toMatchObject({ reason: 'not_signed_in' })
    expect((await get('/trpc/keys.usage')).status).toBe(200)
  })
})
