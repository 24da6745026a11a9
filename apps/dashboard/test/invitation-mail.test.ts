import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { PASSWORD, testDashboard, type Visitor } from './person.ts'

const { auth, database, server, visit, newEmail } = testDashboard({ emailConfirmation: true })

/** Waits for a mail to the address on the page of the local mailbox, opens it, and returns the tab that its link opens. */
async function openMailedLink({ page }: Visitor, email: string, subject: string): Promise<Page> {
  const { DEV_MAILBOX_URL = '' } = auth.mailbox.serverEnv()
  await page.goto(`${DEV_MAILBOX_URL}/dev/mail`)
  await page
    .getByRole('listitem')
    .filter({ hasText: `to ${email}` })
    .getByRole('link', { name: subject })
    .first()
    .click()
  const opened = page.context().waitForEvent('page')
  await page.frameLocator('iframe[title="Content of the mail"]').getByRole('link').first().click()
  return await opened
}

async function signUp(page: Page, email: string): Promise<void> {
  await page.getByLabel('E-mail').fill(email)
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD)
  await page.getByRole('button', { name: 'Create account' }).click()
  await page.getByRole('heading', { name: 'Check your e-mail' }).waitFor()
}

/** Signs up and confirms the address. Returns the visitor, who owns an account. */
async function signedUpOwner() {
  const visitor = await visit()
  const email = newEmail()
  await visitor.page.goto(`${server.url}/sign-up`)
  await signUp(visitor.page, email)
  const tab = await openMailedLink(await visit(), email, 'Confirm')
  await tab.getByRole('button', { name: 'Confirm address' }).click()
  await tab.getByRole('dialog', { name: 'Save your secret' }).getByRole('button', { name: /Copy/ }).click()
  await tab.getByRole('button', { name: 'Done' }).click()
  return { page: tab, email }
}

async function invite({ page }: { page: Page }, email: string): Promise<void> {
  await page.getByRole('link', { name: 'Members' }).click()
  await page.getByLabel('Invite by e-mail address').fill(email)
  await page.getByRole('button', { name: 'Invite', exact: true }).click()
  await page.getByRole('textbox', { name: 'Link of the invitation' }).waitFor()
}

async function membershipsOf(email: string) {
  const { rows } = await database.owner.query<{ role: string; isOwn: boolean }>(
    `select members.role, members.user_id = members.member_id as "isOwn" from account_members as members
       join auth.users on users.id = members.member_id where users.email = $1`,
    [email],
  )
  return rows
}

async function accountsNamedAfter(email: string): Promise<number> {
  const { rows } = await database.owner.query(
    'select from billing_accounts join auth.users on users.id = billing_accounts.user_id where users.email = $1',
    [email],
  )
  return rows.length
}

describe('the mail of an invitation', () => {
  it('makes a person a member without an own account, who signs up in one browser and confirms the address in a third one', async () => {
    const owner = await signedUpOwner()
    const email = newEmail()
    await invite(owner, email)

    const second = await openMailedLink(await visit(), email, 'You are invited')
    await second.getByText(`${owner.email} invites you`, { exact: false }).waitFor()
    await second.getByRole('button', { name: 'Sign up to join' }).click()
    const signedUp = second.waitForRequest(/auth\.signup/)
    await signUp(second, email)
    // The auth server of the tests always leads to the first page. Supabase Auth leads to this page, which asks for the invitation.
    expect((await signedUp).postDataJSON()).toMatchObject({ 0: { next: '/invite' } })

    const visitor = await visit()
    const third = await openMailedLink(visitor, email, 'Confirm')
    await third.getByRole('button', { name: 'Confirm address' }).click()
    await third.getByRole('heading', { name: 'You are not a member of any account' }).waitFor()
    await third.getByRole('button', { name: 'Open an account' }).waitFor()
    expect([await membershipsOf(email), await accountsNamedAfter(email)]).toEqual([[], 0])

    const fourth = await openMailedLink(visitor, email, 'You are invited')
    await fourth.getByRole('button', { name: 'Join the account' }).waitFor()
    expect(await membershipsOf(email)).toEqual([])
    await fourth.getByRole('button', { name: 'Join the account' }).click()
    await fourth.getByText('You have joined the account.').waitFor()
    await fourth.getByRole('row').filter({ hasText: 'default' }).getByText(`Of ${owner.email}`).waitFor()
    await fourth.reload()
    await fourth.getByRole('row').filter({ hasText: 'default' }).waitFor()
    expect(await membershipsOf(email)).toEqual([{ role: 'developer', isOwn: false }])
    expect(await accountsNamedAfter(email)).toBe(0)
  })
})
