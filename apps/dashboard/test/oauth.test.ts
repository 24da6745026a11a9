import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { answerAsProvider } from './answer-as-provider.ts'
import { testDashboard } from './person.ts'

const { auth, server, visit, signUp } = testDashboard({ settings: { OAUTH_PROVIDERS: 'github' } })

describe('a sign-in with an OAuth provider', () => {
  it('uses PKCE, returns to the page of the link, and leaves neither the code nor the verifier behind', async () => {
    const person = await signUp()
    const session = await person.page.evaluate(() => JSON.parse(localStorage.getItem('keymeter-session') ?? '{}'))
    const { page, complaints } = await visit()
    const received = await answerAsProvider(page, '?code=the-code', { ...session, expires_in: 3600 })
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
    // The page then knows the account, and remembers it in both storages.
    await page.getByText('Real time').waitFor()
    const kept = await page.evaluate(() => [...Object.keys(localStorage), ...Object.keys(sessionStorage)])
    expect(kept.sort()).toEqual(['keymeter-account', 'keymeter-account', 'keymeter-session'])
    expect(complaints).toEqual([])
  })

  it('that is refused leads to the sign-in page, which says so and keeps the page of the link', async () => {
    const { page } = await visit()
    await answerAsProvider(page, '?error=access_denied&error_description=no#error=access_denied', null)
    await page.goto(`${server.url}/usage?range=day`)
    await page.getByRole('button', { name: 'Continue with GitHub' }).click()
    await page.getByText('Signing in with the provider failed.').waitFor()
    expect(page.url()).toBe(`${server.url}/sign-in?next=%2Fusage%3Frange%3Dday`)
  })

  it.each([
    ['?error=access_denied&error_code=user_banned&error_description=User+is+banned', 'This account is blocked.'],
    ['?error=access_denied&error_code=signup_disabled&error_description=no', 'Signing up is disabled'],
    [
      '?error=access_denied&error_code=provider_email_needs_verification&error_description=no',
      'Your address is not confirmed yet.',
    ],
    ['?error=invalid_request&error_code=bad_oauth_state&error_description=no', 'This sign-in took too long'],
    ['?code=used', 'This sign-in took too long'],
  ])('that Supabase Auth refuses with %s leads to a page that says why', async (answer, text) => {
    const { page } = await visit()
    // Supabase Auth repeats an error of the query in the hash.
    await answerAsProvider(page, answer.startsWith('?error') ? `${answer}#${answer.slice(1)}&sb=` : answer, null)
    await page.goto(server.url)
    await page.getByRole('button', { name: 'Continue with GitHub' }).click()
    await page.getByText(text, { exact: false }).waitFor()
    expect(page.url()).toBe(`${server.url}/sign-in`)
  })

  it('is not started by a code in a link that somebody else has written', async () => {
    const { page } = await visit()
    const received = await answerAsProvider(page, '', null)
    await page.goto(`${server.url}/?code=the-code-of-a-stranger`)
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    expect(received.exchange).toBeNull()
    // The code is a part of the page of the link. It counts as no sign-in, so no sign-in has failed.
    expect(await page.getByText('Signing in with the provider failed.').count()).toBe(0)
    expect(new URL(page.url()).searchParams.get('next')).toBe('/?code=the-code-of-a-stranger')
  })
})
