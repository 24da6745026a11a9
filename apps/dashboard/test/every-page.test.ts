import { setTimeout as sleep } from 'node:timers/promises'
import type { Page, Request } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { ALL_RULES, COLOR_RULES, violationsOn } from './axe.ts'
import { hasFocus, testDashboard } from './person.ts'

const { auth, database, server, visit, signUp, ageSignIn, signUpOnPage, asBackend, charge, once } = testDashboard()

/** The sum of all answers of the first visit, with their headers, as they are on the network. */
const FIRST_LOAD_KIB_MAX = 300

/** An open stream shows a charge within this time. If a charge has not appeared after this time, no stream is open. */
const STREAM_SHOWS_WITHIN_MS = 1_000

const realTime = (page: Page) => page.getByText('Real time')
const isWatch = (request: Request) => request.url().includes('/trpc/usage.watch')

/** Checks that the page is accessible in both colour schemes and does not scroll sideways. */
async function inspectPage(page: Page): Promise<void> {
  await page.emulateMedia({ colorScheme: 'light' })
  expect(await violationsOn(page, ALL_RULES)).toEqual([])
  await page.emulateMedia({ colorScheme: 'dark' })
  expect(await violationsOn(page, COLOR_RULES)).toEqual([])
  expect(
    await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
  ).toBeLessThanOrEqual(0)
}

describe('all pages', () => {
  it(`the first load transfers at most ${FIRST_LOAD_KIB_MAX} KiB, and the page shows that it loads before any script runs`, async () => {
    const { page } = await visit()
    let bytes = 0
    const measured: Promise<void>[] = []
    page.on('requestfinished', (request) => {
      const measure = async () => {
        const { responseHeadersSize, responseBodySize } = await request.sizes()
        bytes += responseHeadersSize + responseBodySize
      }
      measured.push(measure())
    })
    let shown: string | null = null
    await page.route('**/assets/index-*.js', async (route) => {
      shown = await page.getByRole('status').textContent()
      await route.continue()
    })
    await page.goto(`${server.url}/sign-in`)
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    await page.waitForLoadState('networkidle')
    await Promise.all(measured)
    expect(shown).toContain('Loading')
    expect(measured.length).toBeGreaterThanOrEqual(6)
    expect(bytes / 1024).toBeLessThanOrEqual(FIRST_LOAD_KIB_MAX)
  })

  for (const width of [1280, 360]) {
    it(`every page is accessible and does not scroll sideways at a width of ${width} px, in light and dark mode`, async () => {
      const visitor = await visit({ viewport: { width, height: 800 }, reducedMotion: 'reduce' })
      const { page, row, choose, confirm, secretDialog, saveSecret, complaints } = visitor
      const inspect = async () => await inspectPage(page)
      await page.goto(`${server.url}/sign-in`)
      await page.getByRole('heading', { name: 'Sign in' }).waitFor()
      await inspect()
      await page.goto(`${server.url}/sign-up`)
      await page.getByRole('button', { name: 'Create account' }).waitFor()
      await inspect()
      const email = await signUpOnPage(visitor)
      await inspect()
      const hidden = await secretDialog.getByRole('textbox').evaluate((field) => field.scrollHeight - field.clientHeight)
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
      const edit = page.getByRole('dialog', { name: 'Edit key' })
      await edit.waitFor()
      await inspect()
      await page.keyboard.press('Escape')
      await edit.waitFor({ state: 'detached' })
      await choose('default', 'Rotate secret…')
      await page.getByRole('dialog', { name: 'Rotate secret' }).waitFor()
      await inspect()
      await page.getByRole('button', { name: 'Rotate secret' }).click()
      await secretDialog.getByRole('button', { name: 'Done' }).click()
      await page.getByRole('alertdialog', { name: 'Close without copying?' }).waitFor()
      await inspect()
      await page.getByRole('button', { name: 'Close anyway' }).click()
      // Wait until the row of the key shows both buttons, so that the next inspection includes them.
      await row('default').getByRole('button', { name: 'Get a new one' }).waitFor()
      await row('default').getByRole('button', { name: 'End now' }).waitFor()
      await row('default').getByRole('button', { name: 'Get a new one' }).click()
      await page.getByRole('alertdialog', { name: 'Get a new secret?' }).waitFor()
      await inspect()
      await page.keyboard.press('Escape')
      await page.getByRole('alertdialog').waitFor({ state: 'detached' })
      await row('default').getByRole('button', { name: 'End now' }).click()
      await page.getByRole('alertdialog', { name: 'End all previous secrets now?' }).waitFor()
      await inspect()
      await page.keyboard.press('Escape')
      await page.getByRole('alertdialog').waitFor({ state: 'detached' })
      await choose('default', 'Disable…')
      await page.getByRole('alertdialog', { name: 'Disable key' }).waitFor()
      await inspect()
      await confirm('Disable')
      await page.getByRole('button', { name: 'Undo' }).waitFor()
      await row('default').getByText('Disabled').waitFor()
      await inspect()
      await page.getByRole('button', { name: 'Create key' }).first().click()
      const create = page.getByRole('dialog', { name: 'Create a key' })
      await create.waitFor()
      await page.getByText('More options').click()
      await inspect()
      await page.keyboard.press('Escape')
      await create.waitFor({ state: 'detached' })
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
      await page.getByRole('combobox', { name: 'Key', exact: true }).click()
      await page
        .getByRole('listbox')
        .getByRole('option', { name: /^default/ })
        .waitFor()
      await inspect()
      await page.keyboard.press('Escape')
      await page.getByRole('listbox').waitFor({ state: 'detached' })
      await page.getByRole('searchbox', { name: 'Operation' }).fill('Not One')
      await page.getByText('Use 1 to 64 of a-z').waitFor()
      await inspect()
      await asBackend('operator.grantTopUp', { accountId, credits: 500, idempotencyKey: once(), note: 'x'.repeat(200) })
      await asBackend('operator.suspend', { accountId })
      await page.getByRole('link', { name: 'Billing' }).click()
      await page.getByText('This account has been suspended', { exact: false }).waitFor()
      await page.getByRole('list', { name: 'Share of the plan used' }).waitFor()
      for (const [name, max] of [
        ['Share of the plan used', '1000'],
        ['Credits left', '9007199254740991'],
      ] as const) {
        await page.getByRole('region', { name }).getByRole('button', { name: 'Add', exact: true }).click()
        await page.getByText(`to ${max}.`, { exact: false }).waitFor()
      }
      await inspect()
      await page.getByRole('link', { name: 'Members' }).click()
      await page.getByLabel('Invite by e-mail address').fill('colleague@example.com')
      await page.getByRole('button', { name: 'Invite' }).click()
      const link = await page.getByRole('textbox', { name: 'Link of the invitation' }).inputValue()
      await page.getByText('What the roles may do').click()
      await inspect()
      await database.createUser()
      await database.owner.query(
        "insert into account_members (user_id, member_id, role, email) select $1, id, 'developer', email from auth.users where id <> $1 limit 1",
        [accountId],
      )
      await database.owner.query(
        'update api_keys set created_by = (select member_id from account_members where user_id = $1 and member_id <> $1 limit 1) where user_id = $1',
        [accountId],
      )
      await page.reload()
      for (const [button, role, dialog] of [
        [/^Change the role of/, 'dialog', 'Change role'],
        [/^Make .* the owner/, 'dialog', 'Transfer ownership'],
        [/^Remove/, 'alertdialog', 'Remove this member?'],
      ] as const) {
        await page.getByRole('button', { name: button }).click()
        await page.getByRole(role, { name: dialog }).waitFor()
        if (role === 'alertdialog') await page.getByRole('list', { name: 'Live keys of the member' }).waitFor()
        await inspect()
        await page.keyboard.press('Escape')
        await page.getByRole(role, { name: dialog }).waitFor({ state: 'detached' })
      }
      await page.getByRole('link', { name: /^Settings/ }).click()
      await page.getByRole('heading', { name: 'Settings' }).waitFor()
      await page.getByLabel('New address').fill('another@example.com')
      await page.getByRole('button', { name: 'Change address' }).click()
      await page.getByText('Your address will change to', { exact: false }).waitFor()
      await inspect()
      for (const [button, title] of [
        ['Delete account…', 'Delete this account?'],
        ['Delete sign-in…', 'Delete your sign-in?'],
      ] as const) {
        await page.getByRole('button', { name: button }).click()
        const deletion = page.getByRole('alertdialog', { name: title })
        await deletion.getByRole('button', { name: /^Delete/ }).click()
        await deletion.getByText('This is not the text.', { exact: false }).waitFor()
        await inspect()
        await deletion.getByRole('button', { name: 'Cancel' }).click()
        await deletion.waitFor({ state: 'detached' })
      }
      await page.getByRole('button', { name: 'Sign out everywhere…' }).click()
      await page.getByRole('alertdialog', { name: 'Sign out everywhere?' }).waitFor()
      await inspect()
      await page.keyboard.press('Escape')
      await page.getByRole('alertdialog').waitFor({ state: 'detached' })
      await ageSignIn({ page, email })
      await page.getByRole('link', { name: 'API keys' }).click()
      await page.getByRole('button', { name: 'Create key' }).click()
      await create.getByLabel('Name').fill('late')
      await create.getByRole('button', { name: 'Create key' }).click()
      await page.getByRole('dialog', { name: 'Confirm that it is you' }).waitFor()
      await inspect()
      await page.keyboard.press('Escape')
      await page.goto(link)
      await page.getByText('You are signed in as', { exact: false }).waitFor()
      await inspect()
      await page.getByRole('button', { name: 'Sign out and continue' }).click()
      await page.getByRole('button', { name: 'Sign up to join' }).waitFor()
      await inspect()
      expect(complaints).toEqual([])
    })
  }
})

describe('the pages for links of mails', () => {
  for (const width of [1280, 360]) {
    it(`they are accessible and do not scroll sideways at a width of ${width} px, in light and dark mode`, async () => {
      const person = await signUp()
      const other = await signUp()
      const { page, complaints } = await visit({ viewport: { width, height: 800 }, reducedMotion: 'reduce' })
      const inspect = async (heading: string) => {
        await page.getByRole('heading', { name: heading }).waitFor()
        await inspectPage(page)
      }
      /** Loads the page of a link. Without the empty page, a link that differs only in its hash would not load the page. */
      const open = async (link: string) => {
        await page.goto('about:blank')
        await page.goto(link)
      }
      const recoveryOf = async ({ email }: { email: string }) => {
        await open(`${server.url}/forgot`)
        await inspect('Set a new password')
        await page.getByLabel('E-mail').fill(email)
        await page.getByRole('button', { name: 'Send the link' }).click()
        await inspect('Check your e-mail')
        const { links } = await auth.mailbox.next(email)
        return links.find((link) => link.includes('/confirm#')) ?? ''
      }
      await open(`${server.url}/confirm`)
      await inspect('Open the link again')
      for (const [type, title, button] of [
        ['signup', 'Confirm your address', 'Confirm address'],
        ['recovery', 'Set a new password', 'Continue'],
        ['email_change', 'Change your address', 'Confirm change'],
        ['invite', 'Accept the invitation', 'Accept'],
      ] as const) {
        await open(`${server.url}/confirm#token_hash=wrong&type=${type}`)
        await inspect(title)
        await page.getByRole('button', { name: button }).click()
        await inspect('This link no longer works')
      }
      await open(`${server.url}/#message=half&sb=`)
      await inspect('One of two addresses is confirmed')
      await open(`${server.url}/reset`)
      await page.getByText('To set a new password, open the link in the mail.').waitFor()
      await inspect('Set a new password')
      await open(await recoveryOf(person))
      await page.getByRole('button', { name: 'Continue' }).click()
      await page.getByLabel('New password').waitFor()
      await inspect('Set a new password')
      await open(await recoveryOf(other))
      await page.getByRole('button', { name: 'Continue' }).click()
      await inspect('This link is for another person')
      await page.getByRole('button', { name: 'Stay signed in' }).click()
      await page.getByRole('button', { name: 'Actions for default' }).waitFor()
      const tab = await page.context().newPage()
      await tab.goto(server.url)
      await tab.getByRole('button', { name: 'Sign out' }).click()
      await inspect('Sign in again')
      expect(complaints).toEqual([])
    })
  }
})

describe('spending in real time', () => {
  it('new spending appears on the keys page and the usage page without a reload or polling, and does not move the focus', async () => {
    const visitor = await visit({ polls: false })
    const { page, row, saveSecret, complaints } = visitor
    const requests: Request[] = []
    page.on('request', (request) => requests.push(request))
    await signUpOnPage(visitor)
    const secret = await saveSecret()
    await realTime(page).waitFor()
    const menu = page.getByRole('button', { name: 'Actions for default' })
    await menu.focus()
    await page.getByText('1,000 left').waitFor()
    await row('default').evaluate((element) => element.setAttribute('data-is-the-same', ''))

    for (const used of [30, 60, 90]) {
      await charge(secret, 30)
      await page.getByText(`${1000 - used} left`).waitFor()
      await row('default').getByText(String(used), { exact: true }).waitFor()
    }
    expect(await row('default').getAttribute('data-is-the-same')).toBe('')
    expect(await hasFocus(menu)).toBe(true)

    await page.getByRole('link', { name: 'Usage' }).click()
    await page.getByRole('row', { name: /default 3 90/ }).waitFor()
    await charge(secret, 30)
    const events = page.getByRole('region', { name: 'Events' }).getByRole('row')
    await page.getByRole('row', { name: /default 4 120/ }).waitFor()
    // The first row contains the column headings. The next four rows are charges.
    await events.nth(4).waitFor()
    await page.getByRole('button', { name: /: 120 credits \(default 120\)/ }).waitFor()

    // All pages share one stream. The access token of the stream is only in a header, not in a URL.
    const watches = requests.filter(isWatch)
    expect(watches).toHaveLength(1)
    const token = (await watches[0]?.allHeaders())?.['authorization']?.replace('Bearer ', '') ?? ''
    expect(token).toMatch(/^eyJ/)
    const [, payload = 'none'] = token.split('.')
    for (const request of requests) expect(request.url()).not.toContain(payload)
    expect(complaints).toEqual([])
  })

  it('the page reopens a broken or refused stream, and then also shows the credits that were spent while no stream was open', async () => {
    const visitor = await visit({ polls: false })
    const { page, saveSecret, complaints } = visitor
    const tries: number[] = []
    await page.route(/usage\.watch/, async (route) => {
      if (tries.push(performance.now()) > 2) return await route.continue()
      await route.fulfill({
        contentType: 'text/event-stream',
        body: tries.length === 1 ? 'event: connected\ndata: {}\n\n' : 'event: serialized-error\ndata: {}\n\n',
      })
    })
    await signUpOnPage(visitor)
    const secret = await saveSecret()
    await charge(secret, 40)
    await page.waitForResponse((response) => isWatch(response.request()) && tries.length === 3)
    const [first = 0, second = 0, third = 0] = tries
    // After a broken stream, the page reopens it soon. After a refused stream, the page waits longer.
    expect(third - second).toBeGreaterThan(8_000)
    expect(second - first).toBeLessThan(third - second)
    await page.getByText('960 left').waitFor()
    await realTime(page).waitFor()
    await charge(secret, 40)
    await page.getByText('920 left').waitFor()
    expect(complaints).toEqual([])
  })

  it('new spending appears even if an earlier request of the page was never answered', async () => {
    const { page, secret } = await signUp({ polls: false })
    // The page cancels a request that has no response after 20 seconds. The test shortens this time to one second.
    await page.addInitScript(() => {
      const timeout = AbortSignal.timeout.bind(AbortSignal)
      AbortSignal.timeout = (ms) => timeout(ms / 20)
    })
    await page.reload()
    await realTime(page).waitFor()
    await page.getByText('1,000 left').waitFor()
    const hanging = Promise.withResolvers<void>()
    await page.route(/billing\.get/, () => hanging.resolve(), { times: 1 })
    await charge(secret, 30)
    await hanging.promise
    await page.getByText('970 left').waitFor()
  })

  it('the page does not watch spending while it is hidden or after the user has signed out', async () => {
    const { page, secret } = await signUp({ polls: false })
    await realTime(page).waitFor()
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
    await sleep(STREAM_SHOWS_WITHIN_MS)
    expect([watches, await realTime(page).isVisible()]).toEqual([0, false])
    const again = page.waitForEvent('request', isWatch)
    await look('visible')
    await again
    await page.getByText('950 left').waitFor()
    const left = page.waitForEvent('requestfailed', isWatch)
    await page.getByRole('button', { name: 'Sign out' }).click()
    await left
    await sleep(STREAM_SHOWS_WITHIN_MS)
    expect(watches).toBe(1)
  })
})
