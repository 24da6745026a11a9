import { insertSecrets } from '@keymeter/local/testing'
import { describe, expect, it } from 'vitest'
import { hasFocus, testDashboard } from './person.ts'

const { database, server, visit, signUp, signUpOnPage, signInUnprovisioned, charge } = testDashboard()

const DAY_MS = 86_400_000

/** Formats a time in milliseconds as the value of a date field, in the time zone of the test browser. */
function localText(moment: number): string {
  return new Date(moment).toLocaleString('sv-SE', { timeZone: 'Europe/Berlin' }).slice(0, 16).replace(' ', 'T')
}

describe('keys page', () => {
  it('the keys page lets the user rename a key and set its limit and expiry, and shows mistakes at the field', async () => {
    const { page, secret, row, choose, complaints } = await signUp()
    await choose('default', 'Edit…')
    const edit = page.getByRole('dialog', { name: 'Edit key' })
    await edit.getByLabel('Name').fill(secret)
    await edit.getByRole('button', { name: 'Save' }).click()
    await edit.getByText('This is a whole secret. Enter a name.').waitFor()
    await edit.getByLabel('Name').fill('Renamed')
    await edit.getByLabel('Credit limit').fill('5oo')
    await edit.getByRole('button', { name: 'Save' }).click()
    await edit.getByText('Enter a whole number', { exact: false }).waitFor()
    await edit.getByLabel('Credit limit').fill('500')
    await edit.getByLabel('Expires').fill('2001-01-01T12:00')
    await edit.getByRole('button', { name: 'Save' }).click()
    await edit.getByText('Choose a moment in the future.').waitFor()
    expect(await edit.getByLabel('Expires').getAttribute('aria-invalid')).toBe('true')
    await edit.getByLabel('Expires').fill(localText(Date.now() + 3.5 * DAY_MS))
    await edit.getByRole('button', { name: 'Save' }).click()
    await edit.waitFor({ state: 'detached' })
    await row('Renamed').getByText('Expires in 3 days').waitFor()
    expect(await row('Renamed').textContent()).toContain('0 of 500')
    expect(await row('default').count()).toBe(0)

    // If the user clears the field of the limit, the key has no limit. The user does not change the expiry, so the expiry keeps
    // its exact value, including the milliseconds.
    const expiry = async () => (await database.owner.query("select expires_at from api_keys where name = 'Renamed'")).rows
    await database.owner.query("update api_keys set expires_at = expires_at + interval '7 ms' where name = 'Renamed'")
    const before = await expiry()
    await page.reload()
    await choose('Renamed', 'Edit…')
    await edit.getByLabel('Credit limit').fill('')
    await edit.getByRole('button', { name: 'Save' }).click()
    await edit.waitFor({ state: 'detached' })
    await expect.poll(async () => await row('Renamed').textContent()).not.toContain('of 500')
    expect(await expiry()).toEqual(before)
    expect(complaints).toEqual([])
  })

  it('a search finds a key among thousands of revoked keys, and the user can continue a search that took long', async () => {
    const { page, row, accountId, complaints } = await signUp()
    const insertRevoked = async (count: number) => {
      await database.owner.query(
        `insert into api_keys (user_id, name, created_at, revoked_at)
         select $1, case n when $2 then 'needle' else 'gone' end, now() - n * interval '1 minute', now() from generate_series(1, $2::int) as n`,
        [accountId, count],
      )
      await insertSecrets(database.owner)
    }
    await insertRevoked(2_500)
    await page.getByRole('combobox', { name: 'Status' }).selectOption('All')
    await page.getByRole('searchbox', { name: 'Search' }).fill('needle')
    await row('needle').waitFor()
    expect(await page.getByRole('button', { name: 'Load more' }).count()).toBe(0)

    await database.owner.query("delete from api_keys where user_id = $1 and name <> 'default'", [accountId])
    await insertRevoked(41_000)
    await page.reload()
    await page.getByText('No key matches so far.', { exact: false }).waitFor()
    await page.getByRole('button', { name: 'Load more' }).click()
    await row('needle').waitFor()
    expect(complaints).toEqual([])
  })

  it('the keys page refuses a half-filled date, which the browser reports as empty', async () => {
    const { page, choose } = await signUp()
    await choose('default', 'Edit…')
    const edit = page.getByRole('dialog', { name: 'Edit key' })
    await edit.getByLabel('Expires').fill(localText(Date.now() + 3.5 * DAY_MS))
    await edit.getByLabel('Expires').press('Backspace')
    await edit.getByRole('button', { name: 'Save' }).click()
    await edit.getByText('Enter both date and time, or nothing.').waitFor()
  })

  it('the keys page creates a key with a limit and an expiry', async () => {
    const { page, row, saveSecret } = await signUp()
    await page.getByRole('button', { name: 'Create key' }).click()
    const create = page.getByRole('dialog', { name: 'Create a key' })
    await create.getByLabel('Name').fill('bounded')
    await create.getByText('More options').click()
    await create.getByLabel('Credit limit').fill('1500')
    await create.getByLabel('Expires').fill(localText(Date.now() + 2.5 * DAY_MS))
    await create.getByRole('button', { name: 'Create key' }).click()
    await saveSecret()
    await row('bounded').getByText('Expires in 2 days').waitFor()
    expect(await row('bounded').textContent()).toContain('0 of 1,500')
  })

  it('the keys page rotates a secret, shows the new secret, and lets the user end the previous secret before its grace period is over', async () => {
    const { page, secret: old, row, choose, saveSecret, complaints } = await signUp()
    await choose('default', 'Rotate secret…')
    const rotate = page.getByRole('dialog', { name: 'Rotate secret' })
    expect(await rotate.getByRole('radio', { name: '24 hours' }).isChecked()).toBe(true)
    await rotate.getByRole('radio', { name: '1 hour' }).check()
    await rotate.getByRole('button', { name: 'Rotate secret' }).click()
    const rotated = await saveSecret()
    expect(rotated).not.toBe(old)
    // The time is in the zone of the test browser, and contains the name of the zone.
    await row('default')
      .getByText(/Previous secrets work until \d+ \w+ \d{4}, \d\d:\d\d (CET|CEST)/)
      .waitFor()
    await row('default')
      .getByText(`${rotated.slice(0, 15)}…`)
      .waitFor()

    await choose('default', 'Rotate secret…')
    await rotate.getByText('Previous secrets work until', { exact: false }).waitFor()
    await rotate.getByText('Your choice here does not change that', { exact: false }).waitFor()
    await page.keyboard.press('Escape')

    await row('default').getByRole('button', { name: 'End now' }).click()
    await page.getByRole('alertdialog').getByRole('button', { name: 'End now' }).click()
    await row('default').getByText('Previous secrets work until').waitFor({ state: 'detached' })

    // The filter and the entry have the same words.
    await page.getByRole('link', { name: 'Activity' }).click()
    await page.getByRole('combobox', { name: 'Action' }).selectOption('Previous secrets ended early')
    await page.getByRole('listitem').getByText('Previous secrets ended early', { exact: true }).waitFor()
    expect(complaints).toEqual([])
  })

  it('the keys page shows both new secrets if a key is rotated twice concurrently', async () => {
    const { page, row, choose, secretDialog } = await signUp()
    const answer = Promise.withResolvers<void>()
    await page.route(
      '**/trpc/keys.rotate*',
      async (route) => {
        await answer.promise
        await route.continue()
      },
      { times: 1 },
    )
    const rotate = page.getByRole('dialog', { name: 'Rotate secret' })
    await choose('default', 'Rotate secret…')
    await rotate.getByRole('button', { name: 'Rotate secret' }).click()
    await page.keyboard.press('Escape')
    await rotate.waitFor({ state: 'detached' })
    await choose('default', 'Rotate secret…')
    await rotate.getByRole('button', { name: 'Rotate secret' }).click()
    await secretDialog.waitFor()
    const answered = page.waitForResponse(/keys\.rotate/)
    answer.resolve()
    await (await answered).finished()
    const first = await secretDialog.getByRole('textbox').inputValue()
    await secretDialog.getByRole('button', { name: 'Copy secret' }).click()
    await secretDialog.getByRole('button', { name: 'Done' }).click()
    await secretDialog.getByRole('button', { name: 'Copy secret' }).waitFor()
    expect(await secretDialog.getByRole('textbox').inputValue()).not.toBe(first)
    // The user has copied only the secret that was shown first. The second rotation replaced this secret.
    await secretDialog.getByRole('button', { name: 'Done' }).click()
    await page.getByRole('button', { name: 'Close anyway' }).click()
    await row('default').getByText('Secret not saved?').waitFor()
  })

  it('the menu of a key can be used by keyboard, and its button gets the focus back when a dialog closes', async () => {
    const { page } = await signUp()
    const actions = page.getByRole('button', { name: 'Actions for default' })
    await actions.focus()
    await page.keyboard.press('Enter')
    await page.getByRole('menuitem', { name: 'Edit…' }).waitFor()
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Enter')
    const rotate = page.getByRole('dialog', { name: 'Rotate secret' })
    await rotate.waitFor()
    await page.keyboard.press('Escape')
    await rotate.waitFor({ state: 'detached' })
    await expect.poll(async () => await hasFocus(actions)).toBe(true)
  })

  it('the keys page disables a key, lists it under the disabled keys, and enables it again', async () => {
    const { page, row, choose } = await signUp()
    await choose('default', 'Disable')
    await row('default').getByText('Disabled').waitFor()
    await page.getByLabel('Status').selectOption('Active')
    await page.getByText('No keys match.').waitFor()
    await page.getByLabel('Status').selectOption('Disabled')
    await row('default').waitFor()
    expect(new URL(page.url()).search).toBe('?status=disabled')
    await page.reload()
    await row('default').waitFor()
    await choose('default', 'Enable')
    await page.getByRole('button', { name: 'Clear filters' }).click()
    await row('default').waitFor()
    await expect.poll(async () => await row('default').getByText('Disabled').count()).toBe(0)
    await expect.poll(() => new URL(page.url()).search).toBe('')
  })

  it('the keys page asks before it disables a key that is in use, and the user can undo this with the keyboard', async () => {
    const { page, secret, row, choose, confirm, complaints } = await signUp()
    await charge(secret, 1)
    await page.reload()
    await choose('default', 'Disable…')
    const question = page.getByRole('alertdialog', { name: 'Disable key' })
    await question.getByText('This key is in use: it was last used just now.').waitFor()
    await page.keyboard.press('Escape')
    await question.waitFor({ state: 'detached' })
    await charge(secret, 1)
    await choose('default', 'Disable…')
    await confirm('Disable')
    await row('default').getByText('Disabled').waitFor()
    await question.waitFor({ state: 'detached' })
    await expect.poll(async () => await hasFocus(page.getByRole('button', { name: 'Actions for default' }))).toBe(true)

    // The message is in a live region, so that screen readers read it.
    const messages = page.getByRole('region', { name: 'Notifications' })
    expect(await messages.getAttribute('aria-live')).toBe('polite')
    await messages.getByText('is disabled.', { exact: false }).waitFor()
    await messages.getByText('Press F6, then Tab twice, then Enter, to undo this.').waitFor()
    const undo = messages.getByRole('button', { name: 'Undo' })
    await page.keyboard.press('F6')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Tab')
    expect(await hasFocus(undo)).toBe(true)
    await page.keyboard.press('Enter')
    await row('default').getByText('Disabled').waitFor({ state: 'detached' })
    await messages.getByText('is enabled.', { exact: false }).waitFor()
    await charge(secret, 1)
    expect(complaints).toEqual([])
  })

  it('the keys page disables a key that is not in use without a question, and the user can undo this after a filter has hidden the key', async () => {
    const { page, secret, row, choose } = await signUp()
    await page.getByLabel('Status').selectOption('Active')
    await choose('default', 'Disable')
    await page.getByText('No keys match.').waitFor()
    await page.getByRole('button', { name: 'Undo' }).click()
    await row('default').waitFor()
    await charge(secret, 1)
  })

  it('a message covers no row of the list on a narrow screen: the user can scroll the last row above it', async () => {
    const { page, accountId, row, choose } = await signUp({ viewport: { width: 360, height: 640 } })
    await database.owner.query("insert into api_keys (user_id, name) select $1, 'key ' || n from generate_series(1, 9) as n", [
      accountId,
    ])
    await insertSecrets(database.owner)
    await page.reload()
    await row('key 9').waitFor()
    const lengthOf = async () => await page.evaluate(() => document.documentElement.scrollHeight)
    const length = await lengthOf()
    // The key `default` is the oldest one, so it is the last one in the list.
    await choose('default', 'Disable')
    const messages = page.getByRole('region', { name: 'Notifications' }).getByRole('dialog')
    const message = messages.filter({ hasText: 'is disabled.' })
    await message.getByRole('button', { name: 'Undo' }).waitFor()
    await row('default').getByText('Disabled').waitFor()
    const hiddenPixels = async () => {
      await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight))
      const [last, shown] = await Promise.all([row('default').boundingBox(), message.boundingBox()])
      return last === null || shown === null ? null : Math.max(0, last.y + last.height - shown.y)
    }
    await expect.poll(hiddenPixels).toBe(0)
    // The room disappears together with this message and the next one, which reports that the key is enabled again.
    await message.getByRole('button', { name: 'Undo' }).click()
    await expect.poll(async () => await messages.count()).toBe(0)
    await expect.poll(lengthOf).toBe(length)
  })

  it('the dialog that revokes a key warns only if the key is in use', async () => {
    const { page, secret, choose, confirm } = await signUp()
    const question = page.getByRole('alertdialog', { name: 'Revoke key' })
    const warning = question.getByText('This key is in use')
    await charge(secret, 1)
    await page.reload()
    await choose('default', 'Revoke…')
    await warning.waitFor()
    await page.keyboard.press('Escape')
    await choose('default', 'Disable…')
    await confirm('Disable')
    await page.getByRole('button', { name: 'Undo' }).waitFor()
    await choose('default', 'Revoke…')
    await question.waitFor()
    expect(await warning.count()).toBe(0)
  })

  it('the list counts down to the expiry of a key without a call to the server', async () => {
    const { page, row, accountId } = await signUp()
    await database.owner.query("update api_keys set expires_at = now() + interval '20 seconds' where user_id = $1", [accountId])
    await page.reload()
    await row('default')
      .getByText(/Expires in \d+ seconds/)
      .waitFor()
    await page.route(/keys\.list/, async (route) => await route.abort())
    const first = await row('default').getByText('Expires in').textContent()
    await expect.poll(async () => await row('default').getByText('Expires in').textContent()).not.toBe(first)
    await row('default').getByText('Expired', { exact: true }).waitFor()
  })

  it('the dialogs warn about an expiry within a day, and about a limit that the key has already used up', async () => {
    const { page, secret, choose, saveSecret, secretDialog } = await signUp()
    await charge(secret, 20)
    await page.reload()
    await choose('default', 'Edit…')
    const edit = page.getByRole('dialog', { name: 'Edit key' })
    await edit.getByLabel('Credit limit').fill('21')
    expect(await edit.getByRole('status').count()).toBe(0)
    await edit.getByLabel('Credit limit').fill('20')
    await edit.getByRole('status').getByText('The key has used 20 credits in this billing cycle.', { exact: false }).waitFor()
    await edit.getByLabel('Expires').fill(localText(Date.now() + 3 * 3_600_000))
    await edit.getByRole('status').getByText('This key expires within a day: in 3 hours.', { exact: false }).waitFor()
    await edit.getByLabel('Expires').fill(localText(Date.now() + 2 * DAY_MS))
    await edit.getByText('This key expires within').waitFor({ state: 'detached' })
    await page.keyboard.press('Escape')

    await page.getByRole('button', { name: 'Create key' }).click()
    const create = page.getByRole('dialog', { name: 'Create a key' })
    await create.getByLabel('Name').fill('short')
    await create.getByText('More options').click()
    await create.getByLabel('Expires').fill(localText(Date.now() + 10 * 60_000))
    await create.getByText('This key expires within an hour', { exact: false }).waitFor()
    await create.getByRole('button', { name: 'Create key' }).click()
    await secretDialog.getByText('This key expires within an hour', { exact: false }).waitFor()
    await saveSecret()
  })

  it('the keys page marks a key whose limit is used up, and no key below its limit', async () => {
    const { page, secret, accountId, row } = await signUp()
    await charge(secret, 20)
    const setLimit = async (credits: number) => {
      await database.owner.query('update api_keys set credit_limit = $2 where user_id = $1', [accountId, credits])
      await page.reload()
      await row('default').getByText(`of ${credits}`).waitFor()
    }
    await setLimit(21)
    expect(await row('default').getByText('Limit reached').count()).toBe(0)
    await setLimit(20)
    await row('default').getByText('Limit reached').waitFor()
  })

  it('the keys page lists a revoked key with its usage under the revoked keys', async () => {
    const { page, secret, row, choose } = await signUp()
    await charge(secret, 432)
    await choose('default', 'Revoke…')
    await page.getByRole('alertdialog').getByRole('button', { name: 'Revoke' }).click()
    await page.getByText('All your keys are revoked.', { exact: false }).waitFor()
    await page.getByLabel('Status').selectOption('Revoked')
    await row('default').getByText('432').waitFor()
    await row('default').getByText('Revoked').waitFor()
    expect(await row('default').getByRole('button').count()).toBe(0)
  })

  it('the keys page replaces a secret that was not saved, and then no longer offers a replacement', async () => {
    const visitor = await visit()
    const { page, row, confirm, secretDialog, saveSecret } = visitor
    await signUpOnPage(visitor)
    const lost = await secretDialog.getByRole('textbox').inputValue()
    await secretDialog.getByRole('button', { name: 'Done' }).click()
    await page.getByRole('button', { name: 'Close anyway' }).click()
    await row('default').getByRole('button', { name: 'Get a new one' }).click()
    await confirm('Get a new one')
    const secret = await saveSecret()
    expect(secret).not.toBe(lost)
    await row('default')
      .getByText(`${secret.slice(0, 15)}…`)
      .waitFor()
    await row('default').getByText('Secret not saved?').waitFor({ state: 'detached' })
    await page.reload()
    await row('default').waitFor()
    expect(await row('default').getByText('Secret not saved?').count()).toBe(0)
  })

  it('the keys page refuses to replace a secret that was saved in another session', async () => {
    const visitor = await visit()
    const { page, row, confirm, secretDialog } = visitor
    await signUpOnPage(visitor)
    await secretDialog.getByRole('button', { name: 'Done' }).click()
    await page.getByRole('button', { name: 'Close anyway' }).click()
    await row('default').getByRole('button', { name: 'Get a new one' }).waitFor()
    await database.owner.query('update api_key_secrets set saved_at = now()')
    await row('default').getByRole('button', { name: 'Get a new one' }).click()
    await confirm('Get a new one')
    const alert = page.getByRole('alert')
    await alert.getByText('has been saved, used or replaced', { exact: false }).waitFor()
    await alert.getByText('Request id').waitFor()
    await row('default').getByText('Secret not saved?').waitFor({ state: 'detached' })
  })

  it('the keys page replaces the first secret of a user if the response with this secret never arrived', async () => {
    const visitor = await visit()
    const { page, row, confirm, saveSecret } = visitor
    await page.route('**/trpc/auth.provision*', async (route) => {
      await route.fetch()
      await route.abort()
    })
    await signInUnprovisioned(visitor)
    await page.getByText('Your account could not be set up yet.', { exact: false }).waitFor()
    await page.unroute('**/trpc/auth.provision*')
    await page.reload()
    await row('default').getByRole('button', { name: 'Get a new one' }).click()
    await confirm('Get a new one')
    const secret = await saveSecret()
    expect(secret).toMatch(/^km_dev_[0-9A-Za-z]{55}$/)
    const saved = async () =>
      await database.owner.query(
        'select 1 from api_key_secrets where key_hash = sha256($1::bytea) and valid_until is null and saved_at is not null',
        [Buffer.from(secret)],
      )
    await expect.poll(async () => (await saved()).rowCount).toBe(1)
  })

  it('the keys page searches and sorts keys, and keeps its filters after a reload and after the Back button', async () => {
    const { page, email, complaints } = await signUp()
    await database.owner.query(
      `insert into api_keys (user_id, name, key_type)
       select users.id, 'n-' || lpad(n::text, 2, '0'), 'dev'
       from auth.users, generate_series(1, 60) as n where email = $1`,
      [email],
    )
    await insertSecrets(database.owner)
    await page.reload()
    const names = async () =>
      await page.locator('tbody tr').evaluateAll((rows) => rows.map((one) => one.textContent?.slice(0, 4)))
    await page.getByRole('button', { name: 'Load more' }).click()
    await expect.poll(async () => (await names()).length).toBe(61)
    expect(await page.getByRole('button', { name: 'Load more' }).count()).toBe(0)

    await page.getByLabel('Sort by').selectOption('Name')
    await expect.poll(async () => (await names()).slice(0, 2)).toEqual(['defa', 'n-01'])
    // The search also finds key prefixes. These are random, but they never contain a hyphen.
    await page.getByLabel('Search').fill('N-0')
    await expect.poll(async () => (await names()).length).toBe(9)
    expect(new URL(page.url()).search).toBe('?sort=name&search=N-0')
    await page.reload()
    await expect.poll(async () => (await names()).at(0)).toBe('n-01')
    expect(await page.getByLabel('Search').inputValue()).toBe('N-0')
    await page.getByRole('link', { name: 'Activity' }).click()
    await page.getByRole('heading', { name: 'Activity' }).waitFor()
    await page.goBack()
    await expect.poll(async () => (await names()).length).toBe(9)
    await page.getByLabel('Search').fill('nothing like it')
    await page.getByText('No keys match.').waitFor()
    await page.getByRole('button', { name: 'Clear filters' }).click()
    await expect.poll(async () => (await names()).at(0)).toBe('defa')
    expect(complaints).toEqual([])
  })

  it('the keys page finds a key by its secret, but never puts the whole secret into a URL or a request', async () => {
    const { page, secret, row } = await signUp()
    const seen: string[] = []
    page.on('request', (request) => seen.push(request.url(), request.postData() ?? ''))
    page.on('framenavigated', (frame) => seen.push(frame.url()))
    await page.evaluate(async (text) => await navigator.clipboard.writeText(text), secret)
    await page.getByLabel('Search').focus()
    await page.keyboard.press('Control+V')
    expect(await page.getByLabel('Search').inputValue()).toBe(secret.slice(0, 15))
    await expect.poll(() => seen.some((url) => url.includes('keys.list') && url.includes(secret.slice(0, 15)))).toBe(true)
    await row('default').waitFor()
    expect(seen.join()).not.toContain(secret.slice(0, 16))
    // If the user pastes a secret into the address bar, the browser sends the secret to the server. The page must then remove
    // the secret from the URL.
    await page.goto(`${server.url}/?search=${secret}`)
    await row('default').waitFor()
    await expect.poll(() => page.url()).toBe(`${server.url}/?search=${secret.slice(0, 15)}`)
  })
})

describe('activity page', () => {
  it('the activity page shows each action with its key, client address, client program and request id', async () => {
    const { page, choose, saveSecret, complaints } = await signUp()
    await choose('default', 'Edit…')
    const edit = page.getByRole('dialog', { name: 'Edit key' })
    await edit.getByLabel('Name').fill('main')
    await edit.getByLabel('Credit limit').fill('500')
    await edit.getByRole('button', { name: 'Save' }).click()
    await edit.waitFor({ state: 'detached' })
    await page.getByRole('button', { name: 'Create key' }).click()
    await page.getByRole('dialog').getByLabel('Name').fill('other')
    await page.getByRole('dialog').getByRole('button', { name: 'Create key' }).click()
    const confirmed = page.waitForResponse(/confirmSecretSaved/)
    await saveSecret()
    await confirmed

    await page.getByRole('link', { name: 'Activity' }).click()
    const entries = page.getByRole('list').getByRole('listitem')
    await entries.first().waitFor()
    expect(await page.getByRole('link', { name: 'Activity' }).getAttribute('aria-current')).toBe('page')
    const texts = async () => await entries.evaluateAll((items) => items.map((item) => item.querySelector('p')?.textContent))
    expect(await texts()).toEqual([
      'Secret saved · other',
      'Created · other',
      'Renamed from default to main, limit changed from none to 500 · main',
      'Secret saved · main',
      'Created · main',
      'Free credits granted: 1,000 per cycle',
    ])
    expect(await entries.first().textContent()).toMatch(/By you from [0-9a-f.:]+ · \S+ on LinuxRequest id\S{8,}$/)
    expect(await entries.first().textContent()).toMatch(/just now · \d+ \w+ \d{4}, \d\d:\d\d (CET|CEST)/)
    const requestId = entries.first().locator('code')
    expect(await requestId.isVisible()).toBe(false)
    await entries.first().getByText('Request id').click()
    expect(await requestId.isVisible()).toBe(true)
    // This key was created through the API by Node's `fetch`, so the client program is `node`.
    expect(await entries.nth(4).textContent()).toMatch(/By you from [0-9a-f.:]+ · nodeRequest id\S{8,}$/)

    await page.getByLabel('Action').selectOption('Created')
    await expect.poll(texts).toEqual(['Created · other', 'Created · main'])
    await page.getByRole('link', { name: 'API keys' }).click()
    await choose('main', 'Activity')
    await expect.poll(async () => (await texts()).length).toBe(3)
    await page.getByLabel('Action').selectOption('Revoked')
    await page.getByText('No activity matches.').waitFor()
    expect(complaints).toEqual([])
  })
})
