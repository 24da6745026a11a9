import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { comeBackTo, testDashboard, type Visitor } from './person.ts'

const { database, signUp, signUpInvited, call, charge, asBackend, once } = testDashboard()

async function openSettings({ page }: Pick<Visitor, 'page'>): Promise<void> {
  await page.getByRole('link', { name: /^Settings/ }).click()
  await page.getByRole('heading', { name: 'Settings' }).waitFor()
}

const stateOf = async (accountId: string) =>
  (await database.owner.query('select closed_at is not null as closed from billing_accounts where user_id = $1', [accountId]))
    .rows[0]

describe('the download of the account', () => {
  it('the page saves one complete JSON file, without a secret', async () => {
    const person = await signUp({ hasFilePicker: false })
    await charge(person.secret, 3)
    await openSettings(person)
    const [file] = await Promise.all([
      person.page.waitForEvent('download'),
      person.page.getByRole('button', { name: 'Download my data' }).click(),
    ])
    expect(file.suggestedFilename()).toMatch(/^keymeter-account-\d{4}-\d\d-\d\d\.json$/)
    const text = await readFile(await file.path(), 'utf8')
    expect(JSON.parse(text)).toMatchObject({
      account: { id: person.accountId },
      members: [{ id: person.accountId, role: 'owner' }],
      usageEvents: [{ creditsCharged: 3 }],
      isComplete: true,
    })
    expect(text).not.toContain(person.secret)
    await person.page.getByText('The file is saved', { exact: false }).waitFor()
    expect(person.complaints).toEqual([])
  })

  it('the page shows why the server refuses the download, and saves nothing', async () => {
    const person = await signUp({ hasFilePicker: false })
    await openSettings(person)
    await database.owner.query("update account_members set role = 'viewer' where user_id = $1", [person.accountId])
    await person.page.getByRole('button', { name: 'Download my data' }).click()
    await person.page.getByText('Your role in this account does not allow this', { exact: false }).waitFor()
    await database.owner.query("update account_members set role = 'owner' where user_id = $1", [person.accountId])
  })
})

describe('the deletion of the account', () => {
  it('the dialog says what ends, deletes only after the right text, and signs out', async () => {
    const person = await signUp()
    const { page, email, accountId, secret, complaints } = person
    await charge(secret, 40)
    await openSettings(person)
    await page.getByRole('button', { name: 'Delete account…' }).click()
    const dialog = page.getByRole('alertdialog', { name: 'Delete this account?' })
    for (const text of [
      '1 API key stops working immediately.',
      '960 credits can no longer be spent.',
      'Nobody else is a member.',
    ])
      await dialog.getByText(text, { exact: false }).waitFor()
    await dialog.getByLabel('Confirmation').fill('delete')
    await dialog.getByRole('button', { name: 'Delete account' }).click()
    await dialog.getByText('This is not the text.', { exact: false }).waitFor()
    expect(await stateOf(accountId)).toEqual({ closed: false })
    await dialog.getByLabel('Confirmation').fill(email.toUpperCase())
    await page.keyboard.press('Enter')
    await page.getByText('The account is deleted.').waitFor()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    expect(await stateOf(accountId)).toEqual({ closed: true })
    const refused = await asBackend('metering.charge', { key: secret, credits: 1, idempotencyKey: once() })
    expect(refused).toMatchObject({ verdict: 'revoked' })
    expect(complaints).toEqual([])
  })

  it('if the answer is lost, the dialog shows it, and a second attempt succeeds', async () => {
    const person = await signUp()
    const { page, email, accountId } = person
    await openSettings(person)
    await page.getByRole('button', { name: 'Delete account…' }).click()
    const dialog = page.getByRole('alertdialog', { name: 'Delete this account?' })
    await page.route(
      '**/trpc/accounts.close**',
      async (route) => {
        await route.fetch()
        await route.abort('connectionreset')
      },
      { times: 1 },
    )
    await dialog.getByLabel('Confirmation').fill(email)
    await dialog.getByRole('button', { name: 'Delete account' }).click()
    await dialog.getByText('The server cannot be reached.', { exact: false }).waitFor()
    expect(await stateOf(accountId)).toEqual({ closed: true })
    await dialog.getByRole('button', { name: 'Delete account' }).click()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  })
})

describe('the deletion of the sign-in', () => {
  it('the dialog lists each account and what happens to it, and says that the operator deletes the user', async () => {
    const other = await signUp()
    const person = await signUp()
    const { page, email, accountId } = person
    await database.owner.query("insert into account_members (user_id, member_id, role) values ($1, $2, 'viewer')", [
      other.accountId,
      accountId,
    ])
    await openSettings(person)
    await page.getByRole('button', { name: 'Delete sign-in…' }).click()
    const dialog = page.getByRole('alertdialog', { name: 'Delete your sign-in?' })
    await dialog.getByText(`The account ${email} is deleted, because nobody else owns it:`).waitFor()
    await dialog.getByText(`The account ${other.email} stays, and you leave it.`).waitFor()
    // The server of this test has no secret key of the project.
    await dialog.getByText('The operator must then delete your sign-in itself', { exact: false }).waitFor()
    await dialog.getByLabel('Confirmation').fill(email)
    await dialog.getByRole('button', { name: 'Delete sign-in' }).click()
    await page.getByText('Ask the operator to delete your sign-in.', { exact: false }).waitFor()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    expect([await stateOf(accountId), await stateOf(other.accountId)]).toEqual([{ closed: true }, { closed: false }])
    const { rows } = await database.owner.query('select role from account_members where member_id = $1', [accountId])
    expect(rows).toEqual([{ role: null }, { role: null }])
  })
  it('a person without an account still reaches the settings, and deletes the sign-in there', async () => {
    const owner = await signUp()
    const { page, email, userId, complaints } = await signUpInvited(owner, 'viewer')
    await call('members.remove', { memberId: userId }, owner.accessToken)
    await comeBackTo(page)
    await page.getByRole('heading', { name: 'You are not a member of any account' }).waitFor()
    await openSettings({ page })
    await page.getByRole('region', { name: 'Accounts' }).getByText('You are not a member of any account.').waitFor()
    await page.getByRole('button', { name: 'Sign out everywhere…' }).waitFor()
    // Without an account, the page offers neither the download nor the deletion of an account.
    expect(await page.getByRole('heading', { name: 'Your data' }).count()).toBe(0)
    await page.getByRole('button', { name: 'Delete sign-in…' }).click()
    expect(await page.getByRole('button', { name: 'Delete account…' }).count()).toBe(0)
    const dialog = page.getByRole('alertdialog', { name: 'Delete your sign-in?' })
    await dialog.getByText('You are a member of no account.').waitFor()
    await dialog.getByLabel('Confirmation').fill(email)
    await dialog.getByRole('button', { name: 'Delete sign-in' }).click()
    await page.getByText('Ask the operator to delete your sign-in.', { exact: false }).waitFor()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    expect(complaints).toEqual([])
  })
})
