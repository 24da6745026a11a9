import { TOTP } from 'otpauth'
import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { answerAsProvider } from './answer-as-provider.ts'
import { ALL_RULES, violationsOn } from './axe.ts'
import { PASSWORD, type Person, testDashboard } from './person.ts'

const { auth, database, server, signUp, ageSignIn } = testDashboard({
  secondFactor: true,
  settings: { OAUTH_PROVIDERS: 'google,github' },
})

const againOf = (page: Page) => page.getByRole('dialog', { name: 'Sign in again' })
const questionOf = (page: Page) => page.getByRole('dialog', { name: 'Confirm that it is you' })
const createOf = (page: Page) => page.getByRole('dialog', { name: 'Create a key' })

/** Creates a person who has only signed in with GitHub. */
async function signUpWithGitHub(): Promise<Person> {
  const person = await signUp()
  await database.owner.query("update auth.identities set provider = 'github' where user_id = $1", [person.accountId])
  await forgetIdentities(person)
  return person
}

/** The page reads the identities of the user again, because its access token seems to be old. */
async function forgetIdentities({ page, row }: Person): Promise<void> {
  await page.evaluate(() => {
    const kept = JSON.parse(localStorage.getItem('keymeter-session') ?? '')
    localStorage.setItem('keymeter-session', JSON.stringify({ ...kept, expires_at: 1 }))
  })
  await page.reload()
  await row('default').waitFor()
}

/** Returns a new session of the person, as Supabase Auth returns it in exchange for the code of the provider. */
async function newSession({ email }: Pick<Person, 'email'>): Promise<object> {
  const response = await fetch(`${auth.supabaseUrl}/auth/v1/token?grant_type=password`, {
    method: 'POST',
    headers: { apikey: auth.publishableKey, 'content-type': 'application/json' },
    body: JSON.stringify({ email, password: PASSWORD }),
  })
  expect(response.status).toBe(200)
  return (await response.json()) as object
}

async function sessionsOf(userId: string): Promise<number> {
  return (await database.owner.query('select from auth.sessions where user_id = $1', [userId])).rows.length
}

/** Opens the form for a new key and fills in its name. */
async function beginKey(page: Page, name: string): Promise<void> {
  await page.getByRole('button', { name: 'Create key' }).first().click()
  await createOf(page).getByLabel('Name').fill(name)
}

/** Signs out in another tab, so that the session of the page ends. */
async function endSession(page: Page): Promise<void> {
  const other = await page.context().newPage()
  await other.goto(server.url)
  await other.getByRole('button', { name: 'Sign out' }).click()
  await againOf(page).waitFor()
  await other.close()
}

/** Presses the button of the provider. Returns the window that it opens. */
async function pressProvider(page: Page): Promise<Page> {
  const opened = page.context().waitForEvent('page')
  await page.getByRole('button', { name: 'Continue with GitHub' }).click()
  return await opened
}

/** Adds an authenticator app on the settings page. Returns a function that returns its current code. */
async function addApp(page: Page): Promise<() => string> {
  await page.getByRole('link', { name: /^Settings/ }).click()
  const section = page.getByRole('region', { name: 'Second factor' })
  await section.getByLabel('Name of the new app').fill('Phone')
  await section.getByRole('button', { name: 'Add an app' }).click()
  const secret = (await section.locator('code').textContent()) ?? ''
  const code = () => new TOTP({ secret }).generate()
  await section.getByLabel('Code from the app').fill(code())
  await section.getByRole('button', { name: 'Turn on' }).click()
  await section.getByRole('button', { name: 'Remove Phone…' }).waitFor()
  return code
}

const isClosed = async (opened: Page) => await expect.poll(() => opened.isClosed()).toBe(true)

describe('a person without a password', () => {
  it('signs in again in a window of the provider, and the page continues with its half-typed form', async () => {
    const person = await signUpWithGitHub()
    const { page, saveSecret, row, complaints } = person
    await beginKey(page, 'half-typed')
    await endSession(page)
    expect(await againOf(page).getByLabel('Password').count()).toBe(0)
    // The person has not signed in with Google.
    expect(await againOf(page).getByRole('button', { name: 'Continue with' }).allTextContents()).toEqual([
      'Continue with GitHub',
    ])
    expect(await violationsOn(page, ALL_RULES)).toEqual([])
    await answerAsProvider(page.context(), '?code=the-code', await newSession(person))
    await isClosed(await pressProvider(page))
    await againOf(page).waitFor({ state: 'detached' })
    expect(page.url()).toBe(`${server.url}/`)
    expect(await createOf(page).getByLabel('Name').inputValue()).toBe('half-typed')
    await createOf(page).getByRole('button', { name: 'Create key' }).click()
    await saveSecret()
    await row('half-typed').waitFor()
    const kept = await page.evaluate(() => [...Object.keys(localStorage), ...Object.keys(sessionStorage)].sort())
    expect(kept.filter((name) => /verifier|provider|next/.test(name))).toEqual([])
    expect(complaints).toEqual([])
  })

  it('confirms a change in a window of the provider, which sends the same call again and ends the previous session', async () => {
    const person = await signUpWithGitHub()
    const { page, saveSecret, row, complaints } = person
    await ageSignIn(person)
    await beginKey(page, 'half-typed')
    const inputs: unknown[] = []
    page.on('request', (request) => request.url().includes('keys.create') && inputs.push(request.postDataJSON()))
    await createOf(page).getByRole('button', { name: 'Create key' }).click()
    await questionOf(page).waitFor()
    await answerAsProvider(page.context(), '?code=the-code', await newSession(person))
    const opened = await pressProvider(page)
    await isClosed(opened)
    await saveSecret()
    await row('half-typed').waitFor()
    expect(inputs).toHaveLength(2)
    expect(inputs[1]).toEqual(inputs[0])
    expect(await sessionsOf(person.accountId)).toBe(1)
    expect(complaints).toEqual([])
  })

  it('stays signed in and keeps the form if another person signs in in the window, or if the provider refuses', async () => {
    const [person, other] = [await signUpWithGitHub(), await signUp()]
    const { page } = person
    await ageSignIn(person)
    await beginKey(page, 'half-typed')
    await createOf(page).getByRole('button', { name: 'Create key' }).click()
    await questionOf(page).waitFor()
    await answerAsProvider(page.context(), '?code=the-code', await newSession(other))
    const first = await pressProvider(page)
    await first.getByText('This is another person than the one of the page.', { exact: false }).waitFor()
    expect(await violationsOn(first, ALL_RULES)).toEqual([])
    // The session of the other person that the window has begun ends again.
    await expect.poll(async () => await sessionsOf(other.accountId)).toBe(1)
    await first.getByRole('button', { name: 'Close this window' }).click()
    await isClosed(first)

    await answerAsProvider(page.context(), '?error=access_denied#error=access_denied', null)
    const second = await pressProvider(page)
    await second.getByText('Signing in with the provider failed.', { exact: false }).waitFor()
    await second.close()
    const kept = await page.evaluate(() => JSON.parse(localStorage.getItem('keymeter-session') ?? '').user.email)
    expect(kept).toBe(person.email)
    await questionOf(page).getByRole('button', { name: 'Cancel' }).click()
    expect(await createOf(page).getByLabel('Name').inputValue()).toBe('half-typed')
  })

  it('gives the code of a second factor in the window, and the page shows its form only then', async () => {
    const person = await signUpWithGitHub()
    const { page } = person
    const code = await addApp(page)
    await page.getByRole('link', { name: 'API keys' }).click()
    await beginKey(page, 'half-typed')
    await endSession(page)
    await answerAsProvider(page.context(), '?code=the-code', await newSession(person))
    const opened = await pressProvider(page)
    await opened.getByLabel('Code').fill('000000')
    await opened.getByRole('button', { name: 'Continue' }).click()
    await opened.getByText('This code is wrong or has expired.', { exact: false }).waitFor()
    expect(await violationsOn(opened, ALL_RULES)).toEqual([])
    expect(await againOf(page).isVisible()).toBe(true)
    await opened.getByLabel('Code').fill(code())
    await opened.getByRole('button', { name: 'Continue' }).click()
    await againOf(page).waitFor({ state: 'detached' })
    expect(await createOf(page).getByLabel('Name').inputValue()).toBe('half-typed')
  })

  it('learns that the browser has blocked the window', async () => {
    const person = await signUpWithGitHub()
    const { page } = person
    await beginKey(page, 'half-typed')
    await endSession(page)
    await page.evaluate(() => Reflect.set(window, 'open', () => null))
    await page.getByRole('button', { name: 'Continue with GitHub' }).click()
    await page.getByText('Your browser has blocked the window.', { exact: false }).waitFor()
  })
})

describe('a person with a password and a second factor', () => {
  it('gives both in the dialog after the session has ended, and the page keeps its half-typed form', async () => {
    const person = await signUp()
    const { page } = person
    const code = await addApp(page)
    await page.getByRole('link', { name: 'API keys' }).click()
    await beginKey(page, 'half-typed')
    await endSession(page)
    await againOf(page).getByLabel('Password').fill(PASSWORD)
    await againOf(page).getByRole('button', { name: 'Sign in', exact: true }).click()
    await againOf(page).getByLabel('Code').fill(code())
    await againOf(page).getByRole('button', { name: 'Sign in', exact: true }).click()
    await againOf(page).waitFor({ state: 'detached' })
    expect(await createOf(page).getByLabel('Name').inputValue()).toBe('half-typed')
  })
})
