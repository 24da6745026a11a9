import { describe, expect, it } from 'vitest'
import { hasFocus, PASSWORD, testDashboard } from './person.ts'

const { database, auth, server, signUp, charge } = testDashboard()

type Person = Awaited<ReturnType<typeof signUp>>

async function openSettings(person: Person): Promise<void> {
  await person.page.getByRole('link', { name: /^Settings/ }).click()
  await person.page.getByRole('heading', { name: 'Settings' }).waitFor()
}

/** Signs in at the auth server, as another device does. Returns the access token, or null if the password is wrong. */
async function signInElsewhere(email: string, password: string): Promise<string | null> {
  const response = await fetch(`${auth.supabaseUrl}/auth/v1/token?grant_type=password`, {
    method: 'POST',
    headers: { apikey: auth.publishableKey, 'content-type': 'application/json' },
    body: JSON.stringify({ email, password }),
  })
  const { access_token = null } = (await response.json()) as { access_token?: string }
  return access_token
}

async function sessionWorks(token: string | null): Promise<boolean> {
  const headers = { apikey: auth.publishableKey, authorization: `Bearer ${token}` }
  return (await fetch(`${auth.supabaseUrl}/auth/v1/user`, { headers })).ok
}

describe('password', () => {
  it('the password changes only together with the current one, and the session of this browser stays', async () => {
    const person = await signUp()
    const { page, email, complaints } = person
    await openSettings(person)
    const form = page.getByRole('region', { name: 'Password' })
    const change = async (current: string, next: string) => {
      await form.getByLabel('Current password').fill(current)
      await form.getByLabel('New password').fill(next)
      await form.getByRole('button', { name: 'Change password' }).click()
    }
    await change('not the password', 'another long password')
    await form.getByText('This is not your current password.').waitFor()
    expect(await signInElsewhere(email, PASSWORD)).not.toBe(null)
    await change(PASSWORD, 'short')
    await form.getByText('Use at least 8 characters.').waitFor()
    await change(PASSWORD, PASSWORD)
    await form.getByText('This is your current password. Choose another one.').waitFor()
    await change(PASSWORD, 'another long password')
    await page.getByText('Your password is changed.', { exact: false }).waitFor()
    expect(await form.getByLabel('Current password').inputValue()).toBe('')
    expect(await signInElsewhere(email, PASSWORD)).toBe(null)
    expect(await signInElsewhere(email, 'another long password')).not.toBe(null)
    await page.getByRole('link', { name: 'API keys' }).click()
    await page.getByRole('button', { name: 'Create key' }).click()
    await page.getByRole('dialog').getByLabel('Name').fill('still signed in')
    await page.getByRole('dialog').getByRole('button', { name: 'Create key' }).click()
    await person.saveSecret()
    expect(complaints).toEqual([])
  })

  // The embedded auth server does not ask for a code. The answers are those of Supabase Auth with "Secure password change".
  it('if the project asks for a code from an e-mail, the page asks for it and sends it with the same passwords', async () => {
    const person = await signUp()
    const { page } = person
    const sent: Record<string, unknown>[] = []
    await page.route(/\/auth\/v1\/user$/, async (route) => {
      if (route.request().method() !== 'PUT') return await route.continue()
      sent.push(route.request().postDataJSON())
      const refuse = async (status: number, code: string) =>
        await route.fulfill({
          status,
          json: { code: status, error_code: code, msg: 'raw' },
          headers: { 'x-supabase-api-version': '2024-01-01' },
        })
      if (sent.length === 1) return await refuse(400, 'reauthentication_needed')
      if (sent.length === 2) return await refuse(422, 'reauthentication_not_valid')
      await route.continue()
    })
    const asked = page.waitForRequest(/\/auth\/v1\/reauthenticate/)
    await openSettings(person)
    const form = page.getByRole('region', { name: 'Password' })
    await form.getByLabel('Current password').fill(PASSWORD)
    await form.getByLabel('New password').fill('another long password')
    await form.getByRole('button', { name: 'Change password' }).click()
    await asked
    await form.getByLabel('Code from the e-mail').fill('000000')
    await form.getByRole('button', { name: 'Change password' }).click()
    await form.getByText('This code is wrong or has expired.', { exact: false }).waitFor()
    await form.getByLabel('Code from the e-mail').fill(' 123456 ')
    await form.getByRole('button', { name: 'Change password' }).click()
    await page.getByText('Your password is changed.', { exact: false }).waitFor()
    const passwords = { password: 'another long password', current_password: PASSWORD }
    expect(sent).toMatchObject([passwords, { ...passwords, nonce: '000000' }, { ...passwords, nonce: '123456' }])
    expect(sent[0]).not.toHaveProperty('nonce')
  })

  it('somebody who has only signed in with a provider is not asked for a password, and can set one by e-mail', async () => {
    const person = await signUp()
    await database.owner.query("update auth.identities set provider = 'google' where user_id = $1", [person.accountId])
    await openSettings(person)
    const form = person.page.getByRole('region', { name: 'Password' })
    expect(await form.getByRole('link', { name: 'Set one by e-mail' }).getAttribute('href')).toBe('/forgot')
    expect(await form.getByLabel('Current password').count()).toBe(0)
  })
})

describe('address', () => {
  it('a new address is shown as waiting for its confirmation, and an address of somebody else is refused without a reason', async () => {
    const [person, other] = [await signUp(), await signUp()]
    const { page, email } = person
    await openSettings(person)
    const form = page.getByRole('region', { name: 'E-mail address' })
    const change = async (address: string) => {
      await form.getByLabel('New address').fill(address)
      await form.getByRole('button', { name: 'Change address' }).click()
    }
    await change(email)
    await form.getByText('This is already your address.').waitFor()
    await change(other.email)
    await form.getByText('This address cannot be used. Use another one.').waitFor()
    await change('not an address')
    await form.getByText('Enter an e-mail address, like name@example.com.').waitFor()
    await change(`new-${email}`)
    const notice = form.getByText('Your address will change to', { exact: false })
    await notice.waitFor()
    expect(await notice.textContent()).toContain(`new-${email}`)
    await page.reload()
    await notice.waitFor()
    await form.getByText(`You sign in as ${email}.`).waitFor()
    const { rows } = await database.owner.query('select email from auth.users where id = $1', [person.accountId])
    expect(rows).toEqual([{ email }])
  })
})

describe('sessions', () => {
  it('“Sign out everywhere” ends every session of the person, and no session of somebody else', async () => {
    const [person, other] = [await signUp(), await signUp()]
    const { page, email } = person
    const [elsewhere, ofOther] = [await signInElsewhere(email, PASSWORD), await signInElsewhere(other.email, PASSWORD)]
    await openSettings(person)
    await page.getByRole('button', { name: 'Sign out everywhere…' }).click()
    await page.getByRole('alertdialog').getByText('takes at most 60 minutes', { exact: false }).waitFor()
    expect(await sessionWorks(elsewhere)).toBe(true)
    await person.confirm('Sign out everywhere')
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    expect(await sessionWorks(elsewhere)).toBe(false)
    expect(await sessionWorks(ofOther)).toBe(true)
  })

  it('if the auth server does not answer, the dialog says so and the session stays', async () => {
    const person = await signUp()
    const { page } = person
    await openSettings(person)
    await page.getByRole('button', { name: 'Sign out everywhere…' }).click()
    await page.route(/\/auth\/v1\/logout/, async (route) => await route.abort())
    await person.confirm('Sign out everywhere')
    await page.getByText('The sign-in server cannot be reached.', { exact: false }).waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('alertdialog').waitFor({ state: 'detached' })
    expect(await hasFocus(page.getByRole('button', { name: 'Sign out everywhere…' }))).toBe(true)
  })
})

describe('display', () => {
  it('the chosen theme applies before the script of the page runs, and another tab follows it', async () => {
    const person = await signUp({ colorScheme: 'light' })
    const { page, complaints } = person
    const background = async (of = page) => await of.evaluate(() => getComputedStyle(document.documentElement).backgroundColor)
    const light = await background()
    await openSettings(person)
    const tab = await page.context().newPage()
    await tab.goto(`${server.url}/settings`)
    await tab.getByRole('heading', { name: 'Settings' }).waitFor()
    await page.getByLabel('Theme').selectOption('Dark')
    const dark = await background()
    expect(dark).not.toBe(light)
    await expect.poll(async () => await background(tab)).toBe(dark)
    await page.route('**/assets/index-*.js', async (route) => await route.abort())
    await page.reload()
    expect(await page.getByRole('status').textContent()).toContain('Loading')
    expect(await background()).toBe(dark)
    await tab.getByLabel('Theme').selectOption('Like the system')
    expect(await background(tab)).toBe(light)
    expect(complaints).toEqual([])
  })

  it('all times are in the chosen time zone, and the usage page opens with the chosen range', async () => {
    const person = await signUp()
    const { page, secret, complaints } = person
    await charge(secret, 5)
    await openSettings(person)
    await page.getByLabel('Time zone').selectOption('Asia/Tokyo')
    await page.getByLabel('Usage page shows').selectOption('Last 24 hours')
    await page.getByRole('link', { name: 'API keys' }).click()
    await person.choose('default', 'Edit…')
    const dialog = page.getByRole('dialog', { name: 'Edit key' })
    await dialog.getByText('The time in Asia/Tokyo.', { exact: false }).waitFor()
    await dialog.getByLabel('Expires').fill('2099-01-02T03:04')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.waitFor({ state: 'detached' })
    const { rows } = await database.owner.query('select expires_at from api_keys where user_id = $1', [person.accountId])
    expect(rows).toEqual([{ expires_at: new Date('2099-01-01T18:04:00Z') }])
    const asked = page.waitForRequest(/usage\.timeseries/)
    await page.getByRole('link', { name: 'Usage' }).click()
    expect(decodeURIComponent((await asked).url())).toContain('"timeZone":"Asia/Tokyo"')
    await page.getByText('Asia/Tokyo', { exact: true }).waitFor()
    const columns = page.getByRole('group', { name: 'Credits by time' }).getByRole('button')
    await expect.poll(async () => await columns.count()).toBe(24)
    await page.getByRole('combobox', { name: 'Time' }).selectOption('This billing cycle')
    await page.waitForURL(/range=cycle/)
    await expect.poll(async () => await columns.count()).toBeGreaterThan(27)
    await page.reload()
    await expect.poll(async () => await columns.count()).toBeGreaterThan(27)
    expect(complaints).toEqual([])
  })

  it('stored choices that are not valid count as not chosen', async () => {
    const person = await signUp({ colorScheme: 'light' })
    const { page, complaints } = person
    await page.evaluate(() => {
      localStorage.setItem('keymeter-theme', 'url(javascript:alert(1))')
      localStorage.setItem('keymeter-time-zone', 'Mars/Olympus')
      localStorage.setItem('keymeter-usage-range', 'year')
    })
    await page.reload()
    await openSettings(person)
    expect(await page.getByLabel('Theme').inputValue()).toBe('system')
    expect(await page.getByLabel('Time zone').inputValue()).toBe('browser')
    expect(await page.getByLabel('Usage page shows').inputValue()).toBe('cycle')
    expect(await page.evaluate(() => document.documentElement.dataset['theme'])).toBe(undefined)
    expect(complaints).toEqual([])
  })
})
