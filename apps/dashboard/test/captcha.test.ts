import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { PASSWORD, testDashboard } from './person.ts'

/**
 * A stand-in for the scripts of both providers, with the functions and options of their documentation. Each challenge is a button
 * that solves it with a new token.
 */
const scriptOf = (provider: string) => `
  let solved = 0
  const widgets = new Map()
  const show = (id) => {
    const { element, options } = widgets.get(id)
    element.replaceChildren()
    const button = (text, press) => {
      const node = document.createElement('button')
      node.type = 'button'
      node.textContent = text
      node.onclick = press
      element.append(node)
    }
    button('I am human', () => options.callback(options.sitekey + '-' + ++solved))
    button('Expire', () => options['expired-callback']())
    button('Fail', () => options['error-callback']())
  }
  window.${provider} = {
    render: (element, options) => {
      const id = 'widget-' + widgets.size
      widgets.set(id, { element, options })
      show(id)
      return id
    },
    reset: show,
    remove: (id) => widgets.delete(id),
  }
`

const PROVIDERS = [
  ['turnstile', 'https://challenges.cloudflare.com/turnstile/v0/api.js?render=explicit'],
  ['hcaptcha', 'https://js.hcaptcha.com/1/api.js?render=explicit&recaptchacompat=off'],
] as const

/** Records the requests to other sites than `origins`. The provider's script is answered by the stand-in. */
async function withProvider(page: Page, provider: string, origins: string[]): Promise<string[]> {
  const elsewhere: string[] = []
  await page.route(
    (url) => !origins.includes(url.origin) && url.protocol.startsWith('http'),
    async (route) => {
      elsewhere.push(route.request().url())
      await route.fulfill({ contentType: 'text/javascript', body: scriptOf(provider) })
    },
  )
  return elsewhere
}

describe.each(PROVIDERS)('with the captcha %s', (provider, script) => {
  const { auth, server, visit, newEmail } = testDashboard({
    settings: { CAPTCHA_PROVIDER: provider, CAPTCHA_SITE_KEY: 'site-key' },
  })
  const origins = () => [server.url, new URL(auth.supabaseUrl).origin]

  it('a sign-up sends the token, and a refused, used or expired token needs another challenge', async () => {
    const { page, complaints, secretDialog } = await visit()
    const elsewhere = await withProvider(page, provider, origins())
    const tokens: unknown[] = []
    await page.route('**/trpc/auth.signup*', async (route) => {
      tokens.push(route.request().postDataJSON()['0'].captchaToken)
      if (tokens.length > 1) return await route.continue()
      const data = { httpStatus: 400, reason: 'captcha_failed', issues: [], requestId: 'r', retryAfterSeconds: null }
      await route.fulfill({ status: 400, json: [{ error: { message: 'Solve it again.', code: -32600, data } }] })
    })
    await page.goto(`${server.url}/sign-up`)
    await page.getByLabel('E-mail').fill(newEmail())
    await page.getByLabel('Password', { exact: true }).fill(PASSWORD)
    const create = page.getByRole('button', { name: 'Create account' })
    const solve = page.getByRole('button', { name: 'I am human' })
    const isOff = async () => await create.getAttribute('aria-disabled')
    await solve.waitFor()
    expect(await isOff()).toBe('true')
    await solve.click()
    await expect.poll(isOff).not.toBe('true')
    await page.getByRole('button', { name: 'Expire' }).click()
    await expect.poll(isOff).toBe('true')
    await solve.click()
    await create.click()
    await page.getByText('Solve it again.').waitFor()
    await expect.poll(isOff).toBe('true')
    await page.getByRole('button', { name: 'Fail' }).click()
    await page.getByText('The captcha does not work at the moment.').waitFor()
    await solve.click()
    await page.getByText('The captcha does not work at the moment.').waitFor({ state: 'detached' })
    await create.click()
    await secretDialog.waitFor()
    expect(tokens).toEqual(['site-key-2', 'site-key-3'])
    expect(elsewhere).toEqual([script])
    expect(complaints).toEqual([])
  })

  it('a sign-in and a request for a mail send the token too', async () => {
    const { page, complaints } = await visit()
    await withProvider(page, provider, origins())
    const bodies: Record<string, unknown>[] = []
    page.on('request', (request) => {
      if (/auth\/v1\/token|auth\.requestPasswordReset/.test(request.url())) bodies.push(request.postDataJSON())
    })
    await page.goto(`${server.url}/sign-in`)
    await page.getByRole('button', { name: 'I am human' }).click()
    await page.getByLabel('E-mail').fill(newEmail())
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Sign in', exact: true }).click()
    await page.getByText('Wrong e-mail address or password.').waitFor()
    await page.getByRole('link', { name: 'Forgot your password?' }).click()
    await page.getByRole('heading', { name: 'Set a new password' }).waitFor()
    await page.getByRole('button', { name: 'I am human' }).click()
    await page.getByLabel('E-mail').fill(newEmail())
    await page.getByRole('button', { name: 'Send the link' }).click()
    await page.getByRole('heading', { name: 'Check your e-mail' }).waitFor()
    expect(bodies).toMatchObject([
      { gotrue_meta_security: { captcha_token: 'site-key-1' } },
      { 0: { captchaToken: 'site-key-2' } },
    ])
    expect(complaints).toEqual([])
  })
})

describe('without a captcha', () => {
  const { auth, server, visit } = testDashboard()

  it('the pages load nothing from other sites', async () => {
    const { page, complaints } = await visit()
    const elsewhere = await withProvider(page, 'turnstile', [server.url, new URL(auth.supabaseUrl).origin])
    for (const path of ['/sign-in', '/sign-up', '/forgot', '/confirm', '/reset']) {
      await page.goto(server.url + path)
      await page.getByRole('heading').waitFor()
    }
    expect(elsewhere).toEqual([])
    expect(complaints).toEqual([])
  })
})
