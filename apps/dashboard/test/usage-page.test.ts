import { readFileSync } from 'node:fs'
import { insertSecrets } from '@keymeter/local/testing'
import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { comeBackTo, hasFocus, testDashboard } from './person.ts'

const { database, signUp, asBackend, charge, once } = testDashboard()

function eventsOn(page: Page) {
  const events = page.getByRole('region', { name: 'Events', exact: true })
  return { events, rows: events.getByRole('row'), exportButton: events.getByRole('button', { name: 'Export CSV' }) }
}

/**
 * Signs up and inserts `count` events, one for each second up to now. Every tenth event is refused. The first event has the key
 * `rare` and the operation `once`. The other events have the key `default` and the operation `search`.
 */
async function signUpWithEvents(count: number, options: Parameters<typeof signUp>[0] = {}) {
  const person = await signUp(options)
  const { page, accountId } = person
  const { owner } = database
  await owner.query("insert into api_keys (user_id, name) values ($1, 'rare')", [accountId])
  await insertSecrets(owner)
  await owner.query(
    `update billing_accounts set billing_cycle_anchor = billing_cycle_anchor - interval '1 day',
                                 billing_cycle_start = billing_cycle_start - interval '1 day' where user_id = $1`,
    [accountId],
  )
  await owner.query(
    `insert into api_key_usage (user_id, sequence, created_at, api_key_id, idempotency_key, operation, verdict,
                                credits_requested, credits_charged, remaining, cycle_start, cycle_end)
     select $1::uuid, n, now() - ($2::int - n + 1) * interval '1 second',
            (select id from api_keys where user_id = $1 and (name = 'rare') = (n = 1)), 'event-' || n,
            case n when 1 then 'once' else 'search' end, case n % 10 when 0 then 'insufficient_credits' else 'charged' end,
            3, case n % 10 when 0 then 0 else 3 end, 500, billing_cycle_start, billing_cycle_end
       from billing_accounts, generate_series(1, $2::int) as n where user_id = $1`,
    [accountId, count],
  )
  // Insert the roll-ups that charges would have written. Without roll-ups, the page would not find rare operations.
  await owner.query(
    `insert into usage_by_cycle (user_id, cycle_start, api_key_id, credits_charged, charges)
     select user_id, cycle_start, api_key_id, sum(credits_charged), count(*) from api_key_usage
      where user_id = $1 and verdict = 'charged' group by 1, 2, 3`,
    [accountId],
  )
  await owner.query(
    `insert into usage_by_quarter_hour (user_id, cycle_start, api_key_id, operation, quarter_hour, credits_charged, charges)
     select user_id, cycle_start, api_key_id, operation, date_bin('15 minutes', created_at, 'epoch'), sum(credits_charged), count(*)
       from api_key_usage where user_id = $1 and verdict = 'charged' group by 1, 2, 3, 4, 5`,
    [accountId],
  )
  await owner.query('insert into operations select distinct user_id, operation from api_key_usage where user_id = $1', [
    accountId,
  ])
  await owner.query('update billing_accounts set last_event_sequence = $2, last_event_at = now() where user_id = $1', [
    accountId,
    count,
  ])
  const onPage = eventsOn(page)
  const openEvents = async () => {
    await page.getByRole('link', { name: 'Usage' }).click()
    await onPage.rows.nth(1).waitFor()
  }
  return { ...person, ...onPage, openEvents }
}

describe('usage page', () => {
  it('the usage page shows the usage of each key and operation by day and hour, and works with pointer, keyboard and screen reader', async () => {
    const { page, secret, complaints } = await signUp()
    await page.getByRole('link', { name: 'Usage' }).click()
    await page.getByText('Nothing was used in this period.').waitFor()
    await charge(secret, 120)
    await page.reload()
    await page.getByRole('row', { name: /default 1 120/ }).waitFor()
    const columns = page.getByRole('group', { name: 'Credits by time' }).getByRole('button')
    const used = page.getByRole('button', { name: /: 120 credits \(default 120\)/ })
    expect(await used.count()).toBe(1)

    await used.focus()
    await page.keyboard.press('Home')
    expect(await hasFocus(columns.first())).toBe(true)
    await page.keyboard.press('ArrowRight')
    expect(await hasFocus(columns.nth(1))).toBe(true)
    await used.hover()
    await page.getByText(/^\d+ \w+: 120$/).waitFor()
    await page.getByText('Highest bar: 120 credits', { exact: true }).waitFor()

    await page.getByRole('combobox', { name: 'Time' }).selectOption('Last 24 hours')
    await page.waitForURL(/range=day/)
    await expect.poll(async () => await columns.count()).toBe(24)
    expect(await used.count()).toBe(1)
    await page.getByRole('combobox', { name: 'Group by' }).selectOption('Operation')
    await page.getByRole('button', { name: /: 120 credits \(default 120\)/ }).waitFor()
    await page.getByRole('combobox', { name: 'Time' }).selectOption('Last 30 days')
    await expect.poll(async () => await columns.count()).toBe(30)
    expect(complaints).toEqual([])
  })
})

describe('chart on the usage page', () => {
  it('the usage chart distinguishes keys with the same name, shows a new day, and stays visible if another range cannot be loaded', async () => {
    const { page, secret, saveSecret, complaints } = await signUp({ timezoneId: 'America/New_York' })
    // This browser does not know the time zone of its system, so the chart uses UTC and shows the text “UTC”.
    await page.addInitScript(() => {
      const { resolvedOptions } = Intl.DateTimeFormat.prototype
      Intl.DateTimeFormat.prototype.resolvedOptions = function () {
        return { ...resolvedOptions.call(this), timeZone: 'Etc/Unknown' }
      }
    })
    await page.reload()
    const today = new Date().toLocaleDateString('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' })
    const secrets = [secret]
    await page.getByRole('button', { name: 'Create key' }).click()
    await page.getByRole('dialog').getByLabel('Name').fill('default')
    await page.getByRole('dialog').getByRole('button', { name: 'Create key' }).click()
    secrets.push(await saveSecret())
    for (const [i, secret] of secrets.entries()) await charge(secret, 10 * (i + 1))
    const [first, second] = secrets.map((secret) => `default (${secret.slice(0, 15)}…)`)
    await page.getByRole('link', { name: 'Usage' }).click()
    await page.getByRole('row', { name: `${first} 1 10`, exact: true }).waitFor()
    await page.getByRole('row', { name: `${second} 1 20`, exact: true }).waitFor()
    await page.getByRole('button', { name: `: 30 credits (${second} 20, ${first} 10)` }).waitFor()
    await page.getByText(`${today}: 30`, { exact: true }).waitFor()
    await page.getByText('UTC', { exact: true }).waitFor()

    // Insert usage for the next day. The user has not chosen a day in the chart, so the chart shows the newest day.
    await database.owner.query(
      `insert into usage_by_quarter_hour (user_id, cycle_start, api_key_id, operation, quarter_hour, credits_charged, charges)
       select user_id, cycle_start, api_key_id, operation, quarter_hour + interval '1 day', 7, 1
         from usage_by_quarter_hour where api_key_id = (select api_key_id from api_key_secrets where key_prefix = $1)`,
      [secrets[0]?.slice(0, 15)],
    )
    await comeBackTo(page)
    await page.getByText(/^\d+ \w+: 7$/).waitFor()

    const columns = page.getByRole('group', { name: 'Credits by time' }).getByRole('button')
    await columns.first().focus()
    const name = await columns.first().getAttribute('aria-label')
    const held = Promise.withResolvers<void>()
    await page.route(/usage\.timeseries.*hour/, async (route) => {
      await held.promise
      await route.abort()
    })
    await page.getByRole('combobox', { name: 'Time' }).selectOption('Last 24 hours')
    await page.locator('[aria-busy=true]').getByRole('group', { name: 'Credits by time' }).waitFor()
    expect(await columns.first().getAttribute('aria-label')).toBe(name)
    await page.getByRole('combobox', { name: 'Time' }).selectOption('This billing cycle')
    held.resolve()
    await page.route(/usage\.timeseries/, async (route) => await route.abort())
    await columns.first().focus()
    await comeBackTo(page)
    await page.getByRole('alert').getByText('The server cannot be reached', { exact: false }).first().waitFor()
    expect(await hasFocus(columns.first())).toBe(true)
    expect(complaints).toEqual([])
  })
})

describe('keys without a series of their own', () => {
  it('the usage chart and its table show the sum of all keys that are not among the 50 with the most usage', async () => {
    const { page, accountId, secret, complaints } = await signUp()
    await charge(secret, 100)
    await database.owner.query(
      `with gone as (insert into api_keys (user_id, name, revoked_at)
                     select $1, 'gone ' || n, now() from generate_series(1, 60) as n returning user_id, id),
            by_cycle as (insert into usage_by_cycle (user_id, cycle_start, api_key_id, credits_charged, charges)
                         select user_id, billing_cycle_start, id, 2, 1 from gone join billing_accounts using (user_id))
       insert into usage_by_quarter_hour (user_id, cycle_start, api_key_id, operation, quarter_hour, credits_charged, charges)
         select user_id, billing_cycle_start, id, 'default', date_bin('15 minutes', now(), 'epoch'), 2, 1 from gone join billing_accounts using (user_id)`,
      [accountId],
    )
    await page.getByRole('link', { name: 'Usage' }).click()
    await page.getByRole('row', { name: 'default 1 100', exact: true }).waitFor()
    expect(await page.getByRole('row', { name: /^gone \d+ 1 2$/ }).count()).toBe(49)
    await page.getByRole('row', { name: 'Other (11 keys) 11 22', exact: true }).waitFor()
    // The chart has six colours: five keys, and all others.
    await page.getByRole('button', { name: /: 220 credits \(default 100, (gone \d+ 2, ){4}Other \(56 keys\) 112\)$/ }).waitFor()
    await page.getByText('Other (56 keys)').waitFor()
    expect(complaints).toEqual([])
  })
})

describe('events on the usage page', () => {
  it('the list of events shows the newest event first, has filters for operation and verdict, and loads page by page', async () => {
    const { page, complaints, events, rows, openEvents } = await signUpWithEvents(120)
    await openEvents()
    await expect.poll(async () => await rows.count()).toBe(51)
    expect(await rows.nth(1).textContent()).toContain('Out of credits')
    expect(await rows.nth(2).textContent()).toMatch(/default[\s\S]*search[\s\S]*Charged[\s\S]*3/)
    await events.getByRole('button', { name: 'Load more' }).click()
    await expect.poll(async () => await rows.count()).toBe(101)
    await events.getByRole('button', { name: 'Load more' }).click()
    await expect.poll(async () => await rows.count()).toBe(121)
    expect(await events.getByRole('button', { name: 'Load more' }).count()).toBe(0)

    await page.getByLabel('Verdict').selectOption('Refused')
    await page.waitForURL(/verdict=refused/)
    await expect.poll(async () => await rows.count()).toBe(13)
    await page.getByLabel('Verdict').selectOption('Refused: key revoked')
    await page.getByText('No event matches.').waitFor()
    await page.getByRole('button', { name: 'Clear filters' }).click()
    await expect.poll(async () => await rows.count()).toBe(121)
    await page.getByRole('searchbox', { name: 'Operation' }).fill('once')
    await page.waitForURL(/operation=once/)
    await expect.poll(async () => await rows.count()).toBe(2)
    await page.reload()
    await expect.poll(async () => await rows.count()).toBe(2)
    expect(await page.getByRole('searchbox', { name: 'Operation' }).inputValue()).toBe('once')
    expect(complaints).toEqual([])
  })

  it('the list of events loads older pages while new events arrive, and shows new events on top, or a button if there are too many', async () => {
    const { page, secret, complaints, events, rows, openEvents } = await signUpWithEvents(120, { polls: false })
    await openEvents()
    let older = 0
    let held = Promise.withResolvers<void>()
    await page.route(/usage\.events/, async (route) => {
      if (route.request().url().includes('cursor%22%3A%22')) older++
      await held.promise
      await route.continue()
    })
    await events.getByRole('button', { name: 'Load more' }).click()
    await expect.poll(() => older).toBe(1)
    const refreshed = page.waitForResponse(/usage\.timeseries/)
    await charge(secret, 7)
    await refreshed
    held.resolve()
    await expect.poll(async () => await rows.count()).toBeGreaterThan(100)
    await charge(secret, 8)
    await expect.poll(async () => await rows.nth(1).textContent()).toMatch(/Charged8/)
    expect(await rows.nth(2).textContent()).toMatch(/Charged7/)
    expect(await rows.count()).toBe(103)
    expect(older).toBe(1)

    held = Promise.withResolvers()
    await Promise.all(Array.from({ length: 60 }, async () => await charge(secret, 1)))
    held.resolve()
    const offer = events.getByRole('button', { name: 'Show newer events' })
    await offer.focus()
    expect(await rows.count()).toBe(103)
    await page.keyboard.press('Enter')
    await expect.poll(async () => await rows.count()).toBe(51)
    expect(await rows.nth(50).textContent()).toMatch(/Charged1/)
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('events')
    expect(complaints).toEqual([])
  })

  it('a filter finds an event far back in the history, and the user does not have to click “Load more”', async () => {
    const { page, complaints, events, rows, openEvents } = await signUpWithEvents(12_000)
    await openEvents()
    await page.getByRole('searchbox', { name: 'Operation' }).fill('once')
    await events.getByRole('row', { name: /rare/ }).waitFor()
    expect(await rows.count()).toBe(2)
    expect(complaints).toEqual([])
  })

  it('the list of events says what was held when a charge was refused, and what a settle could not collect', async () => {
    const { page, secret: key } = await signUp()
    const hold = async (credits: number) => await asBackend('metering.hold', { key, credits, idempotencyKey: once() })
    const refused = async (credits: number) =>
      expect(await asBackend('metering.charge', { key, credits, idempotencyKey: once() })).toMatchObject({
        verdict: 'insufficient_credits',
      })
    await refused(1001)
    await charge(key, 600)
    const { holdId } = await hold(399)
    await refused(2)
    await hold(1)
    await refused(1)
    await asBackend('metering.settle', { holdId, credits: 420, idempotencyKey: once() })
    await page.getByRole('link', { name: 'Usage' }).click()
    const verdicts = page.getByRole('region', { name: 'Events' }).getByRole('row').locator('td:nth-child(3)')
    await expect
      .poll(async () => await verdicts.allTextContents())
      .toEqual([
        'Settled21 credits uncollected',
        'Out of creditsall 400 credits left were held',
        'Held',
        'Out of credits399 credits were held',
        'Held',
        'Charged',
        'Out of credits',
      ])
  })

  it('the list of events shows a message if there are no events or if they cannot be loaded', async () => {
    const { page } = await signUp({ hasFilePicker: false })
    const { events, exportButton } = eventsOn(page)
    await page.getByRole('link', { name: 'Usage' }).click()
    await page.getByText('Nothing was charged or refused in this period.').waitFor()
    await database.owner.query('revoke select on billing_accounts from keymeter_api')
    try {
      await page.reload()
      await events.getByRole('alert').waitFor()
      await exportButton.click()
      await expect.poll(async () => await events.getByRole('alert').count()).toBe(2)
    } finally {
      await database.owner.query('grant select on billing_accounts to keymeter_api')
    }
    await events.getByRole('button', { name: 'Retry' }).click()
    await page.getByText('Nothing was charged or refused in this period.').waitFor()
  })

  it('the filters for action, verdict and time apply to the list of events and to the export', async () => {
    const { page, secret, complaints, events, rows, exportButton, openEvents } = await signUpWithEvents(120, {
      hasFilePicker: false,
    })
    const { holdId } = await asBackend('metering.hold', { key: secret, credits: 5, idempotencyKey: once() })
    for (const credits of [4, 3]) await asBackend('metering.settle', { holdId, credits, idempotencyKey: once() })
    await database.owner.query(
      `update billing_accounts set billing_cycle_anchor = start, billing_cycle_start = start
         from (select user_id as of, date_trunc('milliseconds', created_at) as start from api_key_usage where sequence = 91) as events
        where user_id = of and last_event_sequence = 123`,
    )
    await openEvents()
    const exported = async () => {
      const [download] = await Promise.all([page.waitForEvent('download'), exportButton.click()])
      return readFileSync((await download.path()) ?? '', 'utf8').split('\r\n').length - 2
    }
    await expect.poll(async () => await rows.count()).toBe(1 + 33)
    expect(await exported()).toBe(33)
    await page.getByLabel('Action').selectOption('Settle')
    await expect.poll(async () => await rows.count()).toBe(3)
    expect(await rows.nth(1).textContent()).toMatch(/Settle · [\s\S]*Hold ended/)
    expect(await rows.nth(2).textContent()).toMatch(/Settle · [\s\S]*Settled4/)
    expect(await exported()).toBe(2)
    await page.getByLabel('Verdict').selectOption('Charged or settled')
    await expect.poll(async () => await rows.count()).toBe(2)
    await page.getByLabel('Verdict').selectOption('Refused')
    await events.getByRole('row', { name: /Hold ended/ }).waitFor()
    await page.getByLabel('Verdict').selectOption('Settled')
    await events.getByRole('row', { name: /Settled/ }).waitFor()
    await expect.poll(async () => await rows.count()).toBe(2)
    await page.getByLabel('Action').selectOption('All')
    await page.getByLabel('Verdict').selectOption('Held')
    await events.getByRole('row', { name: /Held/ }).waitFor()
    await expect.poll(async () => await rows.count()).toBe(2)
    await page.getByLabel('Verdict').selectOption('Refused')
    await expect.poll(async () => await rows.count()).toBe(1 + 4)
    await page.getByLabel('When').selectOption('Any time')
    await expect.poll(async () => await rows.count()).toBe(1 + 13)
    expect(await exported()).toBe(13)
    expect(complaints).toEqual([])
  })

  it('the export of events is complete, applies the chosen filters, and puts no access token into a URL', async () => {
    const { page, complaints, exportButton, openEvents } = await signUpWithEvents(5_000, { hasFilePicker: false })
    const addresses: string[] = []
    page.on('request', (request) => addresses.push(request.url()))
    await openEvents()
    const [download] = await Promise.all([page.waitForEvent('download'), exportButton.click()])
    expect(download.suggestedFilename()).toMatch(/^keymeter-usage-\d{4}-\d\d-\d\d\.csv$/)
    const saved = readFileSync((await download.path()) ?? '', 'utf8')
    expect(saved.split('\r\n')).toHaveLength(5_002)
    // Excel needs one byte order mark at the beginning.
    expect(saved.split('\uFEFF')).toEqual(['', expect.stringMatching(/^sequence,/)])
    await page.getByText('The file is saved').waitFor()
    await page.getByLabel('Verdict').selectOption('Refused')
    await page.waitForURL(/verdict=refused/)
    const [refused] = await Promise.all([page.waitForEvent('download'), exportButton.click()])
    expect(readFileSync((await refused.path()) ?? '', 'utf8').split('\r\n')).toHaveLength(502)
    expect(addresses.filter((address) => /ey[\w-]+\.[\w-]+\.[\w-]+/.test(address))).toEqual([])
    expect(complaints).toEqual([])
  })

  it('the export of events is written directly to disk if the browser supports this, shows its progress and can be cancelled', async () => {
    const { page, complaints, events, exportButton, openEvents } = await signUpWithEvents(10_000)
    // A test cannot answer the dialog that asks for a file. So this function replaces the dialog, and returns a file in the
    // browser's private storage.
    await page.addInitScript(() =>
      Reflect.set(window, 'showSaveFilePicker', async () =>
        (await navigator.storage.getDirectory()).getFileHandle('export.csv', { create: true }),
      ),
    )
    await page.reload()
    /** Returns the size of the saved file, or null if there is no file. */
    const savedBytes = async () =>
      await page.evaluate(async () => {
        const file = await (await navigator.storage.getDirectory()).getFileHandle('export.csv').catch(() => null)
        return file && (await file.getFile()).size
      })
    const chrome = await page.context().newCDPSession(page)
    const limitNetwork = async (downloadThroughput: number) =>
      await chrome.send('Network.emulateNetworkConditions', {
        offline: false,
        latency: 0,
        downloadThroughput,
        uploadThroughput: -1,
      })
    await openEvents()
    // The limit is in bytes per second. With this limit, the export would take half a minute.
    await limitNetwork(30_000)
    await exportButton.focus()
    await page.keyboard.press('Enter')
    await events.getByText('Exporting…').waitFor()
    await events.getByText(/[1-9]\d* kB/).waitFor()
    await page.keyboard.press('Enter')
    await expect.poll(async () => await hasFocus(exportButton)).toBe(true)
    expect(await savedBytes()).toBeNull()
    await limitNetwork(-1)
    await exportButton.click()
    await page.getByText('The file is saved').waitFor()
    expect(await savedBytes()).toBeGreaterThan(10_000 * 100)
    await page.evaluate(() => {
      FileSystemFileHandle.prototype.createWritable = async () => {
        throw new DOMException('No', 'NotAllowedError')
      }
    })
    await limitNetwork(30_000)
    const ended = page.waitForEvent('requestfailed', (request) => request.url().includes('/export/'))
    await exportButton.click()
    await ended
    await events.getByRole('alert').getByText('The file could not be written', { exact: false }).waitFor()
    expect(await savedBytes()).toBeNull()
    expect(complaints).toEqual([])
  })
})
