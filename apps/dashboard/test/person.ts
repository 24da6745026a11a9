import type { RouterOutputs } from '@keymeter/api'
import type { MemberRole } from '@keymeter/contract'
import { testAuth, testDatabase, testServer } from '@keymeter/local/testing'
import type { BrowserContextOptions, Locator, Page } from 'playwright-core'
import { expect } from 'vitest'
import { testBrowser } from './browser.ts'

type SignUp = RouterOutputs['auth']['signup']

export const PASSWORD = 'a long password'

/** One browser tab with its own profile. */
export interface Visitor {
  page: Page
  /** Errors on the console, including violations of the Content-Security-Policy. The page must not cause such errors. */
  complaints: string[]
  /** Returns the row of a table that contains this text. */
  row: (text: string) => Locator
  /** Chooses an action from the menu of a key. */
  choose: (key: string, action: string) => Promise<void>
  /** Presses this button of the dialog that asks whether to continue. */
  confirm: (action: string) => Promise<void>
  secretDialog: Locator
  /** Copies the secret that the dialog shows, closes the dialog and returns the secret. */
  saveSecret: () => Promise<string>
}

/** A visitor who is signed in, sees the list of keys, and has saved the secret of the key `default`. */
export interface Person extends Visitor {
  email: string
  accountId: string
  secret: string
  accessToken: string
}

/** A visitor who is signed in as a member of the account of somebody else. */
export interface Member extends Visitor {
  email: string
  userId: string
  accessToken: string
}

interface VisitOptions extends BrowserContextOptions {
  /** If false, the refresh timers of the page do not run, so changes appear only through the stream. */
  polls?: boolean
  /**
   * If false, the browser has no file picker, so the page saves files as downloads. Most tests use false, because a test cannot
   * answer the dialog of a file picker.
   */
  hasFilePicker?: boolean
}

/**
 * Starts a database, an auth server, a Keymeter server and a browser for one test file. Returns functions that create users and
 * act for them.
 *
 * @param options.emailConfirmation If true, people must confirm their address before their first session.
 * @param options.settings Further environment variables of the server.
 */
export function testDashboard(
  options: { emailConfirmation?: boolean; secondFactor?: boolean; settings?: Record<string, string> } = {},
) {
  const database = testDatabase()
  const auth = testAuth(database, options)
  const server = testServer(database, auth, 'main', options.settings)
  const browser = testBrowser()
  let people = 0
  let requests = 0

  /** Opens an empty tab. */
  const visit = async ({ polls = true, hasFilePicker = true, ...options }: VisitOptions = {}): Promise<Visitor> => {
    const page = await browser.newPage({ permissions: ['clipboard-read', 'clipboard-write'], ...options })
    if (!polls) await page.addInitScript(() => Reflect.set(window, 'setInterval', () => 0))
    if (!hasFilePicker) await page.addInitScript(() => Reflect.deleteProperty(window, 'showSaveFilePicker'))
    return visitor(page)
  }

  const newEmail = () => `person-${people++}@example.com`

  /** Creates an account through the API and opens the list of keys with its session. */
  const signUp = async (options: VisitOptions = {}): Promise<Person> => {
    const email = newEmail()
    const { user, session, defaultKey } = await call<SignUp>('auth.signup', { email, password: PASSWORD })
    if (session === null || defaultKey === null) throw new Error('The sign-up created no session or no key.')
    await call('keys.confirmSecretSaved', { id: defaultKey.id }, session.accessToken)
    const visitor = await visit({ ...options, storageState: signedInState(user, session) })
    await visitor.page.goto(server.url)
    await visitor.row('default').getByRole('button', { name: 'Actions for default' }).waitFor()
    return { ...visitor, email, accountId: user.id, secret: defaultKey.secret, accessToken: session.accessToken }
  }

  /** Invites a person to the account of `owner`. Returns the token of the invitation. */
  const invite = async (owner: Person, email: string, role: MemberRole): Promise<string> => {
    const { link } = await call<RouterOutputs['members']['invite']>('members.invite', { email, role }, owner.accessToken)
    return new URL(link, server.url).hash.slice(1)
  }

  /** Makes a person who has an own account a member of the account of `owner`. */
  const join = async (owner: Person, person: Person, role: MemberRole): Promise<void> => {
    const token = await invite(owner, person.email, role)
    await call('members.acceptInvitation', { token }, person.accessToken)
  }

  /** Signs up a person by an invitation, so the person has no own account, and opens the list of the keys of the account. */
  const signUpInvited = async (owner: Person, role: MemberRole, options: VisitOptions = {}): Promise<Member> => {
    const email = newEmail()
    const token = await invite(owner, email, role)
    const { user, session } = await call<SignUp>('auth.signup', { email, password: PASSWORD })
    if (session === null) throw new Error('The sign-up created no session.')
    await call('members.acceptInvitation', { token }, session.accessToken)
    const visitor = await visit({ ...options, storageState: signedInState(user, session) })
    await visitor.page.goto(server.url)
    await visitor.row('default').waitFor()
    return { ...visitor, email, userId: user.id, accessToken: session.accessToken }
  }

  /**
   * Makes the sign-in of the person older than a sensitive change allows. The page gets another access token of the same session,
   * which contains the earlier time.
   */
  const ageSignIn = async ({ page, email }: Pick<Person, 'page' | 'email'>): Promise<void> => {
    await database.owner.query(
      `update auth.sessions set created_at = created_at - interval '31 minutes'
        where user_id = (select id from auth.users where email = $1)`,
      [email],
    )
    await page.evaluate(() => {
      const kept = JSON.parse(localStorage.getItem('keymeter-session') ?? '')
      localStorage.setItem('keymeter-session', JSON.stringify({ ...kept, expires_at: 1 }))
    })
  }

  /** Returns the browser storage of a signed-in user, as the client of Supabase Auth writes it. */
  const signedInState = (user: SignUp['user'], session: NonNullable<SignUp['session']>) => {
    const kept = {
      access_token: session.accessToken,
      refresh_token: session.refreshToken,
      expires_at: Math.floor(Date.parse(session.expiresAt) / 1000),
      token_type: 'bearer',
      user,
    }
    const localStorage = [{ name: 'keymeter-session', value: JSON.stringify(kept) }]
    return { cookies: [], origins: [{ origin: server.url, localStorage }] }
  }

  /** Signs up on the page. The dialog with the first secret stays open. */
  const signUpOnPage = async ({ page, secretDialog }: Visitor): Promise<string> => {
    const email = newEmail()
    await page.goto(`${server.url}/sign-up`)
    await page.getByLabel('E-mail').fill(email)
    await page.getByLabel('Password', { exact: true }).fill(PASSWORD)
    await page.getByRole('button', { name: 'Create account' }).click()
    await secretDialog.waitFor()
    return email
  }

  /** Signs in a user whom the auth server knows, but who has no Keymeter account, as after a first sign-in with an OAuth provider. */
  const signInUnprovisioned = async ({ page }: Visitor): Promise<void> => {
    const email = newEmail()
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

  const call = async <Data = Record<string, unknown>>(
    procedure: string,
    input: object,
    token?: string,
    account?: string,
  ): Promise<Data> => {
    const response = await fetch(`${server.url}/trpc/${procedure}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(account !== undefined && { 'x-keymeter-account': account }),
      },
      body: JSON.stringify(input),
    })
    const { result } = (await response.json()) as { result?: { data: Data } }
    if (result === undefined) throw new Error(`${procedure} answered ${response.status}`)
    return result.data
  }

  /** Calls a procedure with the service key, as the company's backend does. */
  const asBackend = async (procedure: string, input: object) => await call(procedure, input, auth.serviceKey)

  /** Returns a new idempotency key. */
  const once = () => `request-${requests++}`

  const charge = async (key: string, credits: number) => {
    const charged = await asBackend('metering.charge', { key, credits, idempotencyKey: once() })
    expect(charged).toMatchObject({ verdict: 'charged' })
    return charged
  }

  return {
    auth,
    database,
    server,
    visit,
    newEmail,
    signUp,
    signUpInvited,
    ageSignIn,
    signUpOnPage,
    signInUnprovisioned,
    invite,
    join,
    call,
    asBackend,
    charge,
    once,
  }
}

function visitor(page: Page): Visitor {
  const complaints: string[] = []
  page.on('console', (message) => {
    // Chromium also reports each response with a status of 400 or higher on the console. Tests cause such responses on purpose,
    // so these messages are ignored.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(error.message))
  const secretDialog = page.getByRole('dialog', { name: 'Save your secret' })
  return {
    page,
    complaints,
    secretDialog,
    row: (text) => page.getByRole('row').filter({ hasText: text }),
    choose: async (key, action) => {
      await page.getByRole('button', { name: `Actions for ${key}` }).click()
      await page.getByRole('menuitem', { name: action }).click()
    },
    confirm: async (action) => {
      await page.getByRole('alertdialog').getByRole('button', { name: action }).click()
    },
    saveSecret: async () => {
      await secretDialog.waitFor()
      const secret = await secretDialog.getByRole('textbox').inputValue()
      await secretDialog.getByRole('button', { name: /Copy/ }).click()
      await secretDialog.getByRole('button', { name: 'Done' }).click()
      await secretDialog.waitFor({ state: 'hidden' })
      return secret
    },
  }
}

/** Returns true if the element has the keyboard focus. */
export async function hasFocus(element: Locator): Promise<boolean> {
  return await element.evaluate((node) => node === document.activeElement)
}

/** Makes the page refresh its data immediately, as when the user comes back to the tab. */
export async function comeBackTo(page: Page): Promise<void> {
  await page.evaluate(() => window.dispatchEvent(new Event('visibilitychange')))
}
