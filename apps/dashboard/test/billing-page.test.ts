import type { Page } from 'playwright-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { hasFocus, testDashboard } from './person.ts'

const { database, server, signUp, asBackend, charge, once } = testDashboard()

function ledgerOf(page: Page) {
  const lines = async () =>
    await page
      .getByRole('table', { name: 'Ledger' })
      .locator('tbody tr')
      .evaluateAll((rows) => rows.map((one) => [...one.children].slice(1).map((cell) => cell.textContent ?? '')))
  const leftNow = async () => await page.getByRole('row', { name: /^Left now/ }).textContent()
  return { lines, leftNow }
}

describe('billing page', () => {
  beforeAll(async () => {
    await database.owner.query(
      "insert into plans (plan, credits_per_cycle) values ('pro', 5000), ('tiny', 100), ('prepaid', 0)",
    )
  })

  it('the billing page shows ledger lines whose sum is exactly the remaining credits', async () => {
    const { page, accountId, secret: key, complaints } = await signUp()
    const { lines, leftNow } = ledgerOf(page)
    const { chargeId } = await charge(key, 120)
    await charge(key, 1)
    await charge(key, 29)
    await asBackend('metering.refund', { chargeId, credits: 20, idempotencyKey: once() })
    await asBackend('metering.hold', { key, credits: 45, idempotencyKey: once() })
    await asBackend('operator.grantTopUp', { accountId, credits: 500, idempotencyKey: once(), note: 'Invoice 7' })
    await asBackend('operator.changePlan', { accountId, plan: 'pro' })
    const { account } = await asBackend('operator.changePlan', { accountId, plan: 'tiny' })
    expect(account).toMatchObject({ creditsRemaining: 5325 })

    await page.getByRole('link', { name: 'Billing' }).click()
    await page.getByRole('table', { name: 'Ledger' }).waitFor()
    expect(await page.title()).toBe('Billing · Keymeter')
    expect(await lines()).toEqual([
      ['Granted for the cycle', '+1,000', '1,000'],
      ['Top-up: Invoice 7', '+500', '1,500'],
      ['Changed to plan pro', '+4,000', '5,500'],
      ['Changed to plan tiny, no additional credits in this cycle', '0', '5,500'],
      ['1 refund', '+20', '5,520'],
      ['3 charges', '−150', '5,370'],
      ['Held until settled or released', '−45', '5,325'],
    ])
    const sum = (await lines()).reduce(
      (total, [, credits = '']) => total + Number(credits.replace('−', '-').replace(',', '')),
      0,
    )
    expect(sum).toBe(5325)
    expect(await leftNow()).toBe('Left now5,325')
    await expect
      .poll(async () => await page.getByRole('main').textContent())
      .toMatch(/130of 5,000 \+ 500 top-up credits used this cycle.*5,325 left · 45 held .* changes to tiny on/)
    const meter = page.getByRole('meter')
    expect(await meter.getAttribute('aria-valuetext')).toBe('130 of 5,000 + 500 top-up credits used, 45 held')
    expect(await meter.getAttribute('aria-valuemax')).toBe('5500')
    await page
      .getByRole('img', { name: 'Balance by day: 5,325 credits at the start, 5,325 at most, 5,325 at the end' })
      .waitFor()
    expect(complaints).toEqual([])
  })

  it('the billing page says why an account gets no free credits, until the operator gives it another plan', async () => {
    const { page, accountId, complaints } = await signUp()
    const main = page.getByRole('main')
    await page.getByRole('link', { name: 'Billing' }).click()
    await page.getByText('1,000 left').waitFor()
    expect(await main.textContent()).not.toContain('free credits')
    // The page provisions the account at each load, and this decides about an account that waits for the confirmation.
    await database.owner.query('update auth.users set email_confirmed_at = null where id = $1', [accountId])
    for (const [refusal, text] of [
      ['mailbox_used', 'another account of this mailbox has already had them'],
      ['not_confirmed', 'confirm your e-mail address'],
      ['not_offered', 'ask the operator for credits'],
    ] as const) {
      await database.owner.query(
        'update billing_accounts set credits_per_cycle = 0, free_credits_refusal = $2 where user_id = $1',
        [accountId, refusal],
      )
      await page.reload()
      await page.getByText(text).waitFor()
      expect(await main.textContent()).toContain('No credits are left: charges are refused.')
    }
    await asBackend('operator.changePlan', { accountId, plan: 'pro' })
    await page.reload()
    await page.getByText('5,000 left').waitFor()
    expect(await main.textContent()).not.toContain('free credits')
    expect(complaints).toEqual([])
  })

  it('the billing page switches between billing cycles, keeps the cycle in the URL, and leaves the focus on the pressed button', async () => {
    const { page, email, secret: key, complaints } = await signUp()
    const { lines, leftNow } = ledgerOf(page)
    await database.owner.query(
      `update billing_accounts set billing_cycle_anchor = start, billing_cycle_start = start
         from auth.users, date_trunc('milliseconds', now() - interval '1 month 3 days') as start
        where user_id = users.id and email = $1`,
      [email],
    )
    await charge(key, 70)
    await page.getByRole('link', { name: 'Billing' }).click()
    await expect.poll(leftNow).toBe('Left now930')
    const previous = page.getByRole('button', { name: 'Previous cycle' })
    const next = page.getByRole('button', { name: 'Next cycle' })
    const current = page.getByRole('button', { name: 'Current cycle' })
    const states = async () => await Promise.all([previous, next, current].map(async (one) => await one.isEnabled()))
    expect(await states()).toEqual([true, false, false])
    await previous.focus()
    await page.keyboard.press('Enter')
    const before = [
      ['Granted for the cycle', '+1,000', '1,000'],
      ['Lapsed: granted but not used', '−1,000', '0'],
    ]
    await expect.poll(lines).toEqual(before)
    await page.getByRole('row', { name: 'Left at the end of the cycle 0' }).waitFor()
    expect(await states()).toEqual([false, true, true])
    expect(await hasFocus(previous)).toBe(true)
    await page.reload()
    await expect.poll(lines).toEqual(before)
    await next.click()
    await expect.poll(leftNow).toBe('Left now930')
    expect(new URL(page.url()).search).toBe('')
    await page.goBack()
    await expect.poll(lines).toEqual(before)

    await page.goto(`${server.url}/billing?cycle=2001-01-01T00:00:00.000Z`)
    await page.getByRole('alert').getByText('No billing cycle of this account starts', { exact: false }).waitFor()
    await current.click()
    await expect.poll(leftNow).toBe('Left now930')
    await page.goto(`${server.url}/billing?cycle=yesterday`)
    await expect.poll(leftNow).toBe('Left now930')
    expect(complaints).toEqual([])
  })

  it('the billing page lists the alerts of the account, and shows that the account is suspended', async () => {
    const { page, accountId, secret } = await signUp()
    await charge(secret, 800)
    await page.getByRole('link', { name: 'Billing' }).click()
    const alerts = page.getByRole('list', { name: 'Alerts, newest first' }).getByRole('listitem')
    await alerts.first().waitFor()
    const texts = (await alerts.allTextContents()).map((text) => text.replace(/\d+ \w+ \d+, \d\d:\d\d UTC/, 'then'))
    expect(texts).toEqual([
      '80% of the plan free (1,000 credits)800 used, 200 left · then',
      '50% of the plan free (1,000 credits)800 used, 200 left · then',
    ])
    expect(await page.getByRole('alert').count()).toBe(0)
    await asBackend('operator.suspend', { accountId })
    for (const path of ['/billing', '/']) {
      await page.goto(`${server.url}${path}`)
      await page.getByRole('alert').getByText('This account has been suspended since', { exact: false }).waitFor()
    }
  })

  it('the billing page adds and removes thresholds, shows mistakes at the field, and keeps the focus near a removed threshold', async () => {
    const { page, email, complaints } = await signUp()
    await page.getByRole('link', { name: 'Billing' }).click()
    const thresholds = page.getByRole('list', { name: 'Share of the plan used' }).getByRole('listitem')
    const kept = async () =>
      (
        await database.owner.query(
          'select alert_thresholds from billing_accounts join auth.users on user_id = users.id where email = $1',
          [email],
        )
      ).rows[0].alert_thresholds
    const field = page.getByRole('textbox', { name: 'Add a percentage' })
    const add = async (text: string) => {
      await field.fill(text)
      await page.keyboard.press('Enter')
    }
    await expect.poll(async () => await thresholds.allTextContents()).toEqual(['50%', '80%', '100%'])
    for (const text of ['', '0', '1001', '7.5', 'ten']) {
      await add(text)
      await page.getByText('Enter a whole number from 1 to 1000.').waitFor()
      expect(await field.getAttribute('aria-invalid')).toBe('true')
      await field.fill('1')
    }
    await add('80')
    await page.getByText('Name each threshold once.').waitFor()
    expect(await field.getAttribute('aria-invalid')).toBe('true')
    for (const [i, percent] of [1000, 1, 2, 3, 4, 5, 6].entries()) {
      await add(String(percent))
      await expect.poll(async () => await thresholds.count()).toBe(4 + i)
      await expect.poll(async () => await field.inputValue()).toBe('')
    }
    expect(await hasFocus(field)).toBe(true)
    await add('7')
    await page.getByText('Have at most 10 thresholds.').waitFor()
    expect(await field.getAttribute('aria-invalid')).toBe('true')
    expect(await kept()).toEqual([1, 2, 3, 4, 5, 6, 50, 80, 100, 1000])

    const removal = (percent: number) => page.getByRole('button', { name: `Remove the threshold of ${percent}%`, exact: true })
    await removal(100).focus()
    await page.keyboard.press('Enter')
    await removal(100).waitFor({ state: 'detached' })
    await expect.poll(async () => await hasFocus(removal(1000))).toBe(true)
    await page.keyboard.press('Enter')
    await removal(1000).waitFor({ state: 'detached' })
    await expect.poll(async () => await hasFocus(removal(80))).toBe(true)

    await page.route('**/trpc/alerts.setThresholds*', async (route) => await route.abort())
    await removal(80).click()
    await page.getByRole('alert').getByText('The server cannot be reached', { exact: false }).waitFor()
    expect(await removal(80).count()).toBe(1)
    await page.unroute('**/trpc/alerts.setThresholds*')
    for (const percent of [80, 50, 6, 5, 4, 3, 2, 1]) {
      await removal(percent).click()
      await removal(percent).waitFor({ state: 'detached' })
    }
    const editor = page.getByRole('region', { name: 'Share of the plan used' })
    await editor.getByText('No thresholds, so no alerts.').waitFor()
    await expect.poll(async () => await hasFocus(field)).toBe(true)
    expect(await kept()).toEqual([])
    expect(complaints).toEqual([])
  })

  it('the billing page adds and removes thresholds of one kind, and keeps what another tab has changed of the other kind', async () => {
    const { page, accountId, secret, complaints } = await signUp()
    await page.getByRole('link', { name: 'Billing' }).click()
    const editor = page.getByRole('region', { name: 'Credits left' })
    const thresholds = editor.getByRole('list', { name: 'Credits left' }).getByRole('listitem')
    const field = editor.getByRole('textbox', { name: 'Add a number of credits' })
    const add = async (text: string) => {
      await field.fill(text)
      await page.keyboard.press('Enter')
    }
    const kept = async () =>
      (
        await database.owner.query(
          'select alert_thresholds as percent, alert_credits_left::text as left from billing_accounts where user_id = $1',
          [accountId],
        )
      ).rows
    await editor.getByText('No thresholds, so no alerts.').waitFor()
    // Another tab changes the percentages. This tab still shows the previous ones, and a save must not bring them back.
    await database.owner.query("update billing_accounts set alert_thresholds = '{50,80}' where user_id = $1", [accountId])
    for (const text of ['', '-1', '9007199254740992', '7.5', 'ten']) {
      await add(text)
      await page.getByText('Enter a whole number from 0 to 9007199254740991.').waitFor()
      expect(await field.getAttribute('aria-invalid')).toBe('true')
      await field.fill('1')
    }
    for (const [text, count] of [
      ['0', 1],
      ['1,000', 2],
      ['1', 3],
    ] as const) {
      await add(text)
      await expect.poll(async () => await thresholds.count()).toBe(count)
      await expect.poll(async () => await field.inputValue()).toBe('')
    }
    expect(await thresholds.allTextContents()).toEqual(['1,000 credits', '1 credit', '0 credits'])
    await add('1000')
    await editor.getByText('Name each threshold once.').waitFor()
    await page.getByRole('button', { name: 'Remove the threshold of 1 credit', exact: true }).click()
    await expect.poll(async () => await thresholds.count()).toBe(2)
    expect(await kept()).toEqual([{ percent: [50, 80], left: '{1000,0}' }])

    await database.owner.query("update billing_accounts set alert_credits_left = '{2000,1000}' where user_id = $1", [accountId])
    await page.getByRole('button', { name: 'Remove the threshold of 50%' }).click()
    await expect.poll(async () => (await kept())[0]?.percent).toEqual([80])
    expect(await kept()).toEqual([{ percent: [80], left: '{2000,1000}' }])
    await expect.poll(async () => await thresholds.allTextContents()).toEqual(['2,000 credits', '1,000 credits'])
    await charge(secret, 1)
    await page.getByText('1,000 credits left', { exact: true }).waitFor()
    expect(complaints).toEqual([])
  })

  it('the billing page of a prepaid account shows credits left first, and says that no percentage applies', async () => {
    const { page, accountId, secret: key, complaints } = await signUp()
    const titles = page.getByRole('region', { name: 'Alerts', exact: true }).getByRole('heading', { level: 3 })
    await page.getByRole('link', { name: 'Billing' }).click()
    await expect.poll(async () => await titles.allTextContents()).toEqual(['Share of the plan used', 'Credits left'])
    await page.getByText('In percent of the 1,000 credits that the plan free grants per cycle.').waitFor()
    await database.owner.query("update billing_accounts set plan = 'prepaid', credits_per_cycle = 0 where user_id = $1", [
      accountId,
    ])
    await asBackend('operator.grantTopUp', { accountId, credits: 150, idempotencyKey: once() })
    await page.reload()
    await expect.poll(async () => await titles.allTextContents()).toEqual(['Credits left', 'Share of the plan used'])
    await page.getByText('The plan prepaid grants no credits, so no percentage applies now.').waitFor()
    expect(await page.getByRole('meter').textContent()).toContain('0of 150 top-up credits used this cycle')
    const card = page.getByRole('region', { name: 'Billing account' })
    expect(await card.textContent()).toContain('Next cycle starts')
    expect(await card.textContent()).not.toContain('Resets')
    const chosen = page.getByRole('list', { name: 'Credits left' }).getByRole('listitem')
    expect(await chosen.allTextContents()).toEqual(['100 credits', '0 credits'])
    await charge(key, 60)
    expect(await asBackend('metering.charge', { key, credits: 91, idempotencyKey: once() })).toMatchObject({
      verdict: 'insufficient_credits',
    })
    const alerts = page.getByRole('list', { name: 'Alerts, newest first' }).getByRole('listitem')
    await expect.poll(async () => await alerts.count()).toBe(2)
    const texts = (await alerts.allTextContents()).map((text) => text.replace(/ · \d+ \w+ \d+, \d\d:\d\d UTC/, ''))
    expect(texts).toEqual(['A charge was refused: only 90 credits left60 used, 90 left', '100 credits left60 used, 90 left'])
    expect(complaints).toEqual([])
  })

  it('the ledger shows a top-up that was taken back with its sign, its note and its top-up, the chart shows the step down, and the activity shows the notes', async () => {
    const { page, accountId, complaints } = await signUp()
    const { lines, leftNow } = ledgerOf(page)
    const topUpIdempotencyKey = once()
    await asBackend('operator.grantTopUp', { accountId, credits: 500, idempotencyKey: topUpIdempotencyKey, note: 'Invoice 7' })
    const take = { accountId, topUpIdempotencyKey, idempotencyKey: once(), note: 'Payment reversed' }
    expect(await asBackend('operator.takeBackTopUp', { ...take, credits: 200 })).toMatchObject({ creditsTakenBack: 200 })
    // Move the top-up to the previous day, so that the chart shows both days.
    await database.owner.query(
      `update ledger_entries set created_at = created_at - interval '1 day', cycle_start = cycle_start - interval '2 days'
        where user_id = $1 and kind = 'top_up'`,
      [accountId],
    )
    await database.owner.query(
      `update ledger_entries set cycle_start = cycle_start - interval '2 days' where user_id = $1 and kind = 'take_back'`,
      [accountId],
    )
    await database.owner.query(
      `update billing_accounts set billing_cycle_anchor = billing_cycle_anchor - interval '2 days',
              billing_cycle_start = billing_cycle_start - interval '2 days' where user_id = $1`,
      [accountId],
    )
    await page.goto(`${server.url}/billing`)
    await expect.poll(leftNow).toBe('Left now1,300')
    const texts = (await lines()).map(([text = '', ...numbers]) => [text.replace(/of \d+ \w+ /, 'of then '), ...numbers])
    expect(texts).toEqual([
      ['Granted for the cycle', '+1,000', '1,000'],
      ['Top-up: Invoice 7', '+500', '1,500'],
      ['Top-up of then (Invoice 7) taken back: Payment reversed', '−200', '1,300'],
    ])
    await page
      .getByRole('img', { name: 'Balance by day: 1,000 credits at the start, 1,500 at most, 1,300 at the end' })
      .waitFor()
    await page.getByText('Highest end-of-day balance: 1,500 credits', { exact: true }).waitFor()
    await page.goto(`${server.url}/activity`)
    await page.getByText('200 credits of a top-up taken back: Payment reversed').waitFor()
    const entries = page.getByRole('listitem').filter({ hasText: 'By the operator' })
    expect((await entries.allTextContents()).map((text) => text.slice(text.indexOf('By the operator')))).toEqual([
      'By the operator',
      'By the operator',
    ])
    expect(await page.locator('bdi').filter({ hasText: 'Payment reversed' }).count()).toBe(1)
    await page.getByText('Topped up by 500 credits: Invoice 7').waitFor()
    await asBackend('operator.grantTopUp', { accountId, credits: 1, idempotencyKey: once() })
    await page.reload()
    await page.getByText('Topped up by 1 credit', { exact: true }).waitFor()
    expect(complaints).toEqual([])
  })

  it('the account card says that all credits that are left are held, instead of that none are left', async () => {
    const { page, secret: key } = await signUp()
    await charge(key, 600)
    const { holdId } = await asBackend('metering.hold', { key, credits: 400, idempotencyKey: once() })
    await page.goto(`${server.url}/billing`)
    const notice = page.getByRole('alert')
    await notice.getByText('All that is left, 400 credits, is held: charges are refused until', { exact: false }).waitFor()
    await asBackend('metering.settle', { holdId, credits: 400, idempotencyKey: once() })
    await notice.getByText('No credits are left: charges are refused.', { exact: false }).waitFor()
    expect(await notice.textContent()).not.toContain('held')
    expect(await notice.textContent()).toContain('The plan grants new credits on')
  })

  it('the account card promises no new credits if the plan changes to a plan without credits', async () => {
    const { page, accountId, secret: key } = await signUp()
    await charge(key, 1000)
    await asBackend('operator.changePlan', { accountId, plan: 'prepaid' })
    await page.goto(`${server.url}/billing`)
    const notice = page.getByRole('alert')
    await notice
      .getByText('No credits are left: charges are refused. The plan changes to prepaid on', { exact: false })
      .waitFor()
    expect(await notice.textContent()).not.toContain('grants')
  })
})
