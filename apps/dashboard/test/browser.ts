import { existsSync, mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import sparticuz from '@sparticuz/chromium'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, inject } from 'vitest'

/** Where a system's own Chromium or Chrome is, when it has one. */
const INSTALLED = [
  '/usr/bin/chromium',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]

/** A real Chromium for the test file that calls this; `newPage` opens a fresh profile each time. */
export function testBrowser(): { newPage(options?: BrowserContextOptions): Promise<Page> } {
  let browser: Browser
  beforeAll(async () => {
    browser = await launch()
  })
  afterAll(async () => await browser?.close())
  return {
    newPage: async (options = {}) => {
      const context = await browser.newContext({ locale: 'en-GB', timezoneId: 'Europe/Berlin', ...options })
      return await context.newPage()
    },
  }
}

/** Linux x64 has a Chromium in an npm package; elsewhere the system's own is taken. */
async function launch(): Promise<Browser> {
  // Not the package's own flags: they switch off the same-origin policy, which is under test here.
  const args = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ]
  if (process.platform === 'linux' && process.arch === 'x64') {
    // Unpacked into the run's own folder, which goes when the run ends; for each test file, or one would start what another
    // is still writing.
    process.env['TMPDIR'] = mkdtempSync(join(inject('cluster').dir, 'browser-'))
    return await chromium.launch({ executablePath: await sparticuz.executablePath(), args })
  }
  const executablePath = INSTALLED.find((path) => existsSync(path))
  if (executablePath === undefined) throw new Error('The browser tests need Chromium or Chrome: install one.')
  return await chromium.launch({ executablePath, args })
}
