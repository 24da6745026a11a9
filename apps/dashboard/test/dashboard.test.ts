import { AxeBuilder } from '@axe-core/playwright'
import { testAuth, testDatabase, testServer } from '@keymeter/local/testing'
import type { Page } from 'playwright-core'
import { beforeEach, describe, expect, it } from 'vitest'
import { testBrowser } from './browser.ts'

const database = testDatabase()
const auth = testAuth(database)
const server = testServer(database, auth)
const browser = testBrowser()

const PASSWORD = 'a long password'
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

const secretDialog = (on: Page = page) => on.getByRole('dialog', { name: 'Save your secret' })
const row = (name: string) => page.getByRole('row').filter({ hasText: name })

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
    expect(await saveSecret()).toMatch(/^km_prod_/)
    await row('Production').waitFor()

    await database.owner.query(
      `insert into api_key_usage (user_id, api_key_id, credits_charged, created_at)
       select user_id, api_keys.id, 1234, now() from api_keys join auth.users on users.id = user_id where email = $1 and name = 'Production'`,
      [email],
    )
    await page.reload()
    await row('Production').getByText('1,234').waitFor()

    await row('default').getByRole('button', { name: 'Revoke default' }).click()
    const revoke = page.getByRole('alertdialog', { name: 'Revoke key' })
    expect(await revoke.getByRole('button', { name: 'Cancel' }).evaluate((button) => button === document.activeElement)).toBe(
      true,
    )
    await revoke.getByRole('button', { name: 'Revoke' }).click()
    await row('default').waitFor({ state: 'detached' })
    await expect.poll(async () => await page.evaluate(() => document.activeElement?.textContent)).toBe('API keys')

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

describe('the pages', () => {
  for (const colorScheme of ['light', 'dark'] as const) {
    for (const width of [1280, 360]) {
      it(`have no accessibility fault and do not scroll sideways: ${colorScheme}, ${width} px`, async () => {
        await page.context().close()
        page = await openPage({ ...withClipboard, colorScheme, viewport: { width, height: 800 }, reducedMotion: 'reduce' })
        const inspect = async () => {
          const { violations } = await new AxeBuilder({ page })
            .withTags(['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa'])
            .analyze()
          expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(', ')}`)).toEqual([])
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
        await saveSecret()
        await page.getByRole('button', { name: 'Revoke default' }).first().waitFor()
        await inspect()
        await page.getByRole('button', { name: 'Create key' }).first().click()
        await page.getByRole('dialog', { name: 'Create a key' }).waitFor()
        await inspect()
        await page.keyboard.press('Escape')
        await page.getByRole('button', { name: 'Revoke default' }).first().click()
        await page.getByRole('alertdialog').waitFor()
        await inspect()
        expect(complaints).toEqual([])
      })
    }
  }
})
