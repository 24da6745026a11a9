import { execFileSync } from 'node:child_process'
import { freePort } from '@keymeter/local'
import { serverEnv, testAuth, testDatabase } from '@keymeter/local/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Main, startMain, startReadyMain } from '../test/start-main.ts'

const database = testDatabase()
const auth = testAuth(database)
let server: Main & { url: string }
beforeAll(async () => {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  server = { url, ...(await startReadyMain({ ...serverEnv(database, auth, port), LOG_LEVEL: 'trace' }, url)) }
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

  it('the production server serves the API, and the dashboard with a strict Content-Security-Policy, but no tRPC panel', async () => {
    const page = await fetch(server.url)
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'")
    expect(page.headers.get('cache-control')).toBe('no-cache')
    const html = await page.text()
    const script = /src="(\/assets\/[^"]+\.js)"/.exec(html)?.[1]
    expect((await fetch(server.url + script)).headers.get('cache-control')).toContain('immutable')
    expect((await fetch(`${server.url}/assets/none.js`)).status).toBe(404)
    expect(await (await fetch(`${server.url}/sign-up`)).text()).toBe(html)
    expect((await fetch(`${server.url}/panel`)).status).toBe(404)
    expect((await signUp(server.url, 'main@example.com')).status).toBe(200)
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
