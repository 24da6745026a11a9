import { describe, expect, it } from 'vitest'
import { comeBackTo, hasFocus, PASSWORD, testDashboard } from './person.ts'

const { database, server, visit, signUpOnPage, signInUnprovisioned, charge } = testDashboard()

describe('sign-up', () => {
  it('a new user signs up, gets a default key, creates a prod key, sees spending, revokes a key, signs out and signs in again', async () => {
    const visitor = await visit()
    const { page, row, choose, saveSecret, complaints } = visitor
    const email = await signUpOnPage(visitor)
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
    await revoke.waitFor()
    expect(await hasFocus(revoke.getByRole('button', { name: 'Cancel' }))).toBe(true)
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

  it('a user who signs in without our sign-up, e.g. with an OAuth provider, gets an account and a key and sees the secret of the key', async () => {
    const visitor = await visit()
    await signInUnprovisioned(visitor)
    await visitor.secretDialog.waitFor()
    expect(await visitor.secretDialog.getByRole('textbox').inputValue()).toMatch(/^km_dev_/)
  })

  it('a user with an international domain signs up, sees the address as it was written, and signs in with every spelling', async () => {
    const { page, saveSecret, row } = await visit()
    await page.goto(`${server.url}/sign-up`)
    await page.getByLabel('E-mail').fill('user@bücher.example')
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Create account' }).click()
    await saveSecret()
    for (const address of ['user@bücher.example', 'user@BÜCHER.example', 'user@xn--bcher-kva.example']) {
      await row('default').waitFor()
      await page.getByText('user@bücher.example', { exact: true }).waitFor()
      await page.getByRole('button', { name: 'Sign out' }).click()
      await page.getByRole('heading', { name: 'Sign in' }).waitFor()
      await page.getByLabel('E-mail').fill(address)
      await page.getByLabel('Password').fill(PASSWORD)
      await page.getByRole('button', { name: 'Sign in', exact: true }).click()
    }
    await row('default').waitFor()
  })

  it('the sign-up form shows each mistake at its field', async () => {
    const { page } = await visit()
    await page.goto(`${server.url}/sign-up`)
    await page.getByLabel('E-mail').fill('nonsense')
    await page.getByLabel('Password').fill('short')
    await page.getByRole('button', { name: 'Create account' }).click()
    await page.getByText('Enter an e-mail address').waitFor()
    await page.getByText('Use at least 8 characters').first().waitFor()
    expect(await page.getByLabel('E-mail').getAttribute('aria-invalid')).toBe('true')
  })
})

describe('before sign-in', () => {
  it('a visitor sees the OAuth providers of the server in their order, and no provider if the server has none', async () => {
    const { page } = await visit()
    const providers = page.getByRole('button', { name: 'Continue with' })
    for (const path of ['/sign-in', '/sign-up']) {
      await page.goto(server.url + path)
      await page.getByLabel('E-mail').waitFor()
      expect(await providers.count()).toBe(0)
    }
    await page.route('**/config.json', async (route) => {
      const settings = await (await route.fetch()).json()
      await route.fulfill({ json: { ...settings, oauthProviders: ['github', 'linkedin_oidc'] } })
    })
    for (const path of ['/sign-in', '/sign-up']) {
      await page.goto(server.url + path)
      await providers.first().waitFor()
      expect(await providers.allTextContents()).toEqual(['Continue with GitHub', 'Continue with LinkedIn'])
    }
  })

  it('a visitor who is not signed in is redirected to the sign-in page', async () => {
    const { page } = await visit()
    await page.goto(server.url)
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  })

  it('a visitor sees the sign-in page even if the browser reports a language that does not exist', async () => {
    const { page } = await visit()
    await page.addInitScript(() => Object.defineProperty(navigator, 'language', { value: 'en-US@posix' }))
    await page.goto(server.url)
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  })

  it('a visitor sees that Keymeter cannot be reached if the page cannot load its settings', async () => {
    const { page } = await visit()
    await page.route('**/config.json', async (route) => await route.abort())
    await page.goto(server.url)
    await page.getByText('Keymeter cannot be reached at the moment.', { exact: false }).waitFor()
  })
})

describe('dialog with a new secret', () => {
  it('the first secret is not lost if the user creates another key before the first secret has arrived', async () => {
    const visitor = await visit()
    const { page, secretDialog } = visitor
    const answer = Promise.withResolvers<void>()
    await page.route('**/trpc/auth.provision*', async (route) => {
      await answer.promise
      await route.continue()
    })
    await signInUnprovisioned(visitor)
    await page.getByRole('button', { name: 'Create key' }).first().click()
    await page.getByRole('dialog').getByLabel('Name').fill('mine')
    await page.getByRole('dialog').getByRole('button', { name: 'Create key' }).click()
    await secretDialog.getByText('mine').waitFor()
    // Delete the key `mine`, because provisioning creates the default key only if the account has no key.
    await database.owner.query("delete from api_keys where name = 'mine'")
    const provisioned = page.waitForResponse(/auth\.provision/)
    answer.resolve()
    await (await provisioned).finished()
    expect(await secretDialog.getByText('mine').isVisible()).toBe(true)
    await secretDialog.getByRole('button', { name: 'Copy secret' }).click()
    await secretDialog.getByRole('button', { name: 'Done' }).click()
    await secretDialog.getByText('default').waitFor()
  })

  it('a new secret stays on the page if the session ends before the user has saved the secret', async () => {
    const visitor = await visit()
    const { page, secretDialog, saveSecret } = visitor
    await signUpOnPage(visitor)
    await page.getByText('1,000 left').waitFor()
    await page.route(
      '**/trpc/**',
      async (route) => await route.fulfill({ status: 401, contentType: 'application/json', body: '[]' }),
    )
    await comeBackTo(page)
    await expect.poll(async () => await page.evaluate(() => localStorage.getItem('keymeter-session'))).toBeNull()
    expect(await secretDialog.getByRole('textbox').inputValue()).toMatch(/^km_dev_/)
    expect(await page.getByRole('dialog', { name: 'Sign in again' }).count()).toBe(0)
    await saveSecret()
    await page.getByRole('dialog', { name: 'Sign in again' }).waitFor()
  })

  it('a new secret that the user has not copied disappears only after a warning', async () => {
    const visitor = await visit()
    const { page, secretDialog } = visitor
    await signUpOnPage(visitor)
    await page.keyboard.press('Escape')
    await page.getByText("You won't see this secret again", { exact: false }).waitFor()
    await page.getByRole('button', { name: 'Keep open' }).click()
    expect(await secretDialog.isVisible()).toBe(true)
  })

  it('a new secret is not in the page, the browser storage or the URL after its dialog has closed', async () => {
    const visitor = await visit()
    const { page, row, saveSecret } = visitor
    await signUpOnPage(visitor)
    const secret = await saveSecret()
    await row('default').waitFor()
    const kept = await page.evaluate(() =>
      JSON.stringify([document.documentElement.outerHTML, { ...localStorage }, { ...sessionStorage }, history.state]),
    )
    expect(kept).not.toContain(secret.slice(15))
    expect(page.url()).not.toContain(secret.slice(15))
  })
})
