import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { PASSWORD, testDashboard } from './person.ts'

const { auth, database, server, visit, newEmail } = testDashboard({ emailConfirmation: true })

const NEW_PASSWORD = 'another long password'
const dialogOf = (page: Page) => page.getByRole('heading', { name: 'This link is for another person' })
const faultOf = (page: Page) => page.getByRole('heading', { name: 'This link no longer works' })

/** Returns the link of the next mail to the address. */
async function linkTo(email: string, subject = ''): Promise<string> {
  const { links } = await auth.mailbox.next(email, subject)
  const link = links.find((url) => url.startsWith(`${server.url}/confirm#`))
  if (link === undefined) throw new Error(`The mail has no link to the dashboard: ${links.join(' ')}`)
  return link
}

async function signUp(page: Page, email: string, next = ''): Promise<void> {
  await page.goto(`${server.url}/sign-up${next}`)
  await page.getByLabel('E-mail').fill(email)
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD)
  await page.getByRole('button', { name: 'Create account' }).click()
  await page.getByRole('heading', { name: 'Check your e-mail' }).waitFor()
}

async function signIn(page: Page, email: string, password: string): Promise<void> {
  await page.getByLabel('E-mail').fill(email)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
}

/** Signs up and confirms the address in one tab. Returns the visitor, who is signed in. */
async function confirmed() {
  const visitor = await visit()
  const email = newEmail()
  await signUp(visitor.page, email)
  await visitor.page.goto(await linkTo(email))
  await visitor.page.getByRole('button', { name: 'Confirm address' }).click()
  await visitor.saveSecret()
  return { ...visitor, email }
}

async function requestReset(page: Page, email: string): Promise<string> {
  await page.goto(`${server.url}/forgot`)
  await page.getByLabel('E-mail').fill(email)
  await page.getByRole('button', { name: 'Send the link' }).click()
  await page.getByRole('heading', { name: 'Check your e-mail' }).waitFor()
  return await linkTo(email, 'password')
}

const tokenHashOf = (link: string) => new URLSearchParams(new URL(link).hash.slice(1)).get('token_hash') ?? ''

describe('the link that confirms an address', () => {
  it('signs the person in on another device, in a browser without any storage of the sign-up', async () => {
    const email = newEmail()
    await signUp((await visit()).page, email)
    const { page, complaints, saveSecret, row } = await visit()
    const link = await linkTo(email)
    await page.goto(link)
    await page.getByRole('button', { name: 'Confirm address' }).click()
    expect(await saveSecret()).toMatch(/^km_dev_/)
    await row('default').waitFor()
    await page.getByText(email, { exact: true }).waitFor()
    expect(page.url()).toBe(`${server.url}/`)
    expect(complaints).toEqual([])
  })

  it('its token leaves the URL before the page appears, is never in a URL of a request, and is not used without a press of the button', async () => {
    const email = newEmail()
    const { page } = await visit()
    await signUp(page, email)
    const link = await linkTo(email)
    const token = tokenHashOf(link)
    expect(token).not.toBe('')
    const urls: string[] = []
    page.on('request', (request) => urls.push(request.url()))
    await page.goto(link)
    await page.getByRole('button', { name: 'Confirm address' }).waitFor()
    expect(page.url()).toBe(`${server.url}/confirm`)
    expect(urls.filter((url) => url.includes(token))).toEqual([])
    expect(urls.filter((url) => url.includes('/auth/v1/'))).toEqual([])
    const { rows } = await database.owner.query('select email_confirmed_at from auth.users where email = $1', [email])
    expect(rows).toEqual([{ email_confirmed_at: null }])
    await page.reload()
    await page.getByRole('heading', { name: 'Open the link again' }).waitFor()
    await page.goto(link)
    await page.getByRole('button', { name: 'Confirm address' }).click()
    await page.getByRole('dialog', { name: 'Save your secret' }).waitFor()
  })

  it('shows that it no longer works if it is opened a second time, or late, and offers another one', async () => {
    const email = newEmail()
    await signUp((await visit()).page, email)
    const link = await linkTo(email)
    const first = await visit()
    await first.page.goto(link)
    await first.page.getByRole('button', { name: 'Confirm address' }).click()
    await first.saveSecret()

    const late = newEmail()
    await signUp((await visit()).page, late)
    await database.owner.query("update auth.users set confirmation_sent_at = now() - interval '2 days' where email = $1", [
      late,
    ])
    for (const used of [link, await linkTo(late)]) {
      const { page, complaints } = await visit()
      await page.goto(used)
      await page.getByRole('button', { name: 'Confirm address' }).click()
      await faultOf(page).waitFor()
      await page.getByLabel('E-mail').fill(late)
      await page.getByRole('button', { name: 'Send another link' }).click()
      await page.getByText('If this address waits for its confirmation').waitFor()
      expect(await page.getByRole('button', { name: /^Send again in \d+ s$/ }).getAttribute('aria-disabled')).toBe('true')
      expect(complaints).toEqual([])
    }
  })

  it('asks before it signs in another person than the one who is signed in, and both answers work', async () => {
    const { page, email: first, row, choose: _, saveSecret } = await confirmed()
    const second = newEmail()
    const third = newEmail()
    for (const email of [second, third]) await signUp((await visit()).page, email)

    await page.goto(await linkTo(second))
    await page.getByRole('button', { name: 'Confirm address' }).click()
    await dialogOf(page).waitFor()
    const question = (await page.getByRole('main').textContent()) ?? ''
    expect(question).toContain(`You are signed in as ${first}. The link is for ${second}.`)
    await page.getByRole('button', { name: `Stay signed in as ${first}` }).click()
    await row('default').waitFor()
    await page.getByText(first, { exact: true }).waitFor()

    await page.goto(await linkTo(third))
    await page.getByRole('button', { name: 'Confirm address' }).click()
    await dialogOf(page).waitFor()
    await page.getByRole('button', { name: 'Sign out and continue' }).click()
    await saveSecret()
    await page.getByText(third, { exact: true }).waitFor()
    expect(await page.getByText(first).count()).toBe(0)
    // The address of the second person is confirmed, but the session of the link has ended.
    const sessions = await database.owner.query(
      'select email, count(sessions.id)::int from auth.users left join auth.sessions on user_id = users.id where email = any($1) group by email',
      [[first, second, third]],
    )
    expect(new Map(sessions.rows.map(({ email, count }) => [email, count]))).toEqual(
      new Map([
        [first, 0],
        [second, 0],
        [third, 1],
      ]),
    )
  })

  it('leads to the page from which the person signed up', async () => {
    const email = newEmail()
    await signUp((await visit()).page, email)
    const { page, saveSecret } = await visit()
    await page.goto(`${await linkTo(email)}/usage?range=day`)
    await page.getByRole('button', { name: 'Confirm address' }).click()
    await saveSecret()
    await page.waitForURL(`${server.url}/usage?range=day`)
  })
})

describe('the link that changes an address', () => {
  it('changes the address in another browser, says so, and leads to the settings', async () => {
    const { page: asking, email } = await confirmed()
    const newAddress = newEmail()
    const changed = await asking.evaluate(
      async ({ url, apikey, body }) => {
        const { access_token } = JSON.parse(localStorage.getItem('keymeter-session') ?? '{}')
        const headers = { apikey, authorization: `Bearer ${access_token}`, 'content-type': 'application/json' }
        return (await fetch(url, { method: 'PUT', headers, body: JSON.stringify(body) })).status
      },
      { url: `${auth.supabaseUrl}/auth/v1/user`, apikey: auth.publishableKey, body: { email: newAddress } },
    )
    expect(changed).toBe(200)
    // The auth server of the tests changes the address after the present one has confirmed. Supabase Auth also asks the new one.
    const { page } = await visit()
    await page.goto(await linkTo(email))
    await page.getByRole('button', { name: 'Confirm change' }).click()
    await page.getByText(`Your address is now ${newAddress}.`).waitFor()
    expect(page.url()).toBe(`${server.url}/settings`)
    const kept = await page.evaluate(() => JSON.parse(localStorage.getItem('keymeter-session') ?? '{}').user.email)
    expect(kept).toBe(newAddress)
  })
})

describe('the answer of Supabase Auth to the token of a link', () => {
  /** Answers in place of Supabase Auth, because the auth server of the tests does not give these answers. */
  const open = async (type: string, status: number, json: object, times?: number) => {
    const { page } = await visit()
    const headers = {
      'access-control-allow-origin': '*',
      'access-control-expose-headers': 'x-supabase-api-version',
      'x-supabase-api-version': '2024-01-01',
    }
    await page.route(
      '**/auth/v1/verify',
      async (route) => await route.fulfill({ status, headers, json }),
      times ? { times } : {},
    )
    await page.goto(`${server.url}/confirm#token_hash=a-token&type=${type}`)
    await page.getByRole('main').getByRole('button').first().click()
    return page
  }

  it('is that the other address of a change must confirm too, and the page says so', async () => {
    const msg = 'Confirmation link accepted. Please proceed to confirm link sent to the other email'
    const page = await open('email_change', 200, { code: '200', msg })
    await page.getByRole('heading', { name: 'One of two addresses is confirmed' }).waitFor()
  })

  it('is that the person is blocked, and the page says so', async () => {
    const page = await open('signup', 403, { code: 'user_banned', message: 'User is banned' })
    await page.getByText('This account is blocked.', { exact: false }).waitFor()
  })

  it('is a fault, and the page does not call the link used but can send it again', async () => {
    const page = await open('signup', 500, { code: 'unexpected_failure', message: 'Database error' }, 1)
    await page.getByText('The sign-in server cannot be reached.', { exact: false }).waitFor()
    await page.getByRole('button', { name: 'Try again' }).click()
    await faultOf(page).waitFor()
  })
})

describe('a link of the default mail templates of Supabase, which leads to Supabase Auth first', () => {
  it('signs in only after the person has seen the address and pressed the button, and the tokens leave the URL', async () => {
    const email = newEmail()
    await signUp((await visit()).page, email)
    const token = tokenHashOf(await linkTo(email))
    const redirected = await fetch(`${auth.supabaseUrl}/auth/v1/verify?token=${token}&type=signup`, { redirect: 'manual' })
    const target = redirected.headers.get('location') ?? ''
    expect(target).toMatch(new RegExp(`^${server.url}/?#access_token=`))
    const { page, saveSecret, complaints } = await visit()
    await page.goto(target)
    await page.getByText(`You will be signed in as ${email}.`).waitFor()
    expect(page.url()).toBe(`${server.url}/confirm`)
    expect(await page.evaluate(() => localStorage.length)).toBe(0)
    await page.getByRole('button', { name: 'Confirm address' }).click()
    await saveSecret()
    await page.getByText(email, { exact: true }).waitFor()
    expect(complaints).toEqual([])
  })

  it('shows that it no longer works if Supabase Auth has refused it', async () => {
    const redirected = await fetch(`${auth.supabaseUrl}/auth/v1/verify?token=wrong&type=recovery`, { redirect: 'manual' })
    const target = redirected.headers.get('location') ?? ''
    expect(target).toContain('error_code=otp_expired')
    const { page } = await visit()
    await page.goto(target)
    await faultOf(page).waitFor()
    expect(page.url()).toBe(`${server.url}/confirm`)
    await page.getByRole('link', { name: 'ask for another link' }).click()
    await page.getByRole('heading', { name: 'Set a new password' }).waitFor()
  })

  // The texts and the forms of these addresses are those of prepRedirectURL and prepErrorRedirectURL in internal/api/verify.go of
  // Supabase Auth.
  it('says that the other address must confirm too, after one of the two addresses of a change has confirmed', async () => {
    const { page } = await visit()
    const message = 'message=Confirmation+link+accepted.+Please+proceed+to+confirm+link+sent+to+the+other+email'
    for (const query of ['', `?${message}`]) {
      await page.goto(`${server.url}/settings${query}#${message}&sb=`)
      await page.getByRole('heading', { name: 'One of two addresses is confirmed' }).waitFor()
      expect(page.url()).toBe(`${server.url}/confirm?next=%2Fsettings`)
    }
  })

  it('says why it does not work: it has expired or was used, the person is blocked, or the auth server had a fault', async () => {
    const { page } = await visit()
    for (const [hash, text] of [
      [
        'error=access_denied&error_code=otp_expired&error_description=Email+link+is+invalid+or+has+expired',
        'The link has expired, or it was already used.',
      ],
      [
        'error=invalid_request&error_code=flow_state_not_found&error_description=No+associated+flow+state+found.+',
        'The link has expired, or it was already used.',
      ],
      ['error=access_denied&error_code=user_banned&error_description=User+is+banned', 'This account is blocked.'],
      [
        'error=server_error&error_code=unexpected_failure&error_description=Database+error+updating+user',
        'The sign-in server had a fault. Open the link in the mail again in a few minutes.',
      ],
    ] as const) {
      await page.goto('about:blank')
      await page.goto(`${server.url}/usage#${hash}&sb=`)
      await page.getByText(text, { exact: false }).waitFor()
      expect(page.url()).toBe(`${server.url}/confirm?next=%2Fusage`)
    }
  })
})

describe('a person who has forgotten the password', () => {
  it('sets a new password on another device, which ends all other sessions, and the previous password no longer works', async () => {
    const known = await confirmed()
    const link = await requestReset((await visit()).page, known.email)
    const { page, row, complaints } = await visit()
    await page.goto(link)
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.waitForURL(`${server.url}/reset`)
    await page.reload()
    const password = page.getByLabel('New password')
    await password.fill('short')
    await page.getByRole('button', { name: 'Set password' }).click()
    await page.getByText('Use at least 8 characters').first().waitFor()
    await password.fill(PASSWORD)
    await page.getByRole('button', { name: 'Set password' }).click()
    await page.getByText('This is your present password.').waitFor()
    await password.fill(NEW_PASSWORD)
    await page.getByRole('button', { name: 'Show password' }).click()
    expect(await password.getAttribute('type')).toBe('text')
    await page.getByRole('button', { name: 'Set password' }).click()
    await page.getByText('Your password is changed. All your other devices are signed out.').waitFor()
    await row('default').waitFor()
    const { rows } = await database.owner.query(
      'select count(*)::int from auth.sessions join auth.users on users.id = user_id where email = $1',
      [known.email],
    )
    expect(rows).toEqual([{ count: 1 }])
    expect(complaints).toEqual([])

    const elsewhere = await visit()
    await elsewhere.page.goto(server.url)
    await signIn(elsewhere.page, known.email, PASSWORD)
    await elsewhere.page.getByText('Wrong e-mail address or password.').waitFor()
    await signIn(elsewhere.page, known.email, NEW_PASSWORD)
    await elsewhere.row('default').waitFor()
    // A signed-in person cannot set a password without the link of a mail.
    await elsewhere.page.goto(`${server.url}/reset`)
    await elsewhere.page.getByText('To set a new password, open the link in the mail.').waitFor()
    // The link works once.
    await elsewhere.page.goto(link)
    await elsewhere.page.getByRole('button', { name: 'Continue' }).click()
    await faultOf(elsewhere.page).waitFor()
  })

  it('learns on the page for the new password that the link was for another person than the one who is signed in', async () => {
    const [known, other] = [await confirmed(), await confirmed()]
    const link = await requestReset((await visit()).page, known.email)
    const { page } = await visit()
    await page.goto(link)
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.getByLabel('New password').waitFor()
    const tab = await page.context().newPage()
    await tab.goto(server.url)
    await tab.getByRole('button', { name: 'Sign out' }).click()
    await signIn(tab, other.email, PASSWORD)
    await tab.getByRole('button', { name: 'Actions for default' }).waitFor()
    await page.getByText(`You are now signed in as ${other.email}, and the link was for another person.`).waitFor()
    expect(await page.getByLabel('New password').count()).toBe(0)
  })

  it('sees the same page for an address without an account', async () => {
    const { page: known } = await confirmed()
    const texts: (string | null)[] = []
    for (const email of [(await known.getByText('person-').textContent()) ?? '', newEmail()]) {
      const { page } = await visit()
      await page.goto(`${server.url}/forgot`)
      await page.getByLabel('E-mail').fill(email)
      await page.getByRole('button', { name: 'Send the link' }).click()
      await page.getByRole('heading', { name: 'Check your e-mail' }).waitFor()
      texts.push(((await page.getByRole('main').textContent()) ?? '').replace(email, '…').replace(/\d+ s/, '… s'))
    }
    expect(texts[0]).toContain('If … has an account')
    expect(texts[1]).toBe(texts[0])
  })
})
