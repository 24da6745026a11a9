import { sendMail, testAuth, testDatabase, testServer } from '@keymeter/local/testing'
import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { ALL_RULES, COLOR_RULES, violationsOn } from './axe.ts'
import { testBrowser } from './browser.ts'

const database = testDatabase()
const auth = testAuth(database, { emailConfirmation: true })
const server = testServer(database, auth, 'dev')
const browser = testBrowser()
const send = async (mail: { to: string; subject: string; text?: string; html?: string }) => {
  await sendMail(auth.mailbox, mail)
}

const open = async (page: Page) => {
  await page.goto(`${server.url}/dev/mail`)
  await page.getByRole('heading', { name: 'Mails' }).waitFor()
}

describe('/dev/mail', () => {
  it('a mail appears on the page without a reload, and the focus stays on the mail that had it', async () => {
    const page = await browser.newPage()
    await open(page)
    await page.getByText('No mail has arrived yet').waitFor()
    await send({ to: 'first@example.com', subject: 'The first mail' })
    const first = page.getByRole('link', { name: 'The first mail' })
    await first.waitFor()
    await first.focus()
    await send({ to: 'second@example.com', subject: '<b>The second mail</b>' })
    await page.getByRole('link', { name: '<b>The second mail</b>' }).waitFor()
    await page.getByRole('status').getByText('2 mails.').waitFor()
    expect(await first.evaluate((link) => link === document.activeElement)).toBe(true)
    const rows = await page.getByRole('listitem').allInnerTexts()
    expect(rows).toEqual([expect.stringContaining('to second@example.com'), expect.stringContaining('to first@example.com')])
  })

  it('a person signs up, opens the mail with the keyboard, and its link opens the dashboard in a new tab', async () => {
    const response = await fetch(`${server.url}/trpc/auth.signup`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email: 'person@example.com', password: 'a long password' }),
    })
    expect(response.status).toBe(200)
    const page = await browser.newPage()
    // When Vite finds a library for the first time, it loads the page again, and the page has then forgotten its token.
    await page.goto(`${server.url}/confirm`)
    await page.getByRole('heading', { name: 'Open the link again' }).waitFor()
    await open(page)
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Confirm your e-mail address' }).waitFor()
    // The text part of the auth server has a link that leads nowhere.
    expect(await page.getByText('Plain text').count()).toBe(0)
    const link = page.frameLocator('iframe').getByRole('link', { name: 'Confirm this address' })
    await link.waitFor()
    await page.keyboard.press('Tab')
    await page.keyboard.press('Tab')
    const opened = page.context().waitForEvent('page')
    await page.keyboard.press('Enter')
    const tab = await opened
    await tab.getByRole('button', { name: 'Confirm address' }).waitFor()
    // The page removes the token from its URL.
    expect(tab.url()).toBe(`${server.url}/confirm`)
    // The new tab is an ordinary page: it can run scripts and cannot reach the page that opened it.
    expect(await tab.evaluate(() => window.opener)).toBeNull()
  })

  it('the HTML of a mail runs no script, loads nothing from other servers, submits no form, and cannot change the page', async () => {
    const html = `<p>Hello</p>
      <script>top.document.title = 'changed'</script>
      <img src="https://evil.example/pixel.png" onerror="top.document.title = 'changed'">
      <img src="x" onerror="top.location = 'https://evil.example/'">
      <link rel="stylesheet" href="https://evil.example/style.css">
      <iframe src="https://evil.example/frame"></iframe>
      <meta http-equiv="refresh" content="0;url=https://evil.example/refresh">
      <a href="javascript:top.document.title = 'changed'">script link</a>
      <a href="https://evil.example/top" target="_top">top link</a>
      <form action="https://evil.example/form" target="_top"><button>submit</button></form>`
    await send({ to: 'victim@example.com', subject: 'A bad mail', html })
    const page = await browser.newPage()
    const elsewhere: string[] = []
    await page.context().route('**', async (route) => {
      const url = route.request().url()
      if (url.startsWith(server.url) || url.startsWith('data:')) return await route.continue()
      elsewhere.push(url)
      await route.abort()
    })
    await open(page)
    await page.getByRole('link', { name: 'A bad mail' }).click()
    await page.getByRole('heading', { name: 'A bad mail' }).waitFor()
    const [mailPage, title] = [page.url(), await page.title()]
    const frame = page.frameLocator('iframe[title="Content of the mail"]')
    await frame.getByText('Hello').waitFor()
    for (const name of ['script link', 'top link']) await frame.getByRole('link', { name }).click()
    await frame.getByRole('button', { name: 'submit' }).click()
    // The mail is not dangerous without its frame either.
    await page.goto(`${mailPage}/html`)
    await page.getByText('Hello').waitFor()
    expect(await page.title()).toBe('')
    await page.goto(mailPage)
    await page.frameLocator('iframe[title="Content of the mail"]').getByText('Hello').waitFor()
    expect([await page.title(), elsewhere]).toEqual([title, []])
  })

  it('a mail with text and HTML shows both, and an address without a mail shows that there is none', async () => {
    await send({ to: 'both@example.com', subject: 'Both parts', text: 'The <text> part', html: '<p>The HTML part</p>' })
    await send({ to: 'text@example.com', subject: 'Only text', text: 'Nothing but text' })
    const page = await browser.newPage()
    await open(page)
    await page.getByRole('link', { name: 'Both parts' }).click()
    await page.frameLocator('iframe').getByText('The HTML part').waitFor()
    await page.getByText('Plain text').click()
    await page.getByText('The <text> part').waitFor()
    await page.getByRole('link', { name: 'All mails' }).click()
    await page.getByRole('link', { name: 'Only text' }).click()
    await page.getByText('Nothing but text').waitFor()
    for (const path of [`/${crypto.randomUUID()}`, `/${crypto.randomUUID()}/html`, '/a/b/c']) {
      const response = await page.goto(`${server.url}/dev/mail${path}`)
      expect([path, response?.status()]).toEqual([path, 404])
      await page.getByRole('heading', { name: 'This mail does not exist' }).waitFor()
    }
  })

  for (const width of [1280, 360]) {
    it(`the pages are accessible and do not scroll sideways at a width of ${width} px, in light and dark mode`, async () => {
      const [subject, text] = [`Accessible ${'x'.repeat(80)} ${width}`, 'x'.repeat(200)]
      await send({ to: `${'a'.repeat(60)}@example.com`, subject, text, html: '<h1>A mail</h1>' })
      const page = await browser.newPage({ viewport: { width, height: 800 } })
      const inspect = async () => {
        await page.emulateMedia({ colorScheme: 'light' })
        expect(await violationsOn(page, ALL_RULES)).toEqual([])
        await page.emulateMedia({ colorScheme: 'dark' })
        expect(await violationsOn(page, COLOR_RULES)).toEqual([])
        expect(
          await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
        ).toBeLessThanOrEqual(0)
      }
      await open(page)
      await page.getByRole('link', { name: subject }).waitFor()
      await inspect()
      await page.getByRole('link', { name: subject }).click()
      await page.getByText('Plain text').click()
      await page.frameLocator('iframe').getByText('A mail').waitFor()
      await inspect()
    })
  }
})
