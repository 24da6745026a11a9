import { execFileSync } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { freePort } from '@keymeter/local'
import { serverEnv, testAuth, testDatabase } from '@keymeter/local/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { accessToken, provision } from '../test/metering.ts'
import { type Main, startMain, startReadyMain } from '../test/start-main.ts'

const database = testDatabase()
const auth = testAuth(database)
let server: Main & { url: string }
beforeAll(async () => {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  server = {
    url,
    ...(await startReadyMain({ ...serverEnv(database, auth, port), ...auth.mailbox.serverEnv(), LOG_LEVEL: 'trace' }, url)),
  }
})
afterAll(() => void server?.child.kill('SIGKILL'))

const signUp = async (url: string, email: string) =>
  await fetch(`${url}/trpc/auth.signup`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email, password: 'a long password' }),
  })

describe('production server', () => {
  it('the production server does not start without its three required variables, and names each missing variable', async () => {
    const { ended, output } = startMain({})
    expect(await ended).toBe(1)
    for (const name of ['DATABASE_URL', 'SUPABASE_URL', 'SUPABASE_PUBLISHABLE_KEY'])
      expect(output()).toContain(`${name} is missing`)
    expect(output()).not.toContain('at ')
  })

  it('the production server serves the API, and the dashboard with a strict Content-Security-Policy, but no tRPC panel and no mailbox', async () => {
    const page = await fetch(server.url)
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'")
    expect(page.headers.get('cache-control')).toBe('no-cache')
    const html = await page.text()
    const script = /src="(\/assets\/[^"]+\.js)"/.exec(html)?.[1]
    expect((await fetch(server.url + script)).headers.get('cache-control')).toContain('immutable')
    expect((await fetch(`${server.url}/assets/none.js`)).status).toBe(404)
    expect(await (await fetch(`${server.url}/sign-up`)).text()).toBe(html)
    for (const path of ['/panel', '/dev/mail']) expect((await fetch(server.url + path)).status).toBe(404)
    expect((await signUp(server.url, 'main@example.com')).status).toBe(200)
  })

  it('the production server refuses a missing file of the dashboard like any other request, with a strict policy', async () => {
    const missing = await fetch(`${server.url}/assets/none.js`)
    expect(missing.headers.get('content-security-policy')).toBe("default-src 'none'; frame-ancestors 'none'")
    expect(await missing.json()).toMatchObject({ error: { data: { reason: 'procedure_not_found', httpStatus: 404 } } })
  })

  it('the production server serves no file outside the dashboard’s build', async () => {
    const html = await (await fetch(server.url)).text()
    for (const path of [
      '/../package.json',
      '/%2e%2e/package.json',
      '/assets/..%2f..%2fpackage.json',
      '/assets/%2e%2e/%2e%2e/package.json',
      '/.env',
      '//etc/passwd',
    ]) {
      const response = await fetch(server.url + path)
      const text = await response.text()
      expect(response.status === 404 || text === html).toBe(true)
    }
  })

  it('the production server starts no child process, and on SIGTERM it answers the open requests before it ends', async () => {
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const { child, ended } = await startReadyMain(serverEnv(database, auth, port), url)
    expect(execFileSync('sh', ['-c', `cat /proc/${child.pid}/task/*/children`], { encoding: 'utf8' }).trim()).toBe('')

    const inFlight = Array.from({ length: 10 }, async (_, i) => (await signUp(url, `last-${i}@example.com`)).status)
    await Promise.race(inFlight)
    child.kill('SIGTERM')
    expect(await ended).toBe(0)
    expect((await Promise.all(inFlight)).every((status) => status === 200)).toBe(true)
  })

  it('the production server is ready while every connection of the dashboard’s pool is in use', async () => {
    // So many calls wait for a connection that another call would have to wait for seconds.
    const customers = await Promise.all(
      Array.from({ length: 60 }, async () => await provision(server.url, auth.jwtSecret, await database.createUser())),
    )
    const session = await database.owner.connect()
    await session.query('begin')
    await session.query('select from billing_accounts where user_id = any($1::uuid[]) for update', [
      customers.map(({ userId }) => userId),
    ])
    const waitingSessions = async () => {
      const { rows } = await database.owner.query(
        'select distinct pid from pg_locks join pg_stat_activity using (pid) where not granted and datname = current_database()',
      )
      return rows.length
    }
    let isDone = false
    const calls = customers.map(async ({ userId }) => {
      const headers = { authorization: `Bearer ${accessToken(auth.jwtSecret, userId)}`, 'content-type': 'application/json' }
      while (!isDone) await fetch(`${server.url}/trpc/keys.create`, { method: 'POST', headers, body: '{"name":"waits"}' })
    })
    try {
      for (let n = 0; n < 3; n++) {
        await expect.poll(waitingSessions, { interval: 5 }).toBe(10)
        expect((await fetch(`${server.url}/readyz`)).status).toBe(200)
      }
    } finally {
      isDone = true
      await session.query('rollback')
      session.release()
    }
    await Promise.all(calls)
  })

  it('the production server warns at its start about a connection that is not encrypted', async () => {
    const port = await freePort()
    const env = { ...serverEnv(database, auth, port), SUPABASE_URL: 'http://auth.example' }
    const { child, ended, output, wrote } = startMain(env)
    await wrote(/"msg":"listening"/)
    expect(output().match(/set SUPABASE_URL to an https URL/g)).toHaveLength(1)
    child.kill('SIGTERM')
    await ended
    expect(server.output()).not.toContain('without encryption')
  })

  it.each([
    ['', '', 'sb_secret_x'],
    ['turnstile', 'site-key', auth.publishableKey],
  ])(
    'with the captcha “%s” and a secret key of the project, a sign-up uses the API key that makes Supabase Auth ask for it',
    async (CAPTCHA_PROVIDER, CAPTCHA_SITE_KEY, expected) => {
      const received: (string | string[] | undefined)[] = []
      const supabase = createServer(({ headers }, response) => {
        received.push(headers['apikey'])
        response.writeHead(422, { 'content-type': 'application/json' }).end('{"code":422,"error_code":"signup_disabled"}')
      })
      await new Promise<void>((resolve) => supabase.listen(0, '127.0.0.1', resolve))
      const port = await freePort()
      const url = `http://127.0.0.1:${port}`
      const SUPABASE_URL = `http://127.0.0.1:${(supabase.address() as AddressInfo).port}`
      const env = { ...serverEnv(database, auth, port), SUPABASE_URL, SUPABASE_SECRET_KEY: 'sb_secret_x' }
      const { child, ended } = await startReadyMain({ ...env, CAPTCHA_PROVIDER, CAPTCHA_SITE_KEY }, url)
      expect((await signUp(url, 'captcha@example.com')).status).toBe(403)
      // Supabase Auth asks for no captcha in a request with a secret key.
      expect(received).toEqual([expected])
      child.kill('SIGTERM')
      await ended
      supabase.close()
    },
  )

  it('the production server logs no key, token or password', async () => {
    const answer = (await (await signUp(server.url, 'secrets@example.com')).json()) as {
      result: { data: { session: { accessToken: string; refreshToken: string }; defaultKey: { secret: string } } }
    }
    const { session, defaultKey } = answer.result.data
    let lastId: string | null = null
    for (const path of ['keys.list', `keys.${defaultKey.secret}`, `${session.accessToken}`]) {
      const { headers } = await fetch(`${server.url}/trpc/${path}?key=${defaultKey.secret}`, {
        headers: { authorization: `Bearer ${session.accessToken}` },
      })
      lastId = headers.get('x-request-id')
    }
    await server.wrote(new RegExp(`"requestId":"${lastId}".*"call refused"`))
    for (const secret of [session.accessToken, session.refreshToken, defaultKey.secret, 'a long password'])
      expect(server.output()).not.toContain(secret)
  })
})
