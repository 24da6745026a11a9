import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { comeBackTo, PASSWORD, testDashboard } from './person.ts'

const { database, server, visit, signUp } = testDashboard()

const againOf = (page: Page) => page.getByRole('dialog', { name: 'Sign in again' })
const createOf = (page: Page) => page.getByRole('dialog', { name: 'Create a key' })

/** Opens the form for a new key and fills in its name. */
async function beginKey(page: Page, name: string): Promise<void> {
  await page.getByRole('button', { name: 'Create key' }).first().click()
  await createOf(page).getByLabel('Name').fill(name)
}

async function signInAgain(page: Page, password = PASSWORD): Promise<void> {
  await againOf(page).getByLabel('Password').fill(password)
  await againOf(page).getByRole('button', { name: 'Sign in', exact: true }).click()
}

/** Makes the server refuse every call of the page, as if it did not accept the token, until the returned function is called. */
async function refuseCalls(page: Page): Promise<() => Promise<void>> {
  const error = {
    message: 'not signed in',
    code: -32001,
    data: { httpStatus: 401, reason: 'not_signed_in', issues: [], requestId: 'r', retryAfterSeconds: null },
  }
  await page.route('**/trpc/**', async (route) => {
    const calls = new URL(route.request().url()).pathname.split(',').length
    await route.fulfill({ status: 401, json: Array.from({ length: calls }, () => ({ error })) })
  })
  return async () => await page.unroute('**/trpc/**')
}

describe('a session that has ended', () => {
  it('keeps the page and the half-typed form, sends no more calls, and the form works after the person has signed in again', async () => {
    const { page, saveSecret, row, complaints, email } = await signUp()
    await beginKey(page, 'half-typed')
    const accept = await refuseCalls(page)
    const bodies: { idempotencyKey?: string }[] = []
    page.on('request', (request) => {
      if (request.url().includes('keys.create')) bodies.push(request.postDataJSON()['0'])
    })
    await createOf(page).getByRole('button', { name: 'Create key' }).click()
    await againOf(page).waitFor()
    await againOf(page).getByText(email).waitFor()
    const calls: string[] = []
    page.on('request', (request) => request.url().includes('/trpc/') && calls.push(request.url()))
    await comeBackTo(page)
    await page.keyboard.press('Escape')
    await signInAgain(page, 'not the password')
    await againOf(page).getByText('This is not your current password.').waitFor()
    expect(calls).toEqual([])
    expect(page.url()).toBe(`${server.url}/`)

    await accept()
    await signInAgain(page)
    await againOf(page).waitFor({ state: 'detached' })
    expect(await createOf(page).getByLabel('Name').inputValue()).toBe('half-typed')
    await createOf(page).getByRole('button', { name: 'Create key' }).click()
    await saveSecret()
    await row('half-typed').waitFor()
    // The second press repeats the first request, so a key could not be created twice.
    expect(bodies).toHaveLength(2)
    expect(bodies[0]?.idempotencyKey).toMatch(/^[0-9a-f]{32}$/)
    expect(bodies[1]).toEqual(bodies[0])
    expect(complaints).toEqual([])
  })

  it('keeps the page, which nobody can read, if the person signs out in another tab, and goes on if the person signs in there', async () => {
    const { page } = await signUp()
    const other = await page.context().newPage()
    await other.goto(server.url)
    await beginKey(page, 'half-typed')
    await other.getByRole('button', { name: 'Sign out' }).click()
    await other.getByRole('heading', { name: 'Sign in' }).waitFor()
    await againOf(page).waitFor()
    // Every point of the page outside the dialog shows the backdrop.
    const seen = await page.evaluate(() =>
      [
        [5, 5],
        [innerWidth - 5, 5],
        [5, innerHeight - 5],
      ].map(([x = 0, y = 0]) => {
        const element = document.elementFromPoint(x, y)
        return element && getComputedStyle(element).backgroundColor
      }),
    )
    for (const color of seen) expect(color).toMatch(/^rgb\(\d+, \d+, \d+\)$/)
    const email = (await database.owner.query('select email from auth.users order by created_at desc limit 1')).rows[0].email
    await other.getByLabel('E-mail').fill(email)
    await other.getByLabel('Password').fill(PASSWORD)
    await other.getByRole('button', { name: 'Sign in', exact: true }).click()
    await againOf(page).waitFor({ state: 'detached' })
    expect(await createOf(page).getByLabel('Name').inputValue()).toBe('half-typed')
  })

  it('forgets the page and the form if another person signs in, or if the person leaves', async () => {
    const second = await signUp()
    const { page, row } = await signUp()
    const other = await page.context().newPage()
    await other.goto(server.url)
    await row('default').waitFor()
    await beginKey(page, 'half-typed')
    await other.getByRole('button', { name: 'Sign out' }).click()
    await againOf(page).waitFor()
    await other.getByLabel('E-mail').fill(second.email)
    await other.getByLabel('Password').fill(PASSWORD)
    await other.getByRole('button', { name: 'Sign in', exact: true }).click()
    await page.getByRole('banner').getByText(second.email, { exact: true }).waitFor()
    await againOf(page).waitFor({ state: 'detached' })
    expect(await createOf(page).count()).toBe(0)

    // The next person does not continue on this page with its filters.
    await page.goto(`${server.url}/?search=default`)
    await row('default').waitFor()
    await beginKey(page, 'another')
    await other.getByRole('button', { name: 'Sign out' }).click()
    await againOf(page).getByRole('button', { name: 'Leave this page' }).click()
    await page.getByRole('heading', { name: 'Sign in', exact: true }).waitFor()
    expect(page.url()).toBe(`${server.url}/sign-in`)
    expect(await createOf(page).count()).toBe(0)
  })
})

describe('the page after the sign-in', () => {
  it('is the page of the link that the person opened, and a link to another site leads to the first page', async () => {
    const { email, page: signedIn } = await signUp()
    const signIn = async (page: Page) => {
      await page.getByLabel('E-mail').fill(email)
      await page.getByLabel('Password').fill(PASSWORD)
      await page.getByRole('button', { name: 'Sign in', exact: true }).click()
    }
    const { page } = await visit()
    await page.goto(`${server.url}/usage?range=day`)
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    expect(new URL(page.url()).searchParams.get('next')).toBe('/usage?range=day')
    await page.getByRole('link', { name: 'Create an account' }).click()
    await page.getByRole('link', { name: 'Sign in' }).click()
    await signIn(page)
    await page.waitForURL(`${server.url}/usage?range=day`)
    for (const next of ['//example.com', 'https://example.com/', '/%5Cexample.com', '/.//example.com', 'javascript:alert(1)']) {
      const { page, row } = await visit()
      await page.goto(`${server.url}/sign-in?${new URLSearchParams({ next })}`)
      await signIn(page)
      await row('default').waitFor()
      expect(page.url()).toBe(`${server.url}/`)
      await signedIn.goto(`${server.url}/sign-in?${new URLSearchParams({ next })}`)
      await signedIn.waitForURL(`${server.url}/`)
    }
  })
})
