import { TOTP } from 'otpauth'
import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { ALL_RULES, COLOR_RULES, violationsOn } from './axe.ts'
import { PASSWORD, type Person, testDashboard } from './person.ts'

// The embedded auth server has no second factor, so the endpoints are those of a stand-in.
const { auth, server, visit, signUp, ageSignIn, join } = testDashboard({ secondFactor: true })

/** Returns the code that an app with this secret shows now. */
const codeOf = (secret: string) => new TOTP({ secret }).generate()
const section = (page: Page) => page.getByRole('region', { name: 'Second factor' })

/** Adds an app on the settings page. Returns its secret. */
async function addApp(page: Page, name: string): Promise<string> {
  await section(page).getByLabel('Name of the new app').fill(name)
  await section(page).getByRole('button', { name: 'Add an app' }).click()
  const secret = (await section(page).locator('code').textContent()) ?? ''
  await section(page).getByLabel('Code from the app').fill(codeOf(secret))
  await section(page).getByRole('button', { name: 'Turn on' }).click()
  await section(page)
    .getByRole('button', { name: `Remove ${name}…` })
    .waitFor()
  return secret
}

async function openSettings({ page }: Person): Promise<void> {
  await page.getByRole('link', { name: /^Settings/ }).click()
  await section(page).waitFor()
}

/** Signs in with the password in another browser. */
async function signInElsewhere(email: string) {
  const other = await visit()
  await other.page.goto(`${server.url}/usage`)
  await other.page.getByLabel('E-mail').fill(email)
  await other.page.getByLabel('Password').fill(PASSWORD)
  await other.page.getByRole('button', { name: 'Sign in', exact: true }).click()
  return other
}

/** Checks the page for violations of the rules for accessibility, in both colour schemes. */
async function inspect(page: Page): Promise<void> {
  for (const width of [1280, 360]) {
    await page.setViewportSize({ width, height: 800 })
    await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' })
    expect(await violationsOn(page, ALL_RULES)).toEqual([])
    await page.emulateMedia({ colorScheme: 'dark' })
    expect(await violationsOn(page, COLOR_RULES)).toEqual([])
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
    expect(overflow).toBeLessThanOrEqual(0)
  }
}

describe('second factor', () => {
  it('an account can require it from its members, but only an owner who has one can decide that', async () => {
    const [owner, member] = [await signUp(), await signUp()]
    await join(owner, member, 'viewer')
    const require = async () => {
      await owner.page.getByRole('link', { name: 'Members' }).click()
      await owner.page.getByRole('button', { name: 'Require a second factor' }).click()
    }
    await require()
    await owner.page.getByText('This needs a sign-in with a second factor', { exact: false }).waitFor()
    await openSettings(owner)
    await addApp(owner.page, 'My phone')
    await require()
    await owner.page.getByText('All members now need a second factor.').waitFor()
    await owner.page.getByRole('button', { name: 'No longer require a second factor' }).waitFor()
    await inspect(owner.page)
    await member.page.reload()
    await member.page.getByRole('combobox', { name: 'Account' }).selectOption({ label: `${owner.email} (viewer)` })
    await member.page.getByText('set one up on the page Settings', { exact: false }).first().waitFor()
    expect(await member.page.getByRole('dialog', { name: 'Confirm that it is you' }).count()).toBe(0)
    await openSettings(member)
    await addApp(member.page, 'Phone')
    await member.page.getByRole('link', { name: 'API keys' }).click()
    await member.row('default').waitFor()
    expect([...owner.complaints, ...member.complaints]).toEqual([])
  })

  it('an app counts only after its first correct code, and then every sign-in needs a code before the page shows anything', async () => {
    const person = await signUp()
    const { page, email, complaints } = person
    await openSettings(person)
    await section(page).getByLabel('Name of the new app').fill('My phone')
    await section(page).getByRole('button', { name: 'Add an app' }).click()
    const image = section(page).getByRole('img', { name: 'QR code for your authenticator app' })
    await image.waitFor()
    expect(await image.evaluate((node: HTMLImageElement) => node.decode().then(() => node.naturalWidth))).toBeGreaterThan(0)
    await inspect(page)
    await section(page).getByLabel('Code from the app').fill('000000')
    await section(page).getByRole('button', { name: 'Turn on' }).click()
    await section(page).getByText('This code is wrong or has expired.', { exact: false }).waitFor()
    const before = await signInElsewhere(email)
    await before.page.getByRole('heading', { name: 'Usage', exact: true }).waitFor()

    const secret = (await section(page).locator('code').textContent()) ?? ''
    await section(page).getByLabel('Code from the app').fill(codeOf(secret))
    await section(page).getByRole('button', { name: 'Turn on' }).click()
    await section(page).getByText('Add a second app on another device.', { exact: false }).waitFor()
    await inspect(page)

    const { page: other, complaints: otherComplaints } = await signInElsewhere(email)
    await other.getByRole('heading', { name: 'Enter your code' }).waitFor()
    const calls: string[] = []
    other.on('request', (request) => void (request.url().includes('/trpc/') && calls.push(request.url())))
    await inspect(other)
    await other.reload()
    await other.getByLabel('Code').fill('000000')
    await other.getByRole('button', { name: 'Continue' }).click()
    await other.getByText('This code is wrong or has expired.', { exact: false }).waitFor()
    expect(await other.getByRole('banner').count()).toBe(0)
    expect(calls).toEqual([])
    await other.getByLabel('Code').fill(codeOf(secret))
    await other.getByRole('button', { name: 'Continue' }).click()
    await other.getByRole('heading', { name: 'Usage', exact: true }).waitFor()
    await other.reload()
    await other.getByRole('heading', { name: 'Usage', exact: true }).waitFor()
    expect(complaints).toEqual([])
    expect(otherComplaints).toEqual([])
  })

  it('an app that was begun and cancelled, or left, does not count and does not keep its name', async () => {
    const person = await signUp()
    const { page } = person
    await openSettings(person)
    const begin = async () => {
      await section(page).getByLabel('Name of the new app').fill('My phone')
      await section(page).getByRole('button', { name: 'Add an app' }).click()
      await section(page).getByLabel('Code from the app').waitFor()
    }
    await begin()
    await section(page).getByRole('button', { name: 'Cancel' }).click()
    await begin()
    await page.reload()
    await section(page).waitFor()
    expect(await section(page).getByRole('listitem').count()).toBe(0)
    await addApp(page, 'My phone')
    expect(await section(page).getByRole('listitem').count()).toBe(1)
  })

  it('with two apps, a person can sign in with either, and remove the lost one', async () => {
    const person = await signUp()
    const { page, email } = person
    await openSettings(person)
    await addApp(page, 'Lost phone')
    const secret = await addApp(page, 'Tablet')
    const { page: other } = await signInElsewhere(email)
    await other.getByLabel('App').selectOption('Tablet')
    await other.getByLabel('Code').fill(codeOf(secret))
    await other.getByRole('button', { name: 'Continue' }).click()
    await other.getByRole('link', { name: /^Settings/ }).click()
    await section(other).getByRole('button', { name: 'Remove Lost phone…' }).click()
    await other.getByRole('alertdialog').getByRole('button', { name: 'Remove' }).click()
    await section(other).getByRole('button', { name: 'Remove Lost phone…' }).waitFor({ state: 'detached' })
    await other.getByRole('alertdialog').waitFor({ state: 'detached' })
    expect(await section(other).getByRole('listitem').count()).toBe(1)
    // Without any app, a password is enough again.
    await section(other).getByRole('button', { name: 'Remove Tablet…' }).click()
    await other.getByRole('alertdialog').getByRole('button', { name: 'Remove' }).click()
    // While the dialog is open, no role finds the button behind it.
    await other.getByRole('alertdialog').waitFor({ state: 'detached' })
    await section(other).getByRole('button', { name: 'Remove Tablet…' }).waitFor({ state: 'detached' })
    // The session no longer counts as one with a second factor.
    const level = await other.evaluate(() => {
      const [, payload = ''] = JSON.parse(localStorage.getItem('keymeter-session') ?? '{}').access_token.split('.')
      return JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/'))).aal
    })
    expect(level).toBe('aal1')
    const { page: third } = await signInElsewhere(email)
    await third.getByRole('heading', { name: 'Usage', exact: true }).waitFor()
  })

  it('after an old sign-in, a person with a second factor confirms with the password and a code', async () => {
    const person = await signUp()
    const { page } = person
    await openSettings(person)
    const secret = await addApp(page, 'My phone')
    await ageSignIn(person)
    await page.getByRole('link', { name: 'API keys' }).click()
    await page.getByRole('button', { name: 'Create key' }).click()
    const form = page.getByRole('dialog', { name: 'Create a key' })
    await form.getByLabel('Name').fill('late')
    await form.getByRole('button', { name: 'Create key' }).click()
    const question = page.getByRole('dialog', { name: 'Confirm that it is you' })
    await question.getByLabel('Password').fill(PASSWORD)
    await question.getByRole('button', { name: 'Confirm' }).click()
    await question.getByLabel('Code').fill(codeOf(secret))
    await question.getByRole('button', { name: 'Confirm' }).click()
    await person.saveSecret()
    // The page still has a session with the second factor.
    await page.reload()
    await page.getByRole('heading', { name: 'API keys' }).waitFor()
  })
})

describe('a person with a second factor who has forgotten the password', () => {
  it('gives a code on the page of the mail’s link, and then sets a new password', async () => {
    const person = await signUp()
    await openSettings(person)
    const secret = await addApp(person.page, 'My phone')
    const { page } = await visit()
    await page.goto(`${server.url}/forgot`)
    await page.getByLabel('E-mail').fill(person.email)
    await page.getByRole('button', { name: 'Send the link' }).click()
    const { links } = await auth.mailbox.next(person.email)
    await page.goto(links.find((link) => link.startsWith(`${server.url}/confirm#`)) ?? '')
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.getByRole('heading', { name: 'Enter your code' }).waitFor()
    expect(page.url()).toBe(`${server.url}/reset`)
    await page.getByLabel('Code').fill(codeOf(secret))
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.getByLabel('New password').fill('another long password')
    await page.getByRole('button', { name: 'Set password' }).click()
    await page.getByText('Your password is changed.', { exact: false }).waitFor()
    await page.getByRole('button', { name: 'Actions for default' }).waitFor()
  })
})

describe('projects without a second factor', () => {
  it('the page says so if the project does not allow new apps', async () => {
    const person = await signUp()
    const { page } = person
    await page.route(
      /\/auth\/v1\/factors$/,
      async (route) =>
        await route.fulfill({
          status: 422,
          json: { code: 422, error_code: 'mfa_totp_enroll_not_enabled', msg: 'raw' },
          headers: { 'access-control-allow-origin': '*' },
        }),
    )
    await openSettings(person)
    await section(page).getByRole('button', { name: 'Add an app' }).click()
    await section(page).getByText('This service does not offer a second factor. Ask its operator.').waitFor()
  })
})
