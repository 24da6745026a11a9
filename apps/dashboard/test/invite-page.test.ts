import { describe, expect, it } from 'vitest'
import { PASSWORD, testDashboard } from './person.ts'

const { database, server, visit, newEmail, signUp, invite, call } = testDashboard()

const linkOf = (token: string) => `${server.url}/invite#${token}`

/** The person has no account of their own. */
async function accountsOf(email: string) {
  const { rows } = await database.owner.query<{ role: string; isOwn: boolean }>(
    `select members.role, members.user_id = members.member_id as "isOwn" from account_members as members
       join auth.users on users.id = members.member_id where users.email = $1`,
    [email],
  )
  return rows
}

describe('a person who opens an invitation', () => {
  it('signs up with the invited address, joins, and gets no account of their own', async () => {
    const owner = await signUp()
    await call('accounts.rename', { name: 'Acme' }, owner.accessToken)
    const email = newEmail()
    const token = await invite(owner, email, 'developer')
    const { page, row, secretDialog, complaints } = await visit()
    const urls: string[] = []
    page.on('request', (request) => urls.push(request.url()))
    await page.goto(linkOf(token))
    await page.getByText(`${owner.email} invites you to Acme as a developer.`).waitFor()
    await page.getByText(`The invitation is for ${email}`, { exact: false }).waitFor()
    expect(page.url()).toBe(`${server.url}/invite`)
    await page.getByRole('button', { name: 'Sign up to join' }).click()
    expect(await page.getByLabel('E-mail').inputValue()).toBe(email)
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Create account' }).click()
    await page.getByText('You have joined the account.').waitFor()
    await row('default').getByText(`Of ${owner.email}`).waitFor()
    await page.getByRole('button', { name: 'Create key' }).waitFor()
    expect(await secretDialog.count()).toBe(0)
    expect(await accountsOf(email)).toEqual([{ role: 'developer', isOwn: false }])
    // A reload provisions again. The token is gone.
    await page.reload()
    await row('default').waitFor()
    expect(await accountsOf(email)).toEqual([{ role: 'developer', isOwn: false }])
    const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, history.state]))
    expect(kept).not.toContain('kminv_')
    for (const url of urls) expect(url).not.toContain(token.slice(6))
    expect(complaints).toEqual([])
  })

  it('signs in with an account of their own, and then sees the joined account', async () => {
    const [owner, invited] = [await signUp(), await signUp()]
    const token = await invite(owner, invited.email, 'viewer')
    const { page, row } = await visit()
    await page.goto(linkOf(token))
    await page.getByRole('button', { name: 'I already sign in here' }).click()
    expect(await page.getByLabel('E-mail').inputValue()).toBe(invited.email)
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Sign in', exact: true }).click()
    await row('default').getByText(`Of ${owner.email}`).waitFor()
    expect(await page.getByRole('combobox', { name: 'Account' }).getByRole('option').count()).toBe(2)
  })

  it('is signed in already, and joins with one button', async () => {
    const [owner, invited] = [await signUp(), await signUp()]
    const token = await invite(owner, invited.email, 'viewer')
    await invited.page.goto(linkOf(token))
    await invited.page.getByRole('button', { name: 'Join the account' }).click()
    await invited.row('default').getByText(`Of ${owner.email}`).waitFor()
    // The link was used. Opened again, it says so.
    await invited.page.goto(linkOf(token))
    await invited.page.getByText('This invitation was already used.', { exact: false }).waitFor()
    await invited.page.getByRole('link', { name: 'Continue without the invitation' }).click()
    await invited.row('default').waitFor()
    expect(await invited.page.evaluate(() => JSON.stringify({ ...sessionStorage }))).not.toContain('kminv_')
  })

  it('is signed in with another address, signs out, and continues with the invited one', async () => {
    const [owner, other, invited] = [await signUp(), await signUp(), await signUp()]
    const token = await invite(owner, invited.email, 'viewer')
    const { page, row } = other
    await page.goto(linkOf(token))
    await page.getByText(`You are signed in as ${other.email}.`, { exact: false }).waitFor()
    expect(await page.getByRole('button', { name: 'Join the account' }).count()).toBe(0)
    await page.getByRole('button', { name: 'Sign out and continue' }).click()
    await page.getByRole('button', { name: 'I already sign in here' }).click()
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Sign in', exact: true }).click()
    await row('default').getByText(`Of ${owner.email}`).waitFor()
    expect(await accountsOf(other.email)).toEqual([{ role: 'owner', isOwn: true }])
  })

  it('can sign in with another address than the invited one, and then cannot join', async () => {
    const [owner, other] = [await signUp(), await signUp()]
    const token = await invite(owner, newEmail(), 'viewer')
    const { page } = await visit()
    await page.goto(linkOf(token))
    await page.getByRole('button', { name: 'I already sign in here' }).click()
    await page.getByLabel('E-mail').fill(other.email)
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Sign in', exact: true }).click()
    await page.getByText(`You are signed in as ${other.email}.`, { exact: false }).waitFor()
    expect(await accountsOf(other.email)).toEqual([{ role: 'owner', isOwn: true }])
  })

  it('learns that the invitation was revoked or has expired, or that the link is not complete', async () => {
    const owner = await signUp()
    const [revoked, expired] = [newEmail(), newEmail()]
    const tokens = [await invite(owner, revoked, 'viewer'), await invite(owner, expired, 'viewer')]
    // The second invitation of an address revokes the first one.
    await invite(owner, revoked, 'viewer')
    await database.owner.query(
      "update account_invitations set created_at = now() - interval '8 days', expires_at = now() - interval '1 day' where email = $1",
      [expired],
    )
    const { page } = await visit()
    await page.goto(linkOf(tokens[0] ?? ''))
    await page.getByText('This invitation was revoked', { exact: false }).waitFor()
    await page.goto(linkOf(tokens[1] ?? ''))
    await page.getByText('This invitation has expired.', { exact: false }).waitFor()
    await page.goto(linkOf('kminv_tooShort'))
    await page.getByText('This link is not complete: copy the whole link.', { exact: false }).waitFor()
    await page.goto(linkOf(`kminv_${'A'.repeat(43)}`))
    await page.getByText('There is no such invitation', { exact: false }).waitFor()
    await page.getByRole('link', { name: 'Continue without the invitation' }).click()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    await page.goto(`${server.url}/invite`)
    await page.getByText('Open the link of your invitation again.', { exact: false }).waitFor()
  })
})
