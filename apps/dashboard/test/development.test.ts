import { testAuth, testDatabase, testServer } from '@keymeter/local/testing'
import { expect, it } from 'vitest'
import { testBrowser } from './browser.ts'

const database = testDatabase()
const auth = testAuth(database)
const server = testServer(database, auth, 'dev')
const browser = testBrowser()

it('the development server serves the dashboard from its sources', async () => {
  const page = await browser.newPage()
  await page.goto(server.url)
  await page.getByRole('heading', { name: 'Sign in' }).waitFor()
})

it('the tRPC panel calls procedures with an access token that the user enters, and loads nothing from other servers', async () => {
  const signUp = await fetch(`${server.url}/trpc/auth.signup`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: 'panel@example.com', password: 'a long password' }),
  })
  const { result } = (await signUp.json()) as { result: { data: { session: { accessToken: string } } } }

  const page = await browser.newPage()
  const elsewhere: string[] = []
  await page.route('**', async (route) => {
    const url = route.request().url()
    if (url.startsWith(server.url) || url.startsWith('data:')) return await route.continue()
    elsewhere.push(url)
    await route.abort()
  })
  await page.goto(`${server.url}/panel`)
  await page.getByRole('button', { name: 'Headers' }).click()
  await page.getByRole('button', { name: 'Add' }).click()
  const fields = page.locator('input:visible')
  await fields.nth(0).fill('authorization')
  await fields.nth(1).fill(`Bearer ${result.data.session.accessToken}`)
  await page.getByRole('button', { name: 'Confirm' }).click()

  await page.getByText('keys', { exact: true }).last().click()
  await page.getByRole('button', { name: 'Q list' }).click()
  await page.getByRole('button', { name: 'Execute' }).first().click()
  await page
    .getByText(/km_dev_\w{8}/)
    .first()
    .waitFor()
  expect(elsewhere).toEqual([])
})
