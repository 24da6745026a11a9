import { existsSync, mkdtempSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import sparticuz from '@sparticuz/chromium'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, inject, onTestFinished, vi } from 'vitest'

/** The paths where Chromium or Chrome is usually installed. */
const INSTALLED = [
  '/usr/bin/chromium',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]
/** Switches off Playwright's own timeout of 30 seconds. Only the timeout of the test ends a wait. */
const NO_TIMEOUT = 0

/**
 * Starts a real Chromium for one test file. `newPage` opens a page with a fresh profile, which is closed after the test. If the
 * test failed, the content of the page is printed.
 */
export function testBrowser(): { newPage(options?: BrowserContextOptions): Promise<Page> } {
  let browser: Browser
  beforeAll(async () => {
    browser = await launch()
  })
  afterAll(async () => await browser?.close())
  // By default, `expect.poll` fails after one second. Here, it waits until the timeout of the test.
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

/** Starts the Chromium of an npm package on Linux x64, and the installed browser on other platforms. */
async function launch(): Promise<Browser> {
  // The flags of the npm package would switch off the same-origin policy. The tests rely on this policy.
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
  if (executablePath === undefined)
    throw new Error('No Chromium or Chrome was found. Install one of them for the browser tests.')
  return await chromium.launch({ executablePath, args, timeout: NO_TIMEOUT })
}

/**
 * Unpacks Chromium into a folder that all files of this test run share, and that is removed when the run ends. Test files run
 * concurrently. So each file unpacks into its own folder and then renames this folder, and no file starts a half-written
 * Chromium.
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
      // Another test file has already unpacked Chromium.
      if (!existsSync(shared)) throw error
    }
  }
  process.env['TMPDIR'] = shared
  return await sparticuz.executablePath()
}
