import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { AxeBuilder } from '@axe-core/playwright'
import { testAuth, testDatabase, testServer } from '@keymeter/local/testing'
import type { Page, Request } from 'playwright-core'
import { beforeEach, describe, expect, it } from 'vitest'
import { testBrowser } from './browser.ts'

const database = testDatabase()
const auth = testAuth(database)
const server = testServer(database, auth)
const browser = testBrowser()

const PASSWORD = 'a long password'
const DAY_MS = 86_400_000
let people = 0
let page: Page
/** What the page reports that nobody should see: errors on the console, and violations of its content policy. */
let complaints: string[]

beforeEach(async () => {
  page = await openPage()
  return async () => await page.context().close()
})

async function openPage(...options: Parameters<typeof browser.newPage>): Promise<Page> {
  const opened = await browser.newPage(...options)
  complaints = []
  opened.on('console', (message) => {
    // Chromium reports every answer over 399 here, the expected ones too.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) complaints.push(message.text())
  })
  opened.on('pageerror', (error) => complaints.push(error.message))
  return opened
}

async function signUp(on: Page = page): Promise<string> {
  const email = `person-${people++}@example.com`
  await on.goto(`${server.url}/sign-up`)
  await on.getByLabel('E-mail').fill(email)
  await on.getByLabel('Password').fill(PASSWORD)
  await on.getByRole('button', { name: 'Create account' }).click()
  await secretDialog(on).waitFor()
  return email
}

/** Signs in someone whom the auth server knows and Keymeter does not, as after Google. */
async function signInUnprovisioned(): Promise<void> {
  const email = `lazy-${people++}@example.com`
  await fetch(`${auth.supabaseUrl}/auth/v1/signup`, {
    method: 'POST',
    headers: { apikey: auth.publishableKey, 'content-type': 'application/json' },
    body: JSON.stringify({ email, password: PASSWORD }),
  })
  await page.goto(server.url)
  await page.getByLabel('E-mail').fill(email)
  await page.getByLabel('Password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
}

/** Calls as the company's backend does. */
async function asBackend(procedure: string, input: object): Promise<Record<string, unknown>> {
  const response = await fetch(`${server.url}/trpc/${procedure}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${auth.serviceKey}`, 'content-type': 'application/json' },
    body: JSON.stringify(input),
  })
  const { result } = (await response.json()) as { result?: { data: Record<string, unknown> } }
  if (result === undefined) throw new Error(`${procedure} answered ${response.status}`)
  return result.data
}

let requests = 0
const once = () => `request-${requests++}`

async function charge(key: string, credits: number): Promise<Record<string, unknown>> {
  const charged = await asBackend('metering.charge', { key, credits, idempotencyKey: once() })
  expect(charged).toMatchObject({ verdict: 'charged' })
  return charged
}

const secretDialog = (on: Page = page) => on.getByRole('dialog', { name: 'Save your secret' })
const row = (name: string) => page.getByRole('row').filter({ hasText: name })

/** Chooses from a key's menu. */
async function choose(key: string, action: string | RegExp): Promise<void> {
  await page.getByRole('button', { name: `Actions for ${key}` }).click()
  await page.getByRole('menuitem', { name: action }).click()
}

/** Reads the secret, copies it and closes the dialog. */
async function saveSecret(on: Page = page): Promise<string> {
  const dialog = secretDialog(on)
  await dialog.waitFor()
  const secret = await dialog.getByRole('textbox').inputValue()
  await dialog.getByRole('button', { name: /Copy/ }).click()
  await dialog.getByRole('button', { name: 'Done' }).click()
  await dialog.waitFor({ state: 'hidden' })
  return secret
}

/** As a field for a date and time takes it, in the browser's zone. */
function localText(moment: number): string {
  return new Date(moment).toLocaleString('sv-SE', { timeZone: 'Europe/Berlin' }).slice(0, 16).replace(' ', 'T')
}

const withClipboard = { permissions: ['clipboard-read', 'clipboard-write'] }

describe('a person in the browser', () => {
  it('signs up, finds account and default key, makes a prod key, sees spending, revokes, signs out and in', async () => {
    await page.context().close()
    page = await openPage(withClipboard)
    const email = await signUp()
    const secret = await saveSecret()
    expect(secret).toMatch(/^km_dev_[0-9A-Za-z]{55}$/)
    expect(await page.evaluate(async () => await navigator.clipboard.readText())).toBe(secret)

    await row('default').waitFor()
    expect(await row('default').textContent()).toMatch(/dev[\s\S]*km_dev_[\s\S]*Never used/)
    expect(await page.getByRole('main').textContent()).toMatch(/free[\s\S]*1,000/i)

    await page.getByRole('button', { name: 'Create key' }).first().click()
    const create = page.getByRole('dialog', { name: 'Create a key' })
    await create.getByLabel('Name').fill('Production')
    await create.getByRole('radio', { name: /prod/i }).check()
    await create.getByRole('button', { name: 'Create key' }).click()
    const production = await saveSecret()
    expect(production).toMatch(/^km_prod_/)
    await row('Production').waitFor()

    await charge(production, 1000)
    await page.reload()
    await row('Production').getByText('1,000').waitFor()
    await page.getByRole('alert').getByText('No credits are left: charges are refused.', { exact: false }).waitFor()

    await choose('default', 'Revoke…')
    const revoke = page.getByRole('alertdialog', { name: 'Revoke key' })
    expect(await revoke.getByRole('button', { name: 'Cancel' }).evaluate((button) => button === document.activeElement)).toBe(
      true,
    )
    await revoke.getByRole('button', { name: 'Revoke' }).click()
    await row('default').waitFor({ state: 'detached' })
    await expect.poll(async () => await page.evaluate(() => document.activeElement?.id)).toBe('keys')

    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    await page.getByLabel('E-mail').fill(email)
    await page.getByLabel('Password').fill('not the password')
    await page.getByRole('button', { name: 'Sign in', exact: true }).click()
    await page.getByText('Wrong e-mail address or password.').waitFor()
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Sign in', exact: true }).click()
    await row('Production').waitFor()
    expect(await row('default').count()).toBe(0)
    expect(complaints).toEqual([])
  })

  it('who comes without passing our sign-up, as from Google, finds account and key, and sees the secret once', async () => {
    await signInUnprovisioned()
    await secretDialog().waitFor()
    expect(await secretDialog().getByRole('textbox').inputValue()).toMatch(/^km_dev_/)
  })

  it('loses no secret when a key is made while the first one is still on its way', async () => {
    await page.context().close()
    page = await openPage(withClipboard)
    let letGo = () => {}
    const held = new Promise<void>((resolve) => {
      letGo = resolve
    })
    await page.route('**/trpc/auth.provision*', async (route) => {
      await held
      await route.continue()
    })
    await signInUnprovisioned()
    await page.getByRole('button', { name: 'Create key' }).first().click()
    await page.getByRole('dialog').getByLabel('Name').fill('mine')
    await page.getByRole('dialog').getByRole('button', { name: 'Create key' }).click()
    await secretDialog().getByText('mine').waitFor()
    await database.owner.query("delete from api_keys where name = 'mine'")
    letGo()
    await page.waitForResponse(/auth\.provision/)
    expect(await secretDialog().getByText('mine').isVisible()).toBe(true)
    await secretDialog().getByRole('button', { name: 'Copy secret' }).click()
    await secretDialog().getByRole('button', { name: 'Done' }).click()
    // The other one follows at once.
    await secretDialog().getByText('default').waitFor()
  })

  it('keeps an unsaved secret though the session ends meanwhile', async () => {
    await signUp()
    await page.route(
      '**/trpc/**',
      async (route) => await route.fulfill({ status: 401, contentType: 'application/json', body: '[]' }),
    )
    await page.evaluate(() => window.dispatchEvent(new Event('visibilitychange')))
    await page.getByText('Your session has expired.').waitFor({ state: 'attached' })
    expect(await secretDialog().getByRole('textbox').inputValue()).toMatch(/^km_dev_/)
  })

  it('is served whatever the browser says of its language', async () => {
    await page.addInitScript(() => Object.defineProperty(navigator, 'language', { value: 'en-US@posix' }))
    await page.goto(server.url)
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  })

  it('is told so when the page cannot start, and finds no blank one', async () => {
    await page.route('**/config.json', async (route) => await route.abort())
    await page.goto(server.url)
    await page.getByText('Keymeter cannot be reached at the moment.', { exact: false }).waitFor()
  })

  it('is asked before a secret that was not copied is lost', async () => {
    await signUp()
    await page.keyboard.press('Escape')
    await page.getByText("You won't see this secret again", { exact: false }).waitFor()
    await page.getByRole('button', { name: 'Keep open' }).click()
    expect(await secretDialog().isVisible()).toBe(true)
  })

  it('leaves no secret behind in the page once the dialog is closed', async () => {
    await page.context().close()
    page = await openPage(withClipboard)
    await signUp()
    const secret = await saveSecret()
    await row('default').waitFor()
    const kept = await page.evaluate(() =>
      JSON.stringify([document.documentElement.outerHTML, { ...localStorage }, { ...sessionStorage }, history.state]),
    )
    expect(kept).not.toContain(secret.slice(15))
    expect(page.url()).not.toContain(secret.slice(15))
  })

  it('is told what is wrong with the form, at the field', async () => {
    await page.goto(`${server.url}/sign-up`)
    await page.getByLabel('E-mail').fill('nonsense')
    await page.getByLabel('Password').fill('short')
    await page.getByRole('button', { name: 'Create account' }).click()
    await page.getByText('Enter an e-mail address').waitFor()
    await page.getByText('Use at least 8 characters').first().waitFor()
    expect(await page.getByLabel('E-mail').getAttribute('aria-invalid')).toBe('true')
  })

  it('sees Google as unavailable where it is not configured', async () => {
    await page.goto(`${server.url}/sign-in`)
    const google = page.getByRole('button', { name: 'Continue with Google' })
    expect((await google.getAttribute('aria-disabled')) ?? (await google.isDisabled())).toBeTruthy()
    await page.getByText(/not configured/i).waitFor()
  })

  it('who is signed out is taken to sign in, from anywhere', async () => {
    await page.goto(server.url)
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  })
})

describe('the owner of a key', () => {
  beforeEach(async () => {
    await page.context().close()
    page = await openPage(withClipboard)
  })

  it('renames it, limits it and lets it expire, and is told at the field what cannot be', async () => {
    await signUp()
    await saveSecret()
    await choose('default', 'Edit…')
    const edit = page.getByRole('dialog', { name: 'Edit key' })
    await edit.getByLabel('Name').fill('Renamed')
    await edit.getByLabel('Credit limit').fill('5oo')
    await edit.getByRole('button', { name: 'Save' }).click()
    await edit.getByText('Enter a whole number', { exact: false }).waitFor()
    await edit.getByLabel('Credit limit').fill('500')
    await edit.getByLabel('Expires').fill('2001-01-01T12:00')
    await edit.getByRole('button', { name: 'Save' }).click()
    await edit.getByText('Choose a moment in the future.').waitFor()
    expect(await edit.getByLabel('Expires').getAttribute('aria-invalid')).toBe('true')
    await edit.getByLabel('Expires').fill(localText(Date.now() + 3.5 * DAY_MS))
    await edit.getByRole('button', { name: 'Save' }).click()
    await edit.waitFor({ state: 'detached' })
    await row('Renamed').getByText('Expires in 3 days').waitFor()
    expect(await row('Renamed').textContent()).toContain('0 of 500')
    expect(await row('default').count()).toBe(0)

    // What is emptied is lifted; what is not touched stays, to the millisecond.
    const expiry = async () => (await database.owner.query("select expires_at from api_keys where name = 'Renamed'")).rows
    await database.owner.query("update api_keys set expires_at = expires_at + interval '7 ms' where name = 'Renamed'")
    const before = await expiry()
    await page.reload()
    await choose('Renamed', 'Edit…')
    await edit.getByLabel('Credit limit').fill('')
    await edit.getByRole('button', { name: 'Save' }).click()
    await edit.waitFor({ state: 'detached' })
    await expect.poll(async () => await row('Renamed').textContent()).not.toContain('of 500')
    expect(await expiry()).toEqual(before)
    expect(complaints).toEqual([])
  })

  it('does not lose its expiry to a date that is only half filled in', async () => {
    await signUp()
    await saveSecret()
    await choose('default', 'Edit…')
    const edit = page.getByRole('dialog', { name: 'Edit key' })
    await edit.getByLabel('Expires').fill(localText(Date.now() + 3.5 * DAY_MS))
    await edit.getByLabel('Expires').press('Backspace')
    await edit.getByRole('button', { name: 'Save' }).click()
    await edit.getByText('Enter both date and time, or nothing.').waitFor()
  })

  it('makes one with a limit and an end', async () => {
    await signUp()
    await saveSecret()
    await page.getByRole('button', { name: 'Create key' }).click()
    const create = page.getByRole('dialog', { name: 'Create a key' })
    await create.getByLabel('Name').fill('bounded')
    await create.getByText('More options').click()
    await create.getByLabel('Credit limit').fill('1500')
    await create.getByLabel('Expires').fill(localText(Date.now() + 2.5 * DAY_MS))
    await create.getByRole('button', { name: 'Create key' }).click()
    await saveSecret()
    await row('bounded').getByText('Expires in 2 days').waitFor()
    expect(await row('bounded').textContent()).toContain('0 of 1,500')
  })

  it('rotates its secret: a new one is shown, the old one works until its grace ends, or is ended', async () => {
    await signUp()
    const old = await saveSecret()
    await choose('default', 'Rotate secret…')
    const rotate = page.getByRole('dialog', { name: 'Rotate secret' })
    expect(await rotate.getByRole('radio', { name: '24 hours' }).isChecked()).toBe(true)
    await rotate.getByRole('radio', { name: '1 hour' }).check()
    await rotate.getByRole('button', { name: 'Rotate secret' }).click()
    const rotated = await saveSecret()
    expect(rotated).not.toBe(old)
    await row('default').getByText('Old secret works until').waitFor()
    await row('default')
      .getByText(`${rotated.slice(0, 15)}…`)
      .waitFor()

    await choose('default', 'Rotate secret…')
    await rotate.getByText('It ends at once.').waitFor()
    await page.keyboard.press('Escape')

    await row('default').getByRole('button', { name: 'End now' }).click()
    await page.getByRole('alertdialog').getByRole('button', { name: 'End now' }).click()
    await row('default').getByText('Old secret works until').waitFor({ state: 'detached' })
    expect(complaints).toEqual([])
  })

  it('loses neither secret when two rotations of it are on their way', async () => {
    await signUp()
    await saveSecret()
    let letGo = () => {}
    const held = new Promise<void>((resolve) => {
      letGo = resolve
    })
    await page.route(
      '**/trpc/keys.rotate*',
      async (route) => {
        await held
        await route.continue()
      },
      { times: 1 },
    )
    const rotate = page.getByRole('dialog', { name: 'Rotate secret' })
    await choose('default', 'Rotate secret…')
    await rotate.getByRole('button', { name: 'Rotate secret' }).click()
    await page.keyboard.press('Escape')
    await rotate.waitFor({ state: 'detached' })
    await choose('default', 'Rotate secret…')
    await rotate.getByRole('button', { name: 'Rotate secret' }).click()
    await secretDialog().waitFor()
    const answered = page.waitForResponse(/keys\.rotate/)
    letGo()
    await (await answered).finished()
    const first = await secretDialog().getByRole('textbox').inputValue()
    await secretDialog().getByRole('button', { name: 'Copy secret' }).click()
    await secretDialog().getByRole('button', { name: 'Done' }).click()
    await secretDialog().getByRole('button', { name: 'Copy secret' }).waitFor()
    expect(await secretDialog().getByRole('textbox').inputValue()).not.toBe(first)
    // The first one is not the current one any more: that it was copied says nothing of the second.
    await secretDialog().getByRole('button', { name: 'Done' }).click()
    await page.getByRole('button', { name: 'Close anyway' }).click()
    await row('default').getByText('Secret not saved?').waitFor()
  })

  it('gives back the focus to the menu’s button after a dialog, and reaches everything by keyboard', async () => {
    await signUp()
    await saveSecret()
    const actions = page.getByRole('button', { name: 'Actions for default' })
    await actions.focus()
    await page.keyboard.press('Enter')
    await page.getByRole('menuitem', { name: 'Edit…' }).waitFor()
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Enter')
    await page.getByRole('dialog', { name: 'Rotate secret' }).waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    await expect.poll(async () => await actions.evaluate((button) => button === document.activeElement)).toBe(true)
  })

  it('disables it, finds it among the disabled, and enables it', async () => {
    await signUp()
    await saveSecret()
    await choose('default', 'Disable')
    await row('default').getByText('Disabled').waitFor()
    await page.getByLabel('Status').selectOption('Active')
    await page.getByText('No keys match.').waitFor()
    await page.getByLabel('Status').selectOption('Disabled')
    await row('default').waitFor()
    expect(new URL(page.url()).search).toBe('?status=disabled')
    await page.reload()
    await row('default').waitFor()
    await choose('default', 'Enable')
    await page.getByRole('button', { name: 'Clear filters' }).click()
    await row('default').waitFor()
    expect(await row('default').getByText('Disabled').count()).toBe(0)
    expect(new URL(page.url()).search).toBe('')
  })

  it('finds a revoked key, with what it used, among the revoked', async () => {
    await signUp()
    await charge(await saveSecret(), 432)
    await choose('default', 'Revoke…')
    await page.getByRole('alertdialog').getByRole('button', { name: 'Revoke' }).click()
    await page.getByText('You have no live keys.', { exact: false }).waitFor()
    await page.getByLabel('Status').selectOption('Revoked')
    await row('default').getByText('432').waitFor()
    await row('default').getByText('Revoked').waitFor()
    expect(await row('default').getByRole('button').count()).toBe(0)
  })

  it('gets a new secret in place of one that was not saved, once', async () => {
    await signUp()
    const lost = await secretDialog().getByRole('textbox').inputValue()
    await secretDialog().getByRole('button', { name: 'Done' }).click()
    await page.getByRole('button', { name: 'Close anyway' }).click()
    await row('default').getByRole('button', { name: 'Get a new one' }).click()
    const secret = await saveSecret()
    expect(secret).not.toBe(lost)
    await row('default')
      .getByText(`${secret.slice(0, 15)}…`)
      .waitFor()
    await row('default').getByText('Secret not saved?').waitFor({ state: 'detached' })
    await page.reload()
    await row('default').waitFor()
    expect(await row('default').getByText('Secret not saved?').count()).toBe(0)
  })

  it('is told when the secret has been saved elsewhere meanwhile', async () => {
    await signUp()
    await secretDialog().getByRole('button', { name: 'Done' }).click()
    await page.getByRole('button', { name: 'Close anyway' }).click()
    await row('default').getByRole('button', { name: 'Get a new one' }).waitFor()
    await database.owner.query('update api_key_secrets set saved_at = now()')
    await row('default').getByRole('button', { name: 'Get a new one' }).click()
    const alert = page.getByRole('alert')
    await alert.getByText('has been saved, used or replaced', { exact: false }).waitFor()
    await alert.getByText('Request id').waitFor()
    await row('default').getByText('Secret not saved?').waitFor({ state: 'detached' })
  })

  it('gets the first secret though the answer that held it never arrived', async () => {
    await page.route('**/trpc/auth.provision*', async (route) => {
      await route.fetch()
      await route.abort()
    })
    await signInUnprovisioned()
    await page.getByText('Your account could not be set up yet.', { exact: false }).waitFor()
    await page.unroute('**/trpc/auth.provision*')
    await page.reload()
    await row('default').getByRole('button', { name: 'Get a new one' }).click()
    const secret = await saveSecret()
    expect(secret).toMatch(/^km_dev_[0-9A-Za-z]{55}$/)
    const saved = async () =>
      await database.owner.query(
        'select 1 from api_key_secrets where key_hash = sha256($1::bytea) and valid_until is null and saved_at is not null',
        [Buffer.from(secret)],
      )
    await expect.poll(async () => (await saved()).rowCount).toBe(1)
  })

  it('searches and sorts, and finds the list as it was after a reload and on the way back', async () => {
    const email = await signUp()
    await saveSecret()
    await database.owner.query(
      `insert into api_keys (user_id, name, key_type, key_prefix)
       select users.id, 'n' || lpad(n::text, 2, '0'), 'dev', 'km_dev_0000' || lpad(n::text, 4, '0')
       from auth.users, generate_series(1, 60) as n where email = $1`,
      [email],
    )
    await page.reload()
    const names = async () =>
      await page.locator('tbody tr').evaluateAll((rows) => rows.map((one) => one.textContent?.slice(0, 3)))
    await page.getByRole('button', { name: 'Load more' }).click()
    await expect.poll(async () => (await names()).length).toBe(61)
    expect(await page.getByRole('button', { name: 'Load more' }).count()).toBe(0)

    await page.getByLabel('Sort by').selectOption('Name')
    await expect.poll(async () => (await names()).slice(0, 2)).toEqual(['def', 'n01'])
    await page.getByLabel('Search').fill('N0')
    await expect.poll(async () => (await names()).length).toBe(9)
    expect(new URL(page.url()).search).toBe('?sort=name&search=N0')
    await page.reload()
    await expect.poll(async () => (await names()).at(0)).toBe('n01')
    expect(await page.getByLabel('Search').inputValue()).toBe('N0')
    await page.getByRole('link', { name: 'Activity' }).click()
    await page.getByRole('heading', { name: 'Activity' }).waitFor()
    await page.goBack()
    await expect.poll(async () => (await names()).length).toBe(9)
    await page.getByLabel('Search').fill('nothing like it')
    await page.getByText('No keys match.').waitFor()
    await page.getByRole('button', { name: 'Clear filters' }).click()
    await expect.poll(async () => (await names()).at(0)).toBe('def')
    expect(complaints).toEqual([])
  })

  it('finds a key by its whole secret, which never gets into an address or a request', async () => {
    await signUp()
    const secret = await saveSecret()
    await page.getByRole('button', { name: 'Actions for default' }).waitFor()
    const seen: string[] = []
    page.on('request', (request) => seen.push(request.url(), request.postData() ?? ''))
    page.on('framenavigated', (frame) => seen.push(frame.url()))
    await page.evaluate(async (text) => await navigator.clipboard.writeText(text), secret)
    await page.getByLabel('Search').focus()
    await page.keyboard.press('Control+V')
    expect(await page.getByLabel('Search').inputValue()).toBe(secret.slice(0, 15))
    await expect.poll(() => seen.some((url) => url.includes('keys.list') && url.includes(secret.slice(0, 15)))).toBe(true)
    await row('default').waitFor()
    expect(seen.join()).not.toContain(secret.slice(0, 16))
    // Who pastes it into the address bar has sent it themselves; it must not stay there.
    await page.goto(`${server.url}/?search=${secret}`)
    await row('default').waitFor()
    await expect.poll(() => page.url()).toBe(`${server.url}/?search=${secret.slice(0, 15)}`)
  })

  it('sees in the activity what was done, to which key and from where', async () => {
    await signUp()
    await saveSecret()
    await choose('default', 'Edit…')
    const edit = page.getByRole('dialog', { name: 'Edit key' })
    await edit.getByLabel('Name').fill('main')
    await edit.getByLabel('Credit limit').fill('500')
    await edit.getByRole('button', { name: 'Save' }).click()
    await edit.waitFor({ state: 'detached' })
    await page.getByRole('button', { name: 'Create key' }).click()
    await page.getByRole('dialog').getByLabel('Name').fill('other')
    await page.getByRole('dialog').getByRole('button', { name: 'Create key' }).click()
    await saveSecret()
    await row('other').getByText('Secret not saved?').waitFor({ state: 'detached' })

    await page.getByRole('link', { name: 'Activity' }).click()
    const entries = page.getByRole('list').getByRole('listitem')
    await entries.first().waitFor()
    expect(await page.getByRole('link', { name: 'Activity' }).getAttribute('aria-current')).toBe('page')
    const texts = async () => await entries.evaluateAll((items) => items.map((item) => item.querySelector('p')?.textContent))
    expect(await texts()).toEqual([
      'Secret saved · other',
      'Created · other',
      'Renamed from default to main, limit changed from none to 500 · main',
      'Secret saved · main',
      'Created · main',
    ])
    expect(await entries.first().textContent()).toMatch(/By you from [0-9a-f.:]+ · \S+ on Linux · request \S{8,}/)

    await page.getByLabel('Action').selectOption('Created')
    await expect.poll(texts).toEqual(['Created · other', 'Created · main'])
    await page.getByRole('link', { name: 'API keys' }).click()
    await choose('main', 'Activity')
    await expect.poll(async () => (await texts()).length).toBe(3)
    await page.getByLabel('Action').selectOption('Revoked')
    await page.getByText('No activity matches.').waitFor()
    expect(complaints).toEqual([])
  })
})

describe('the billing page', () => {
  beforeEach(async () => {
    await page.context().close()
    page = await openPage(withClipboard)
    await database.owner.query(
      "insert into plans (plan, credits_per_cycle) values ('pro', 5000), ('tiny', 100) on conflict do nothing",
    )
  })

  const main = async () => (await page.getByRole('main').textContent()) ?? ''
  const lines = async () =>
    await page
      .getByRole('table', { name: 'Ledger' })
      .locator('tbody tr')
      .evaluateAll((rows) => rows.map((one) => [...one.children].slice(1).map((cell) => cell.textContent ?? '')))
  const leftNow = async () => await page.getByRole('row', { name: /^Left now/ }).textContent()

  it('shows how the balance came to be, by lines that sum to exactly what is left', async () => {
    await signUp()
    const key = await saveSecret()
    const { chargeId, accountId } = await charge(key, 120)
    await charge(key, 1)
    await charge(key, 29)
    await asBackend('metering.refund', { chargeId, credits: 20, idempotencyKey: once() })
    await asBackend('metering.hold', { key, credits: 45, idempotencyKey: once() })
    await asBackend('operator.grantTopUp', { accountId, credits: 500, idempotencyKey: once(), note: 'Invoice 7' })
    await asBackend('operator.changePlan', { accountId, plan: 'pro' })
    const { account } = await asBackend('operator.changePlan', { accountId, plan: 'tiny' })
    expect(account).toMatchObject({ creditsRemaining: 5325 })

    await page.getByRole('link', { name: 'Billing' }).click()
    await page.getByRole('table', { name: 'Ledger' }).waitFor()
    expect(await page.title()).toBe('Billing · Keymeter')
    expect(await lines()).toEqual([
      ['Granted for the cycle', '+1,000', '1,000'],
      ['Top-up: Invoice 7', '+500', '1,500'],
      ['Change to the plan pro', '+4,000', '5,500'],
      ['Change to the plan tiny, no more credits in this cycle', '0', '5,500'],
      ['1 refund', '+20', '5,520'],
      ['3 charges', '−150', '5,370'],
      ['Held until settled or released', '−45', '5,325'],
    ])
    const sum = (await lines()).reduce(
      (total, [, credits = '']) => total + Number(credits.replace('−', '-').replace(',', '')),
      0,
    )
    expect(sum).toBe(5325)
    expect(await leftNow()).toBe('Left now5,325')
    expect(await main()).toMatch(
      /130of 5,000 \+ 500 top-up credits used this cycle.*5,325 left · 45 held .* changes to tiny on/,
    )
    const meter = page.getByRole('meter')
    expect(await meter.getAttribute('aria-valuetext')).toBe('130 of 5,000 + 500 top-up credits used, 45 held')
    expect(await meter.getAttribute('aria-valuemax')).toBe('5500')
    await page.getByRole('img', { name: 'Balance by day: 5,325 credits at first, 5,325 at most, 5,325 at last' }).waitFor()
    expect(complaints).toEqual([])
  })

  it('goes back a cycle and forth again, which the address keeps and the focus survives', async () => {
    const email = await signUp()
    const key = await saveSecret()
    await database.owner.query(
      `update billing_accounts set billing_cycle_anchor = start, billing_cycle_start = start
         from auth.users, date_trunc('milliseconds', now() - interval '1 month 3 days') as start
        where user_id = users.id and email = $1`,
      [email],
    )
    await charge(key, 70)
    await page.getByRole('link', { name: 'Billing' }).click()
    await expect.poll(leftNow).toBe('Left now930')
    const previous = page.getByRole('button', { name: 'Previous cycle' })
    const next = page.getByRole('button', { name: 'Next cycle' })
    const current = page.getByRole('button', { name: 'Current cycle' })
    const states = async () => await Promise.all([previous, next, current].map(async (one) => await one.isEnabled()))
    expect(await states()).toEqual([true, false, false])
    await previous.focus()
    await page.keyboard.press('Enter')
    const before = [
      ['Granted for the cycle', '+1,000', '1,000'],
      ['Lapsed: granted and not used', '−1,000', '0'],
    ]
    await expect.poll(lines).toEqual(before)
    await page.getByRole('row', { name: 'Left at the end of the cycle 0' }).waitFor()
    expect(await states()).toEqual([false, true, true])
    expect(await previous.evaluate((button) => button === document.activeElement)).toBe(true)
    await page.reload()
    await expect.poll(lines).toEqual(before)
    await next.click()
    await expect.poll(leftNow).toBe('Left now930')
    expect(new URL(page.url()).search).toBe('')
    await page.goBack()
    await expect.poll(lines).toEqual(before)

    await page.goto(`${server.url}/billing?cycle=2001-01-01T00:00:00.000Z`)
    await page.getByRole('alert').getByText('No billing cycle of this account starts then', { exact: false }).waitFor()
    await current.click()
    await expect.poll(leftNow).toBe('Left now930')
    await page.goto(`${server.url}/billing?cycle=yesterday`)
    await expect.poll(leftNow).toBe('Left now930')
    expect(complaints).toEqual([])
  })

  it('shows the alerts that fired, and says that the account is suspended', async () => {
    await signUp()
    const { accountId } = await charge(await saveSecret(), 800)
    await page.getByRole('link', { name: 'Billing' }).click()
    const alerts = page.getByRole('list', { name: 'Alerts, newest first' }).getByRole('listitem')
    await alerts.first().waitFor()
    const texts = (await alerts.allTextContents()).map((text) => text.replace(/\d+ \w+ \d+, \d\d:\d\d UTC/, 'then'))
    expect(texts).toEqual(['80% of 1,000 credits reached on then', '50% of 1,000 credits reached on then'])
    expect(await page.getByRole('alert').count()).toBe(0)
    await asBackend('operator.suspend', { accountId })
    for (const path of ['/billing', '/']) {
      await page.goto(`${server.url}${path}`)
      await page.getByRole('alert').getByText('This account has been suspended since', { exact: false }).waitFor()
    }
  })

  it('adds and removes thresholds, told at the field what cannot be, and where the keyboard is stays in sight', async () => {
    const email = await signUp()
    await saveSecret()
    await page.getByRole('link', { name: 'Billing' }).click()
    const thresholds = page.getByRole('list', { name: 'Thresholds' }).getByRole('listitem')
    const kept = async () =>
      (
        await database.owner.query(
          'select alert_thresholds from billing_accounts join auth.users on user_id = users.id where email = $1',
          [email],
        )
      ).rows[0].alert_thresholds
    const field = page.getByRole('textbox', { name: 'Add a threshold' })
    const add = async (text: string) => {
      await field.fill(text)
      await page.keyboard.press('Enter')
    }
    await expect.poll(async () => await thresholds.allTextContents()).toEqual(['50%', '80%', '100%'])
    for (const text of ['', '0', '1001', '7.5', 'ten']) {
      await add(text)
      await page.getByText('Enter a whole number from 1 to 1000.').waitFor()
      expect(await field.getAttribute('aria-invalid')).toBe('true')
      await field.fill('1')
    }
    await add('80')
    await page.getByText('Name each threshold once.').waitFor()
    expect(await field.getAttribute('aria-invalid')).toBe('true')
    for (const [i, percent] of [1000, 1, 2, 3, 4, 5, 6].entries()) {
      await add(String(percent))
      await expect.poll(async () => await thresholds.count()).toBe(4 + i)
      await expect.poll(async () => await field.inputValue()).toBe('')
    }
    expect(await field.evaluate((input) => input === document.activeElement)).toBe(true)
    await add('7')
    await page.getByText('Have at most 10 thresholds.').waitFor()
    expect(await field.getAttribute('aria-invalid')).toBe('true')
    expect(await kept()).toEqual([1, 2, 3, 4, 5, 6, 50, 80, 100, 1000])

    const removal = (percent: number) => page.getByRole('button', { name: `Remove the threshold of ${percent}%`, exact: true })
    await removal(100).focus()
    await page.keyboard.press('Enter')
    await removal(100).waitFor({ state: 'detached' })
    await expect.poll(async () => await removal(1000).evaluate((button) => button === document.activeElement)).toBe(true)
    await page.keyboard.press('Enter')
    await removal(1000).waitFor({ state: 'detached' })
    await expect.poll(async () => await removal(80).evaluate((button) => button === document.activeElement)).toBe(true)

    await page.route('**/trpc/alerts.setThresholds*', async (route) => await route.abort())
    await removal(80).click()
    await page.getByRole('alert').getByText('The server cannot be reached', { exact: false }).waitFor()
    expect(await removal(80).count()).toBe(1)
    await page.unroute('**/trpc/alerts.setThresholds*')
    for (const percent of [80, 50, 6, 5, 4, 3, 2, 1]) {
      await removal(percent).click()
      await removal(percent).waitFor({ state: 'detached' })
    }
    await page.getByText('No thresholds: there are no alerts.').waitFor()
    await expect.poll(async () => await field.evaluate((input) => input === document.activeElement)).toBe(true)
    expect(await kept()).toEqual([])
    expect(complaints).toEqual([])
  })
})

describe('the usage page', () => {
  it('shows what each key and operation used, by days and hours, to the pointer, the keyboard and the screen reader', async () => {
    await page.context().close()
    page = await openPage(withClipboard)
    await signUp()
    const secret = await saveSecret()
    await page.getByRole('link', { name: 'Usage' }).click()
    await page.getByText('Nothing was used in this time.').waitFor()
    await charge(secret, 120)
    await page.reload()
    await page.getByRole('row', { name: /default 1 120/ }).waitFor()
    const columns = page.getByRole('group', { name: 'Credits by time' }).getByRole('button')
    const used = page.getByRole('button', { name: /: 120 credits \(default 120\)/ })
    expect(await used.count()).toBe(1)

    await used.focus()
    await page.keyboard.press('Home')
    expect(await columns.first().evaluate((button) => button === document.activeElement)).toBe(true)
    await page.keyboard.press('ArrowRight')
    expect(await columns.nth(1).evaluate((button) => button === document.activeElement)).toBe(true)
    await used.hover()
    await page.getByText(/^\d+ \w+: 120$/).waitFor()

    await page.getByRole('combobox', { name: 'Time' }).selectOption('Last 24 hours')
    await page.waitForURL(/range=day/)
    await expect.poll(async () => await columns.count()).toBe(24)
    expect(await used.count()).toBe(1)
    await page.getByRole('combobox', { name: 'By' }).selectOption('Operation')
    await page.getByRole('button', { name: /: 120 credits \(default 120\)/ }).waitFor()
    await page.getByRole('combobox', { name: 'Time' }).selectOption('Last 30 days')
    await expect.poll(async () => await columns.count()).toBe(30)
    expect(complaints).toEqual([])
  })
})

describe('the chart', () => {
  it('tells keys of one name apart, goes on with the time, and stays as it is while others are asked for in vain', async () => {
    await page.context().close()
    page = await openPage({ ...withClipboard, timezoneId: 'America/New_York' })
    // Of a system whose time zone the browser does not know. Days are those of UTC then, by name too.
    await page.addInitScript(() => {
      const { resolvedOptions } = Intl.DateTimeFormat.prototype
      Intl.DateTimeFormat.prototype.resolvedOptions = function () {
        return { ...resolvedOptions.call(this), timeZone: 'Etc/Unknown' }
      }
    })
    const today = new Date().toLocaleDateString('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' })
    await signUp()
    const secrets = [await saveSecret()]
    await page.getByRole('button', { name: 'Create key' }).click()
    await page.getByRole('dialog').getByLabel('Name').fill('default')
    await page.getByRole('dialog').getByRole('button', { name: 'Create key' }).click()
    secrets.push(await saveSecret())
    for (const [i, secret] of secrets.entries()) await charge(secret, 10 * (i + 1))
    const [first, second] = secrets.map((secret) => `default (${secret.slice(0, 15)}…)`)
    await page.getByRole('link', { name: 'Usage' }).click()
    await page.getByRole('row', { name: `${first} 1 10`, exact: true }).waitFor()
    await page.getByRole('row', { name: `${second} 1 20`, exact: true }).waitFor()
    await page.getByRole('button', { name: `: 30 credits (${second} 20, ${first} 10)` }).waitFor()
    await page.getByText(`${today}: 30`, { exact: true }).waitFor()
    await page.getByText('UTC', { exact: true }).waitFor()

    // As on the next day: nobody chose this one, so the chart moves on.
    await database.owner.query(
      `insert into usage_by_quarter_hour (user_id, cycle_start, api_key_id, operation, quarter_hour, credits_charged, charges)
       select user_id, cycle_start, api_key_id, operation, quarter_hour + interval '1 day', 7, 1
         from usage_by_quarter_hour where api_key_id = (select id from api_keys where key_prefix = $1)`,
      [secrets[0]?.slice(0, 15)],
    )
    await page.getByText(/^\d+ \w+: 7$/).waitFor({ timeout: 15_000 })

    const columns = page.getByRole('group', { name: 'Credits by time' }).getByRole('button')
    await columns.first().focus()
    const name = await columns.first().getAttribute('aria-label')
    const held = Promise.withResolvers<void>()
    await page.route(/usage\.timeseries.*hour/, async (route) => {
      await held.promise
      await route.abort()
    })
    await page.getByRole('combobox', { name: 'Time' }).selectOption('Last 24 hours')
    await page.locator('[aria-busy=true]').getByRole('group', { name: 'Credits by time' }).waitFor()
    expect(await columns.first().getAttribute('aria-label')).toBe(name)
    await page.getByRole('combobox', { name: 'Time' }).selectOption('This billing cycle')
    held.resolve()
    await page.route(/usage\.timeseries/, async (route) => await route.abort())
    await columns.first().focus()
    await page
      .getByRole('alert')
      .getByText('The server cannot be reached', { exact: false })
      .first()
      .waitFor({ timeout: 20_000 })
    expect(await columns.first().evaluate((button) => button === document.activeElement)).toBe(true)
    expect(complaints).toEqual([])
  })
})

describe('spending', () => {
  const SHOWS_WITHIN_MS = 1_000
  const realTime = () => page.getByText('Real time')
  const isWatch = (request: Request) => request.url().includes('/trpc/usage.watch')
  const nextWatch = async () => await page.waitForEvent('request', isWatch)

  it('shows within a second and without a reload, on both pages, while everything else stays as it is', async () => {
    await page.context().close()
    page = await openPage(withClipboard)
    const requests: Request[] = []
    page.on('request', (request) => requests.push(request))
    await signUp()
    const secret = await saveSecret()
    await realTime().waitFor()
    const menu = page.getByRole('button', { name: 'Actions for default' })
    await menu.focus()
    await page.getByText('1,000 left').waitFor()
    await row('default').evaluate((element) => element.setAttribute('data-is-the-same', ''))

    const delays: number[] = []
    for (const used of [30, 60, 90]) {
      await charge(secret, 30)
      const start = performance.now()
      await page.getByText(`${1000 - used} left`).waitFor()
      await row('default').getByText(String(used), { exact: true }).waitFor()
      delays.push(performance.now() - start)
    }
    expect(Math.min(...delays)).toBeLessThan(SHOWS_WITHIN_MS)
    // Long before the pages would have asked by themselves.
    expect(Math.max(...delays)).toBeLessThan(4 * SHOWS_WITHIN_MS)
    expect(await row('default').getAttribute('data-is-the-same')).toBe('')
    expect(await menu.evaluate((button) => button === document.activeElement)).toBe(true)

    await page.getByRole('link', { name: 'Usage' }).click()
    await page.getByRole('row', { name: /default 3 90/ }).waitFor()
    await charge(secret, 30)
    const events = page.getByRole('region', { name: 'Events' }).getByRole('row')
    await Promise.all([
      page.getByRole('row', { name: /default 4 120/ }).waitFor({ timeout: 4 * SHOWS_WITHIN_MS }),
      // Four charges below the names of the columns.
      events.nth(4).waitFor({ timeout: 4 * SHOWS_WITHIN_MS }),
    ])
    await page.getByRole('button', { name: /: 120 credits \(default 120\)/ }).waitFor()

    // One stream, whatever the page; and the token is in its header alone.
    const watches = requests.filter(isWatch)
    expect(watches).toHaveLength(1)
    const token = (await watches[0]?.allHeaders())?.['authorization']?.replace('Bearer ', '') ?? ''
    expect(token).toMatch(/^eyJ/)
    const [, payload = 'none'] = token.split('.')
    for (const request of requests) expect(request.url()).not.toContain(payload)
    expect(complaints).toEqual([])
  })

  it('comes back by itself when the stream breaks off, and shows what was spent meanwhile', async () => {
    await page.context().close()
    page = await openPage(withClipboard)
    const tries: number[] = []
    await page.route(/usage\.watch/, async (route) => {
      if (tries.push(performance.now()) > 2) return await route.continue()
      await route.fulfill({
        contentType: 'text/event-stream',
        body: tries.length === 1 ? 'event: connected\ndata: {}\n\n' : 'event: serialized-error\ndata: {}\n\n',
      })
    })
    await signUp()
    const secret = await saveSecret()
    await charge(secret, 40)
    await page.waitForResponse((response) => isWatch(response.request()) && tries.length === 3, { timeout: 30_000 })
    const [first = 0, second = 0, third = 0] = tries
    // Soon after a break, later after a refusal.
    expect(second - first).toBeLessThan(8_000)
    expect(third - second).toBeGreaterThan(8_000)
    await page.getByText('960 left').waitFor()
    await realTime().waitFor()
    await charge(secret, 40)
    await page.getByText('920 left').waitFor({ timeout: 4 * SHOWS_WITHIN_MS })
    expect(complaints).toEqual([])
  })

  it('shows though a request before was never answered', async () => {
    await page.context().close()
    page = await openPage(withClipboard)
    await page.addInitScript(() => {
      const timeout = AbortSignal.timeout.bind(AbortSignal)
      AbortSignal.timeout = (ms) => timeout(ms / 20)
    })
    await signUp()
    const secret = await saveSecret()
    await page.getByText('1,000 left').waitFor()
    const hanging = Promise.withResolvers<void>()
    await page.route(/billing\.get/, () => hanging.resolve(), { times: 1 })
    await charge(secret, 30)
    await hanging.promise
    await page.getByText('970 left').waitFor({ timeout: 9_000 })
  })

  it('is not watched while nobody looks at the page, nor after signing out', async () => {
    await page.context().close()
    page = await openPage(withClipboard)
    await signUp()
    const secret = await saveSecret()
    await realTime().waitFor()
    const look = async (state: 'hidden' | 'visible') =>
      await page.evaluate((visibilityState) => {
        Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => visibilityState })
        document.dispatchEvent(new Event('visibilitychange'))
      }, state)
    let watches = 0
    page.on('request', (request) => {
      if (isWatch(request)) watches++
    })
    const closed = page.waitForEvent('requestfailed', isWatch)
    await look('hidden')
    await closed
    await charge(secret, 50)
    await sleep(SHOWS_WITHIN_MS)
    expect([watches, await realTime().isVisible()]).toEqual([0, false])
    const again = nextWatch()
    await look('visible')
    await again
    await page.getByText('950 left').waitFor({ timeout: 4 * SHOWS_WITHIN_MS })
    const left = page.waitForEvent('requestfailed', isWatch)
    await page.getByRole('button', { name: 'Sign out' }).click()
    await left
    await sleep(SHOWS_WITHIN_MS)
    expect(watches).toBe(1)
  })
})

describe('the events on the usage page', () => {
  const events = () => page.getByRole('region', { name: 'Events', exact: true })
  const rows = () => events().getByRole('row')
  const exportButton = () => events().getByRole('button', { name: 'Export CSV' })

  /** Signs up and writes events by SQL: every tenth is refused, and the first is of another key and operation. */
  async function signUpWithEvents(count: number): Promise<string> {
    await page.context().close()
    page = await openPage({ ...withClipboard, acceptDownloads: true })
    const email = await signUp()
    const secret = await saveSecret()
    const { owner } = database
    const { rows: users } = await owner.query('select id from auth.users where email = $1', [email])
    await owner.query("insert into api_keys (user_id, name, key_prefix) values ($1, 'rare', 'km_dev_rare')", [users[0].id])
    await owner.query(
      `update billing_accounts set billing_cycle_anchor = billing_cycle_anchor - interval '1 day',
                                   billing_cycle_start = billing_cycle_start - interval '1 day' where user_id = $1`,
      [users[0].id],
    )
    await owner.query(
      `insert into api_key_usage (user_id, sequence, created_at, api_key_id, idempotency_key, operation, verdict,
                                  credits_requested, credits_charged, remaining, cycle_start, cycle_end)
       select $1::uuid, n, now() - ($2::int - n + 1) * interval '1 second',
              (select id from api_keys where user_id = $1 and (name = 'rare') = (n = 1)), 'event-' || n,
              case n when 1 then 'once' else 'search' end, case n % 10 when 0 then 'insufficient_credits' else 'charged' end,
              3, case n % 10 when 0 then 0 else 3 end, 500, billing_cycle_start, billing_cycle_end
         from billing_accounts, generate_series(1, $2::int) as n where user_id = $1`,
      [users[0].id, count],
    )
    // What the engine would have kept: it tells where a rare operation was.
    await owner.query(
      `insert into usage_by_cycle (user_id, cycle_start, api_key_id, credits_charged, charges)
       select user_id, cycle_start, api_key_id, sum(credits_charged), count(*) from api_key_usage
        where user_id = $1 and verdict = 'charged' group by 1, 2, 3`,
      [users[0].id],
    )
    await owner.query(
      `insert into usage_by_quarter_hour (user_id, cycle_start, api_key_id, operation, quarter_hour, credits_charged, charges)
       select user_id, cycle_start, api_key_id, operation, date_bin('15 minutes', created_at, 'epoch'), sum(credits_charged), count(*)
         from api_key_usage where user_id = $1 and verdict = 'charged' group by 1, 2, 3, 4, 5`,
      [users[0].id],
    )
    await owner.query('insert into operations select distinct user_id, operation from api_key_usage where user_id = $1', [
      users[0].id,
    ])
    await owner.query('update billing_accounts set last_event_sequence = $2, last_event_at = now() where user_id = $1', [
      users[0].id,
      count,
    ])
    return secret
  }
  /** As in browsers that cannot let a page write to a file; and no test can answer the dialog. */
  const withoutFilePicker = async () => await page.addInitScript(() => Reflect.deleteProperty(window, 'showSaveFilePicker'))
  const openEvents = async () => {
    await page.getByRole('link', { name: 'Usage' }).click()
    await rows().nth(1).waitFor()
  }

  it('are listed newest first, filtered by key, operation and verdict, and loaded further', async () => {
    await signUpWithEvents(120)
    await openEvents()
    await expect.poll(async () => await rows().count()).toBe(51)
    expect(await rows().nth(1).textContent()).toContain('Out of credits')
    expect(await rows().nth(2).textContent()).toMatch(/default[\s\S]*search[\s\S]*Charged[\s\S]*3/)
    await events().getByRole('button', { name: 'Load more' }).click()
    await expect.poll(async () => await rows().count()).toBe(101)
    await events().getByRole('button', { name: 'Load more' }).click()
    await expect.poll(async () => await rows().count()).toBe(121)
    expect(await events().getByRole('button', { name: 'Load more' }).count()).toBe(0)

    await page.getByLabel('Verdict').selectOption('Refused')
    await page.waitForURL(/verdict=refused/)
    await expect.poll(async () => await rows().count()).toBe(13)
    await page.getByLabel('Verdict').selectOption('Refused: key revoked')
    await page.getByText('No event matches.').waitFor()
    await page.getByRole('button', { name: 'Clear filters' }).click()
    await expect.poll(async () => await rows().count()).toBe(121)
    await page.getByRole('searchbox', { name: 'Operation' }).fill('once')
    await page.waitForURL(/operation=once/)
    await expect.poll(async () => await rows().count()).toBe(2)
    await page.reload()
    await expect.poll(async () => await rows().count()).toBe(2)
    expect(await page.getByRole('searchbox', { name: 'Operation' }).inputValue()).toBe('once')
    expect(complaints).toEqual([])
  })

  it('are loaded further though others happen meanwhile, stay up to date, and offer those that are too many to add', async () => {
    const secret = await signUpWithEvents(120)
    await openEvents()
    let older = 0
    let held = Promise.withResolvers<void>()
    await page.route(/usage\.events/, async (route) => {
      if (route.request().url().includes('cursor%22%3A%22')) older++
      await held.promise
      await route.continue()
    })
    await events().getByRole('button', { name: 'Load more' }).click()
    await expect.poll(() => older).toBe(1)
    const told = page.waitForResponse(/usage\.timeseries/)
    await charge(secret, 7)
    await told
    held.resolve()
    await expect.poll(async () => await rows().count()).toBeGreaterThan(100)
    await charge(secret, 8)
    await expect.poll(async () => await rows().nth(1).textContent(), { timeout: 4_000 }).toMatch(/Charged8/)
    expect(await rows().nth(2).textContent()).toMatch(/Charged7/)
    expect(await rows().count()).toBe(103)
    expect(older).toBe(1)

    held = Promise.withResolvers()
    await Promise.all(Array.from({ length: 60 }, async () => await charge(secret, 1)))
    held.resolve()
    const offer = events().getByRole('button', { name: 'Show newer events' })
    await offer.focus()
    expect(await rows().count()).toBe(103)
    await page.keyboard.press('Enter')
    await expect.poll(async () => await rows().count()).toBe(51)
    expect(await rows().nth(50).textContent()).toMatch(/Charged1/)
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('events')
    expect(complaints).toEqual([])
  })

  it('are found far back without a press for each page that holds none', async () => {
    await signUpWithEvents(12_000)
    await openEvents()
    await page.getByRole('searchbox', { name: 'Operation' }).fill('once')
    await events().getByRole('row', { name: /rare/ }).waitFor()
    expect(await rows().count()).toBe(2)
    expect(complaints).toEqual([])
  })

  it('say that there are none, and what went wrong', async () => {
    await withoutFilePicker()
    await signUp()
    await secretDialog().getByRole('button', { name: 'Done' }).click()
    await page.getByRole('button', { name: 'Close anyway' }).click()
    await page.getByRole('link', { name: 'Usage' }).click()
    await page.getByText('Nothing was charged or refused in this time.').waitFor()
    await database.owner.query('revoke select on billing_accounts from keymeter_api')
    try {
      await page.reload()
      await events().getByRole('alert').waitFor()
      await exportButton().click()
      await expect.poll(async () => await events().getByRole('alert').count(), { timeout: 10_000 }).toBe(2)
    } finally {
      await database.owner.query('grant select on billing_accounts to keymeter_api')
    }
    await events().getByRole('button', { name: 'Retry' }).click()
    await page.getByText('Nothing was charged or refused in this time.').waitFor()
  })

  it('are listed and exported by what was done, what came of it and when', async () => {
    const secret = await signUpWithEvents(120)
    await withoutFilePicker()
    const { holdId } = await asBackend('metering.hold', { key: secret, credits: 5, idempotencyKey: once() })
    for (const credits of [4, 3]) await asBackend('metering.settle', { holdId, credits, idempotencyKey: once() })
    await database.owner.query(
      `update billing_accounts set billing_cycle_anchor = start, billing_cycle_start = start
         from (select user_id as of, date_trunc('milliseconds', created_at) as start from api_key_usage where sequence = 91) as events
        where user_id = of and last_event_sequence = 123`,
    )
    await page.reload()
    await openEvents()
    const exported = async () => {
      const [download] = await Promise.all([page.waitForEvent('download'), exportButton().click()])
      return readFileSync((await download.path()) ?? '', 'utf8').split('\r\n').length - 2
    }
    await expect.poll(async () => await rows().count()).toBe(1 + 33)
    expect(await exported()).toBe(33)
    await page.getByLabel('Action').selectOption('Settle')
    await expect.poll(async () => await rows().count()).toBe(3)
    expect(await rows().nth(1).textContent()).toMatch(/Settle · [\s\S]*Hold ended/)
    expect(await rows().nth(2).textContent()).toMatch(/Settle · [\s\S]*Settled4/)
    expect(await exported()).toBe(2)
    await page.getByLabel('Verdict').selectOption('Charged')
    await expect.poll(async () => await rows().count()).toBe(2)
    await page.getByLabel('Verdict').selectOption('Refused')
    await events()
      .getByRole('row', { name: /Hold ended/ })
      .waitFor()
    await page.getByLabel('Action').selectOption('All')
    await expect.poll(async () => await rows().count()).toBe(1 + 4)
    await page.getByLabel('When').selectOption('Any time')
    await expect.poll(async () => await rows().count()).toBe(1 + 13)
    expect(await exported()).toBe(13)
    expect(complaints).toEqual([])
  })

  it('are exported whole, with the filters, and with no token in any address', async () => {
    await signUpWithEvents(5_000)
    await withoutFilePicker()
    await page.reload()
    const addresses: string[] = []
    page.on('request', (request) => addresses.push(request.url()))
    await openEvents()
    const [download] = await Promise.all([page.waitForEvent('download'), exportButton().click()])
    expect(download.suggestedFilename()).toMatch(/^keymeter-usage-\d{4}-\d\d-\d\d\.csv$/)
    expect(readFileSync((await download.path()) ?? '', 'utf8').split('\r\n')).toHaveLength(5_002)
    await page.getByText('The file is saved').waitFor()
    await page.getByLabel('Verdict').selectOption('Refused')
    await page.waitForURL(/verdict=refused/)
    const [refused] = await Promise.all([page.waitForEvent('download'), exportButton().click()])
    expect(readFileSync((await refused.path()) ?? '', 'utf8').split('\r\n')).toHaveLength(502)
    expect(addresses.filter((address) => /ey[\w-]+\.[\w-]+\.[\w-]+/.test(address))).toEqual([])
    expect(complaints).toEqual([])
  })

  it('are exported straight to disk where the browser can, show how far they are, and can be cancelled', async () => {
    await signUpWithEvents(30_000)
    // A file of the page's own, in place of the dialog, which no test can answer.
    await page.addInitScript(() =>
      Reflect.set(window, 'showSaveFilePicker', async () =>
        (await navigator.storage.getDirectory()).getFileHandle('export.csv', { create: true }),
      ),
    )
    await page.reload()
    /** Null where there is no file. */
    const savedBytes = async () =>
      await page.evaluate(async () => {
        const file = await (await navigator.storage.getDirectory()).getFileHandle('export.csv').catch(() => null)
        return file && (await file.getFile()).size
      })
    await openEvents()
    const blocker = await database.owner.connect()
    const started = page.waitForResponse(/\/export\/usage\.csv/)
    await exportButton().focus()
    await page.keyboard.press('Enter')
    await started
    await blocker.query('begin')
    await blocker.query('lock table api_key_usage in access exclusive mode')
    await events().getByText('Exporting…').waitFor()
    await events()
      .getByText(/\d (kB|MB)/)
      .waitFor()
    await page.keyboard.press('Enter')
    await expect.poll(async () => await exportButton().evaluate((button) => button === document.activeElement)).toBe(true)
    expect(await savedBytes()).toBeNull()
    await blocker.query('rollback')
    blocker.release()
    await exportButton().click()
    await page.getByText('The file is saved').waitFor()
    expect(await savedBytes()).toBeGreaterThan(30_000 * 100)
    await page.evaluate(() => {
      FileSystemFileHandle.prototype.createWritable = async () => {
        throw new DOMException('No', 'NotAllowedError')
      }
    })
    const ended = page.waitForEvent('requestfailed', (request) => request.url().includes('/export/'))
    await exportButton().click()
    await ended
    await events().getByRole('alert').getByText('The file could not be written', { exact: false }).waitFor()
    expect(await savedBytes()).toBeNull()
    expect(complaints).toEqual([])
  })
})

describe('the pages', () => {
  for (const width of [1280, 360]) {
    it(`have no accessibility fault and do not scroll sideways: light and dark, ${width} px`, async () => {
      await page.context().close()
      page = await openPage({ ...withClipboard, viewport: { width, height: 800 }, reducedMotion: 'reduce' })
      const inspect = async () => {
        for (const colorScheme of ['light', 'dark'] as const) {
          await page.emulateMedia({ colorScheme })
          const { violations } = await new AxeBuilder({ page })
            .withTags(['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa'])
            .analyze()
          const found = violations.map(({ id, nodes }) => `${colorScheme}, ${id}: ${nodes.map(({ html }) => html).join(', ')}`)
          expect(found).toEqual([])
        }
        expect(
          await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
        ).toBeLessThanOrEqual(0)
      }
      await page.goto(`${server.url}/sign-in`)
      await page.getByRole('heading', { name: 'Sign in' }).waitFor()
      await inspect()
      await page.goto(`${server.url}/sign-up`)
      await page.getByRole('button', { name: 'Create account' }).waitFor()
      await inspect()
      await signUp()
      await inspect()
      const hidden = await secretDialog()
        .getByRole('textbox')
        .evaluate((field) => field.scrollHeight - field.clientHeight)
      expect(hidden).toBeLessThanOrEqual(0)
      const key = await saveSecret()
      const { accountId } = await charge(key, 700)
      const actions = page.getByRole('button', { name: 'Actions for default' })
      await actions.waitFor()
      await inspect()
      await actions.click()
      await page.getByRole('menuitem', { name: 'Edit…' }).waitFor()
      await inspect()
      await page.getByRole('menuitem', { name: 'Edit…' }).click()
      await page.getByRole('dialog', { name: 'Edit key' }).waitFor()
      await inspect()
      await page.keyboard.press('Escape')
      await page.getByRole('dialog').waitFor({ state: 'detached' })
      await choose('default', 'Rotate secret…')
      await page.getByRole('dialog', { name: 'Rotate secret' }).waitFor()
      await inspect()
      await page.getByRole('button', { name: 'Rotate secret' }).click()
      await secretDialog().getByRole('button', { name: 'Done' }).click()
      await page.getByRole('alertdialog', { name: 'Close without copying?' }).waitFor()
      await inspect()
      await page.getByRole('button', { name: 'Close anyway' }).click()
      // A row with all that it can have.
      await row('default').getByRole('button', { name: 'Get a new one' }).waitFor()
      await row('default').getByRole('button', { name: 'End now' }).waitFor()
      await choose('default', 'Disable')
      await row('default').getByText('Disabled').waitFor()
      await inspect()
      await page.getByRole('button', { name: 'Create key' }).first().click()
      await page.getByRole('dialog', { name: 'Create a key' }).waitFor()
      await page.getByText('More options').click()
      await inspect()
      await page.keyboard.press('Escape')
      await page.getByRole('dialog').waitFor({ state: 'detached' })
      await choose('default', 'Revoke…')
      await page.getByRole('alertdialog').waitFor()
      await inspect()
      await page.keyboard.press('Escape')
      await page.getByRole('alertdialog').waitFor({ state: 'detached' })
      await page.getByRole('link', { name: 'Activity' }).click()
      await page.getByText(/^Rotated,/).waitFor()
      await inspect()
      await page.getByRole('link', { name: 'Usage' }).click()
      await page.getByRole('group', { name: 'Credits by time' }).waitFor()
      await page.getByRole('row', { name: /Charged/ }).waitFor()
      await inspect()
      await page.getByRole('searchbox', { name: 'Operation' }).fill('Not One')
      await page.getByText('Use 1 to 64 of a-z').waitFor()
      await inspect()
      await asBackend('operator.grantTopUp', { accountId, credits: 500, idempotencyKey: once(), note: 'x'.repeat(200) })
      await asBackend('operator.suspend', { accountId })
      await page.getByRole('link', { name: 'Billing' }).click()
      await page.getByText('This account has been suspended', { exact: false }).waitFor()
      await page.getByRole('list', { name: 'Thresholds' }).waitFor()
      await page.getByRole('button', { name: 'Add', exact: true }).click()
      await page.getByText('Enter a whole number', { exact: false }).waitFor()
      await inspect()
      expect(complaints).toEqual([])
    })
  }
})
