import { createHash } from 'node:crypto'
import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { testDashboard } from './person.ts'

const { auth, server, visit, signUp } = testDashboard({ settings: { OAUTH_PROVIDERS: 'github' } })

/**
 * Answers in place of Supabase Auth and the provider, because the provider is a real site: `answer` is added to the URL to which
 * Supabase Auth redirects. A code is exchanged for `session`. Returns what Supabase Auth received.
 */
async function withProvider(page: Page, answer: string, session: object | null) {
  const received: { authorize: URL | null; exchange: Record<string, string> | null } = { authorize: null, exchange: null }
  await page.route('**/auth/v1/authorize*', async (route) => {
    received.authorize = new URL(route.request().url())
    const target = received.authorize.searchParams.get('redirect_to') ?? ''
    await route.fulfill({ status: 302, headers: { location: target + answer } })
  })
  await page.route('**/auth/v1/token?grant_type=pkce', async (route) => {
    received.exchange = route.request().postDataJSON()
    await route.fulfill({ headers: { 'access-control-allow-origin': '*' }, json: session })
  })
  return received
}

describe('a sign-in with an OAuth provider', () => {
  it('uses PKCE, returns to the page of the link, and leaves neither the code nor the verifier behind', async () => {
    const person = await signUp()
    const session = await person.page.evaluate(() => JSON.parse(localStorage.getItem('keymeter-session') ?? '{}'))
    const { page, complaints } = await visit()
    const received = await withProvider(page, '?code=the-code', { ...session, expires_in: 3600 })
    await page.goto(`${server.url}/usage?range=day`)
    const provider = page.getByRole('button', { name: 'Continue with GitHub' })
    await provider.waitFor()
    // A provider that is not configured is not shown.
    expect(await page.getByRole('button', { name: /^Continue with/ }).count()).toBe(1)
    await provider.click()
    await page.getByText(person.email, { exact: true }).waitFor()
    await page.waitForURL(`${server.url}/usage?range=day`)
    expect(received.authorize?.origin).toBe(new URL(auth.supabaseUrl).origin)
    const { searchParams } = received.authorize ?? new URL(server.url)
    expect(searchParams.get('provider')).toBe('github')
    expect(searchParams.get('redirect_to')).toBe(server.url)
    const { auth_code, code_verifier = '' } = received.exchange ?? {}
    expect(auth_code).toBe('the-code')
    expect(createHash('sha256').update(code_verifier).digest('base64url')).toBe(searchParams.get('code_challenge'))
    const kept = await page.evaluate(() => [...Object.keys(localStorage), ...Object.keys(sessionStorage)])
    expect(kept).toEqual(['keymeter-session'])
    expect(complaints).toEqual([])
  })

  it('that is refused leads to the sign-in page, which says so and keeps the page of the link', async () => {
    const { page } = await visit()
    await withProvider(page, '?error=access_denied&error_description=no#error=access_denied', null)
    await page.goto(`${server.url}/usage?range=day`)
    await page.getByRole('button', { name: 'Continue with GitHub' }).click()
    await page.getByText('Signing in with the provider failed.').waitFor()
    expect(page.url()).toBe(`${server.url}/sign-in?next=%2Fusage%3Frange%3Dday`)
  })

  it('is not started by a code in a link that somebody else has written', async () => {
    const { page } = await visit()
    const received = await withProvider(page, '', null)
    await page.goto(`${server.url}/?code=the-code-of-a-stranger`)
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    expect(received.exchange).toBeNull()
    // The code is a part of the page of the link. It counts as no sign-in, so no sign-in has failed.
    expect(await page.getByText('Signing in with the provider failed.').count()).toBe(0)
    expect(new URL(page.url()).searchParams.get('next')).toBe('/?code=the-code-of-a-stranger')
  })
})
