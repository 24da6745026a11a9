import { existsSync, mkdtempSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import sparticuz from '@sparticuz/chromium'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, inject, onTestFinished, vi } from 'vitest'

/** Where Chromium or Chrome is installed by hand. */
const INSTALLED = [
  '/usr/bin/chromium',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]
/** None: only the test's own limit ends a wait. Playwright would give up an action after 30 seconds. */
const NO_TIMEOUT = 0

/**
 * A real Chromium for the test file that calls this. `newPage` opens a page with a fresh profile, closes it after the test,
 * and prints what it showed if the test failed.
 */
export function testBrowser(): { newPage(options?: BrowserContextOptions): Promise<Page> } {
  let browser: Browser
  beforeAll(async () => {
    browser = await launch()
  })
  afterAll(async () => await browser?.close())
  // vitest would give up a poll after one second.
  beforeEach(({ task }) => vi.setConfig({ expect: { poll: { timeout: task.timeout } } }))
  return {
    newPage: async (options = {}) => {
      const context = await browser.newContext({ locale: 'en-GB', timezoneId: 'Europe/Berlin', ...options })
      context.setDefaultTimeout(NO_TIMEOUT)
      const page = await context.newPage()
      onTestFinished(async ({ task }) => {
        if (task.result?.state === 'fail') console.error(`${page.url()} showed:\n${await page.locator('body').ariaSnapshot()}`)
        await context.close()
      })
      return page
    },
  }
}

/** Uses the Chromium of an npm package on Linux x64, and an installed one elsewhere. */
async function launch(): Promise<Browser> {
  // Not the package's own flags: they switch off the same-origin policy, which these tests rely on.
  const args = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ]
  const executablePath =
    process.platform === 'linux' && process.arch === 'x64'
      ? await unpackedChromium()
      : INSTALLED.find((path) => existsSync(path))
  if (executablePath === undefined) throw new Error('The browser tests need Chromium or Chrome: install one.')
  return await chromium.launch({ executablePath, args, timeout: NO_TIMEOUT })
}

/**
 * Unpacks the package's Chromium into the run's own folder, which is removed when the run ends. Test files run concurrently:
 * each unpacks into a folder of its own and renames it, so that no other file starts a half-written Chromium.
 */
async function unpackedChromium(): Promise<string> {
  const shared = join(inject('cluster').dir, 'browser')
  if (!existsSync(shared)) {
    const own = mkdtempSync(`${shared}-`)
    process.env['TMPDIR'] = own
    await sparticuz.executablePath()
    try {
      renameSync(own, shared)
    } catch (error) {
      // Another file was faster.
      if (!existsSync(shared)) throw error
    }
  }
  process.env['TMPDIR'] = shared
  return await sparticuz.executablePath()
}
