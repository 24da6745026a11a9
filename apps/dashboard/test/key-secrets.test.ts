import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { testDashboard } from './person.ts'

const { database, visit, signUp, signUpOnPage, asBackend, charge } = testDashboard()

/** Drops the answer of one call, after the server has committed it. */
async function loseAnswer(page: Page, procedure: string): Promise<void> {
  await page.route(
    `**/trpc/${procedure}*`,
    async (route) => {
      await route.fetch()
      await route.abort()
    },
    { times: 1 },
  )
}

/** Answers the next call of this procedure with 429, without asking the server. */
async function refuseOnce(page: Page, procedure: string): Promise<void> {
  const data = { httpStatus: 429, reason: 'too_many_key_changes', issues: [], retryAfterSeconds: 3600, requestId: 'refused-1' }
  const answer = { status: 429, json: { error: { message: 'Too many changes.', code: -32029, data } } }
  await page.route(`**/trpc/${procedure}*`, async (route) => await route.fulfill(answer), { times: 1 })
}

/** Returns the number of live keys of an account, and of their secrets that work. */
async function countKeys(accountId: string) {
  const { rows } = await database.owner.query(
    `select count(distinct keys.id)::int as keys, count(secrets.key_hash)::int as secrets
       from api_keys as keys join api_key_secrets as secrets on secrets.user_id = keys.user_id and secrets.api_key_id = keys.id
      where keys.user_id = $1 and revoked_at is null and (valid_until is null or valid_until > now())`,
    [accountId],
  )
  return rows[0]
}

const verdictOf = async (key: string) => (await asBackend('metering.charge', { key, credits: 0 }))['verdict']

describe('a lost answer with a secret', () => {
  it('rotating again after a lost answer ends no working secret, even if another error came in between, and the new secret works too', async () => {
    const { page, secret: old, accountId, choose, saveSecret, complaints } = await signUp()
    await loseAnswer(page, 'keys.rotate')
    await choose('default', 'Rotate secret…')
    const rotate = page.getByRole('dialog', { name: 'Rotate secret' })
    await rotate.getByRole('radio', { name: '1 hour' }).check()
    await rotate.getByRole('button', { name: 'Rotate secret' }).click()
    await rotate.getByText('Try again: this ends no working secret.', { exact: false }).waitFor()
    expect(await rotate.getByRole('radio', { name: '7 days' }).isDisabled()).toBe(true)
    // Another error does not prove that the lost attempt failed.
    await refuseOnce(page, 'keys.rotate')
    await rotate.getByRole('button', { name: 'Try again' }).click()
    await rotate.getByText('Too many changes.').waitFor()
    await rotate.getByText('The answer of an earlier attempt was lost', { exact: false }).waitFor()
    expect(await rotate.getByRole('radio', { name: '7 days' }).isDisabled()).toBe(true)
    await rotate.getByRole('button', { name: 'Try again' }).click()
    const secret = await saveSecret()
    await charge(old, 1)
    await charge(secret, 1)
    // The previous secret, the secret of the first attempt, and the secret of the second attempt.
    expect(await countKeys(accountId)).toEqual({ keys: 1, secrets: 3 })
    // The second attempt is a repeat of the first one, and not another rotation.
    const { rows } = await database.owner.query(
      "select action from audit_log where user_id = $1 and action in ('key.rotated', 'key.secret_repeated') order by sequence",
      [accountId],
    )
    expect(rows.map(({ action }) => action)).toEqual(['key.rotated', 'key.secret_repeated'])
    await page.getByRole('link', { name: 'Activity' }).click()
    await page.getByRole('combobox', { name: 'Action' }).selectOption('Another secret after a repeated call')
    await page.getByRole('listitem').getByText('Another secret after a repeated call', { exact: true }).waitFor()
    expect(complaints).toEqual([])
  })

  it('creating a key again after a lost answer creates no second key, even if another error came in between', async () => {
    const { page, accountId, row, saveSecret, complaints } = await signUp()
    await loseAnswer(page, 'keys.create')
    await page.getByRole('button', { name: 'Create key' }).click()
    const create = page.getByRole('dialog', { name: 'Create a key' })
    await create.getByLabel('Name').fill('server')
    await create.getByRole('button', { name: 'Create key' }).click()
    await create.getByText('Try again: this ends no working secret.', { exact: false }).waitFor()
    expect(await create.getByLabel('Name').isDisabled()).toBe(true)
    await refuseOnce(page, 'keys.create')
    await create.getByRole('button', { name: 'Try again' }).click()
    await create.getByText('Too many changes.').waitFor()
    await create.getByText('The answer of an earlier attempt was lost', { exact: false }).waitFor()
    expect(await create.getByLabel('Name').isDisabled()).toBe(true)
    expect(await create.getByRole('radio', { name: 'prod' }).isDisabled()).toBe(true)
    await create.getByRole('button', { name: 'Try again' }).click()
    await charge(await saveSecret(), 1)
    await row('server').waitFor()
    expect(await row('server').count()).toBe(1)
    expect(await countKeys(accountId)).toEqual({ keys: 2, secrets: 3 })

    // A refusal is not a lost answer, so the user can correct the fields. The next opening of the dialog is another request.
    await page.getByRole('button', { name: 'Create key' }).click()
    await create.getByLabel('Name').fill('server')
    await create.getByRole('button', { name: 'Create key' }).click()
    await charge(await saveSecret(), 1)
    expect(await countKeys(accountId)).toEqual({ keys: 3, secrets: 4 })
    expect(complaints).toEqual([])
  })

  it('replacing a lost secret again after a lost answer gives a secret that works, even if another error came in between', async () => {
    const visitor = await visit()
    const { page, row, confirm, secretDialog, saveSecret, complaints } = visitor
    await signUpOnPage(visitor)
    const lost = await secretDialog.getByRole('textbox').inputValue()
    await secretDialog.getByRole('button', { name: 'Done' }).click()
    await confirm('Close anyway')
    await loseAnswer(page, 'keys.replaceLostSecret')
    await row('default').getByRole('button', { name: 'Get a new one' }).click()
    await confirm('Get a new one')
    const alert = page.getByRole('alertdialog')
    await alert.getByText('Try again: this ends no working secret.', { exact: false }).waitFor()
    // The list has been loaded again, and the key has another secret by now. The dialog hides the list from screen readers.
    await expect.poll(async () => await page.locator('tbody').textContent()).not.toContain(lost.slice(0, 15))
    await refuseOnce(page, 'keys.replaceLostSecret')
    await confirm('Try again')
    await alert.getByText('Too many changes.').waitFor()
    await alert.getByText('The answer of an earlier attempt was lost', { exact: false }).waitFor()
    await confirm('Try again')
    const secret = await saveSecret()
    await charge(secret, 1)
    expect(await verdictOf(lost)).toBe('expired')
    await row('default').getByText('Secret not saved?').waitFor({ state: 'detached' })
    expect(complaints).toEqual([])
  })
})

describe('a secret that was not saved', () => {
  it('the list does not ask about a secret while the page shows it, and asks before it replaces one', async () => {
    const visitor = await visit()
    const { page, row, confirm, secretDialog } = visitor
    await signUpOnPage(visitor)
    const secret = await secretDialog.getByRole('textbox').inputValue()
    // The open dialog hides the list from screen readers, but not from the eye.
    const key = page.locator('tbody tr').filter({ hasText: secret.slice(0, 15) })
    await key.waitFor()
    expect(await key.getByText('Secret not saved?').count()).toBe(0)
    await secretDialog.getByRole('button', { name: 'Done' }).click()
    await confirm('Close anyway')
    await row('default').getByText('Secret not saved?').waitFor()

    await row('default').getByRole('button', { name: 'Get a new one' }).click()
    const question = page.getByRole('alertdialog', { name: 'Get a new secret?' })
    expect((await question.textContent())?.replaceAll(/\s+/g, ' ')).toContain(
      `The secret ${secret.slice(0, 15)}… of default stops working immediately.`,
    )
    await page.keyboard.press('Escape')
    await question.waitFor({ state: 'detached' })
    await charge(secret, 1)
  })

  it('the user can answer that the secret is saved', async () => {
    const visitor = await visit()
    const { page, row, confirm, secretDialog } = visitor
    await signUpOnPage(visitor)
    const secret = await secretDialog.getByRole('textbox').inputValue()
    await secretDialog.getByRole('button', { name: 'Done' }).click()
    await confirm('Close anyway')
    await row('default').getByRole('button', { name: 'I have it' }).click()
    await page.getByText('counts as saved').waitFor()
    await row('default').getByText('Secret not saved?').waitFor({ state: 'detached' })
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('keys')
    await page.reload()
    await row('default').getByRole('button', { name: 'Actions for default' }).waitFor()
    expect(await row('default').getByText('Secret not saved?').count()).toBe(0)
    await charge(secret, 1)
  })
})

describe('rotating', () => {
  it('rotating an expired key asks for a new expiry, and the new secret works', async () => {
    const { page, secret: old, accountId, row, choose, saveSecret, complaints } = await signUp()
    await database.owner.query("update api_keys set expires_at = now() - interval '1 hour' where user_id = $1", [accountId])
    await page.reload()
    await row('default').getByText('Expired').waitFor()
    await choose('default', 'Rotate secret…')
    const rotate = page.getByRole('dialog', { name: 'Rotate secret' })
    await rotate.getByRole('button', { name: 'Rotate secret' }).click()
    await rotate.getByText('Choose both date and time').waitFor()
    await rotate.getByLabel('Expires').fill('2001-01-01T12:00')
    await rotate.getByRole('button', { name: 'Rotate secret' }).click()
    await rotate.getByText('Choose a moment in the future.').waitFor()
    await rotate.getByRole('radio', { name: 'Never' }).check()
    await rotate.getByRole('button', { name: 'Rotate secret' }).click()
    await charge(await saveSecret(), 1)
    expect(await verdictOf(old)).toBe('expired')
    await row('default').getByText('Expired').waitFor({ state: 'detached' })
    expect(complaints).toEqual([])
  })

  it('the dialog says that both secrets end when the key expires, if the key expires before the grace period ends', async () => {
    const { page, accountId, choose } = await signUp()
    await database.owner.query("update api_keys set expires_at = '2099-01-31T12:00:00Z' where user_id = $1", [accountId])
    await page.reload()
    await choose('default', 'Rotate secret…')
    const rotate = page.getByRole('dialog', { name: 'Rotate secret' })
    const notice = rotate.getByText('The current secret works at the latest until the key expires')
    await rotate.getByRole('radio', { name: '7 days' }).check()
    expect(await notice.count()).toBe(0)
    await page.keyboard.press('Escape')
    await rotate.waitFor({ state: 'detached' })

    const { rows } = await database.owner.query(
      "update api_keys set expires_at = now() + interval '3 days' where user_id = $1 returning expires_at",
      [accountId],
    )
    const expiry = new Date(rows[0].expires_at).toLocaleString('en-GB', { timeZone: 'Europe/Berlin', timeStyle: 'short' })
    await page.reload()
    await choose('default', 'Rotate secret…')
    await rotate.getByRole('radio', { name: '24 hours' }).check()
    expect(await notice.count()).toBe(0)
    await rotate.getByRole('radio', { name: '7 days' }).check()
    await notice.waitFor()
    expect(await notice.textContent()).toContain(expiry)
    expect(await notice.textContent()).toContain('The new secret ends then too.')
  })

  it('the dialog asks for a new expiry if the key has expired since the dialog was opened', async () => {
    const { page, accountId, choose, saveSecret } = await signUp()
    await choose('default', 'Rotate secret…')
    const rotate = page.getByRole('dialog', { name: 'Rotate secret' })
    await rotate.waitFor()
    await database.owner.query("update api_keys set expires_at = now() - interval '1 hour' where user_id = $1", [accountId])
    await rotate.getByRole('button', { name: 'Rotate secret' }).click()
    await rotate.getByText('This key has expired', { exact: false }).first().waitFor()
    await rotate.getByRole('radio', { name: 'Never' }).check()
    await rotate.getByRole('button', { name: 'Rotate secret' }).click()
    await charge(await saveSecret(), 1)
  })

  it('“End it now” ends only the secret that the user saw, and warns if the key is in use', async () => {
    const { page, secret, accountId, choose } = await signUp()
    await charge(secret, 1)
    await page.reload()
    await choose('default', 'Rotate secret…')
    const rotate = page.getByRole('dialog', { name: 'Rotate secret' })
    expect(await rotate.getByText('This key is in use').count()).toBe(0)
    await rotate.getByRole('radio', { name: 'End it now' }).check()
    await rotate.getByText('This key is in use').waitFor()
    await rotate.getByText(`Calls with the secret ${secret.slice(0, 15)}… stop working immediately.`).waitFor()
    await database.owner.query("update api_key_secrets set key_prefix = 'km_dev_another0' where user_id = $1", [accountId])
    await rotate.getByRole('button', { name: 'Rotate secret' }).click()
    await rotate.getByText('has got another secret since', { exact: false }).waitFor()
    await charge(secret, 1)
  })
})
