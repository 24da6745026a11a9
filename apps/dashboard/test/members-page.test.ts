import { describe, expect, it } from 'vitest'
import { comeBackTo, testDashboard, type Visitor } from './person.ts'

const { database, server, signUp, signUpInvited, join, call } = testDashboard()

const openMembers = async ({ page }: Visitor) => {
  await page.getByRole('link', { name: 'Members' }).click()
  await page.getByRole('heading', { name: 'Members' }).waitFor()
}

describe('the page of the members', () => {
  it('an owner invites an address, copies the link, makes another one, and revokes it', async () => {
    const owner = await signUp()
    const { page, complaints } = owner
    await openMembers(owner)
    await page.getByText('You are the only owner', { exact: false }).waitFor()
    await page.getByLabel('Invite by e-mail address').fill('not an address')
    await page.getByRole('button', { name: 'Invite' }).click()
    await page.getByText('Enter an e-mail address').waitFor()
    await page.getByLabel('Invite by e-mail address').fill('colleague@bücher.example')
    await page.getByRole('combobox', { name: 'Role' }).selectOption('admin')
    await page.getByRole('button', { name: 'Invite' }).click()
    const link = page.getByRole('textbox', { name: 'Link of the invitation' })
    const first = await link.inputValue()
    expect(first).toMatch(new RegExp(`^${server.url}/invite#kminv_[\\w-]{43}$`))
    await page.getByRole('button', { name: 'Copy link' }).click()
    await page.getByText('The link is on your clipboard.').waitFor()
    expect(await page.evaluate(async () => await navigator.clipboard.readText())).toBe(first)
    const open = page.getByRole('list', { name: 'Open invitations' }).getByRole('listitem')
    expect(await open.textContent()).toMatch(/colleague@bücher\.example.* as Admin/)

    await page.getByRole('button', { name: /^Send again to/ }).click()
    await expect.poll(async () => await link.inputValue()).not.toBe(first)
    expect(await open.count()).toBe(1)
    await page.getByRole('button', { name: /^Revoke the invitation of/ }).click()
    await page.getByText('There are no open invitations.').waitFor()
    // The link no longer works, so it is not shown any more.
    expect(await link.count()).toBe(0)
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('members')
    // A page that was loaded again does not know any link.
    await page.reload()
    await page.getByText('There are no open invitations.').waitFor()
    expect(await page.content()).not.toContain('kminv_')
    expect(complaints).toEqual([])
  })

  it('a member who is invited again is named as a member', async () => {
    const owner = await signUp()
    const member = await signUpInvited(owner, 'viewer')
    await openMembers(owner)
    await owner.page.getByLabel('Invite by e-mail address').fill(member.email)
    await owner.page.getByRole('button', { name: 'Invite' }).click()
    await owner.page.getByText('This address already is a member of the account', { exact: false }).waitFor()
  })

  it('an owner changes a role, and the open page of the member shows what the new role may do', async () => {
    const owner = await signUp()
    const member = await signUpInvited(owner, 'viewer')
    const create = member.page.getByRole('button', { name: 'Create key' })
    expect(await create.count()).toBe(0)
    await openMembers(owner)
    await owner.page.getByRole('button', { name: `Change the role of ${member.email}` }).click()
    const dialog = owner.page.getByRole('dialog', { name: 'Change role' })
    await dialog.getByRole('radio', { name: /^Developer/ }).check()
    await dialog.getByRole('button', { name: 'Change role' }).click()
    await owner.page.getByText(`The role of ${member.email} is now Developer.`).waitFor()
    await owner.row(member.email).getByText('Developer', { exact: true }).waitFor()
    await comeBackTo(member.page)
    await create.waitFor()
    await member.page.getByText('Your role in this account is now developer.').waitFor()
    expect(member.complaints).toEqual([])
  })

  it('a call that the changed role does not allow is refused with a message, and the page then offers it no more', async () => {
    const owner = await signUp()
    const member = await signUpInvited(owner, 'developer', { polls: false })
    const { page } = member
    await page.getByRole('button', { name: 'Create key' }).first().click()
    await page.getByRole('dialog').getByLabel('Name').fill('mine')
    await call('members.setRole', { memberId: member.userId, role: 'viewer' }, owner.accessToken)
    await page.getByRole('dialog').getByRole('button', { name: 'Create key' }).click()
    await page.getByText('Your role in this account does not allow this', { exact: false }).waitFor()
    await page.getByText('Your role in this account is now viewer.').waitFor({ state: 'attached' })
    await page.keyboard.press('Escape')
    await page.getByRole('dialog', { name: 'Create a key' }).waitFor({ state: 'detached' })
    expect(await page.getByRole('button', { name: 'Create key' }).count()).toBe(0)
  })

  it('an owner revokes the keys of a member, one and then all others, and removes the member', async () => {
    const owner = await signUp()
    const member = await signUp()
    await join(owner, member, 'developer')
    for (const name of ['first', 'second', 'third']) await call('keys.create', { name }, member.accessToken, owner.accountId)
    await openMembers(owner)
    await owner.page.getByRole('button', { name: `Remove ${member.email}` }).click()
    const dialog = owner.page.getByRole('alertdialog', { name: 'Remove this member?' })
    const keys = dialog.getByRole('list', { name: 'Live keys of the member' }).getByRole('listitem')
    await dialog.getByText('These 3 keys of the member', { exact: false }).waitFor()
    await dialog.getByRole('button', { name: /^Revoke second/ }).click()
    await dialog.getByText('1 key is revoked.').waitFor()
    await expect.poll(async () => (await keys.allTextContents()).join()).not.toContain('second')
    await dialog.getByRole('button', { name: 'Revoke all 2 keys' }).click()
    await dialog.getByText('2 keys are revoked.').waitFor()
    await dialog.getByText('The member has no live keys.').waitFor()
    await dialog.getByRole('button', { name: 'Remove', exact: true }).click()
    await owner.page.getByText(`${member.email} is removed.`).waitFor()
    await owner.row(member.email).waitFor({ state: 'detached' })
    const { rows } = await database.owner.query(
      `select name, revoked_at is not null as "isRevoked" from api_keys where user_id = $1 order by created_at`,
      [owner.accountId],
    )
    expect(rows).toEqual(['default', 'first', 'second', 'third'].map((name) => ({ name, isRevoked: name !== 'default' })))
    expect(owner.complaints).toEqual([])
  })

  it('an owner transfers the ownership after typing the address, and then leaves the account', async () => {
    const owner = await signUp()
    const member = await signUpInvited(owner, 'viewer')
    const { page } = owner
    await openMembers(owner)
    await page.getByRole('button', { name: `Make ${member.email} the owner instead of you` }).click()
    const dialog = page.getByRole('dialog', { name: 'Transfer ownership' })
    await dialog.getByLabel(`Type ${member.email} to confirm`).fill('somebody else')
    await dialog.getByRole('button', { name: 'Transfer ownership' }).click()
    await dialog.getByText(`Type ${member.email}.`).waitFor()
    await dialog.getByLabel(`Type ${member.email} to confirm`).fill(member.email)
    await dialog.getByRole('button', { name: 'Transfer ownership' }).click()
    await owner.row(member.email).getByRole('cell', { name: 'Owner', exact: true }).waitFor()
    await owner.row(owner.email).getByRole('cell', { name: 'Admin', exact: true }).waitFor()
    // An admin cannot change an owner. The page reads the members first, and then the own role.
    await page.getByRole('button', { name: `Change the role of ${member.email}` }).waitFor({ state: 'detached' })
    await page.getByRole('button', { name: `Remove ${member.email}` }).waitFor({ state: 'detached' })
    await page.getByRole('button', { name: 'Leave this account' }).click()
    await page.getByRole('alertdialog').getByText('Your keys keep working', { exact: false }).waitFor()
    await page.getByRole('alertdialog').getByRole('button', { name: 'Leave' }).click()
    await page.getByRole('heading', { name: 'You are not a member of any account' }).waitFor()
    expect(owner.complaints).toEqual([])
  })

  it('a person without an account opens one, and sees the secret of its first key', async () => {
    const owner = await signUp()
    const member = await signUpInvited(owner, 'viewer')
    const { page, saveSecret, row } = member
    await openMembers(member)
    await page.getByRole('button', { name: 'Leave this account' }).click()
    await page.getByRole('alertdialog').getByRole('button', { name: 'Leave' }).click()
    await page.getByRole('button', { name: 'Open an account' }).click()
    expect(await saveSecret()).toMatch(/^km_dev_/)
    await page.getByRole('link', { name: 'API keys' }).click()
    await row('default').getByRole('button', { name: 'Actions for default' }).waitFor()
    await openMembers(member)
    await member.row(member.email).getByRole('cell', { name: 'Owner', exact: true }).waitFor()
    expect(member.complaints).toEqual([])
  })

  it('a member who owns no account opens one on the settings page, and then owns it beside the other account', async () => {
    const owner = await signUp()
    const member = await signUpInvited(owner, 'developer')
    const { page, saveSecret, row } = member
    await page.getByRole('link', { name: /^Settings/ }).click()
    const accounts = page.getByRole('list', { name: 'Your accounts' }).getByRole('listitem')
    const texts = async () => (await accounts.allInnerTexts()).map((text) => text.replaceAll(/[^\w@.-]+/g, ' ').trim())
    await expect.poll(texts).toEqual([`${owner.email} Developer`])
    await page.getByRole('button', { name: 'Open an account of your own' }).click()
    expect(await saveSecret()).toMatch(/^km_dev_/)
    await expect.poll(texts).toEqual([`${owner.email} Developer`, `${member.email} Owner`])
    // A person opens only one account.
    expect(await page.getByRole('button', { name: 'Open an account of your own' }).count()).toBe(0)
    await page.getByRole('link', { name: 'API keys' }).click()
    await row('default').getByRole('button', { name: 'Actions for default' }).waitFor()
    expect(await row('default').getByText(`Of ${owner.email}`).count()).toBe(0)
    const { rows } = await database.owner.query('select role from account_members where user_id = $1 and member_id = $1', [
      member.userId,
    ])
    expect(rows).toEqual([{ role: 'owner' }])
    expect(member.complaints).toEqual([])
  })

  it('an owner names the account, and the name is shown to members', async () => {
    const owner = await signUp()
    const member = await signUpInvited(owner, 'viewer')
    await openMembers(owner)
    await owner.page.getByLabel('Name of the account').fill('Ünïted Widgets')
    await owner.page.getByRole('button', { name: 'Save' }).click()
    await owner.page.getByText('The account is renamed.').waitFor()
    await member.page.reload()
    await openMembers(member)
    await member.page.getByText('Account: Ünïted Widgets').waitFor()
    expect(await member.page.getByLabel('Name of the account').count()).toBe(0)
  })
})

describe('pages of members', () => {
  it('a viewer sees everything and no button that the server would refuse', async () => {
    const owner = await signUp()
    await call('keys.create', { name: 'a server', isService: true }, owner.accessToken)
    const { page, row, complaints } = await signUpInvited(owner, 'viewer')
    await row('a server').getByText('Service account, belongs to no person').waitFor()
    await row('default').getByText(`Of ${owner.email}`).waitFor()
    const buttonsOf = async () =>
      (await page.getByRole('main').getByRole('button').allTextContents()).map((text) => text.trim())
    expect(await buttonsOf()).toEqual([])
    await page.getByRole('link', { name: 'Billing' }).click()
    await page.getByText('Only owners and admins change the thresholds.').first().waitFor()
    expect(await page.getByRole('button', { name: 'Add', exact: true }).count()).toBe(0)
    expect(await page.getByRole('button', { name: /^Remove the threshold/ }).count()).toBe(0)
    await page.getByRole('link', { name: 'Members' }).click()
    await page.getByRole('row').filter({ hasText: owner.email }).waitFor()
    await page.getByText('Only owners and admins invite people', { exact: false }).waitFor()
    // Desktop and phone have the same button, of which one is visible.
    expect(new Set(await buttonsOf())).toEqual(new Set(['Leave this account']))
    await page.getByRole('link', { name: 'Activity' }).click()
    await page.getByText(`By ${owner.email}`, { exact: false }).first().waitFor()
    expect(complaints).toEqual([])
  })

  it('a developer creates keys and changes only those, and cannot create a service account', async () => {
    const owner = await signUp()
    const { page, row, saveSecret, complaints } = await signUpInvited(owner, 'developer')
    await page.getByRole('button', { name: 'Create key' }).first().click()
    const dialog = page.getByRole('dialog', { name: 'Create a key' })
    await dialog.getByText('More options').click()
    await dialog.getByLabel('Credit limit').waitFor()
    expect(await dialog.getByRole('radio', { name: /No person/ }).count()).toBe(0)
    await dialog.getByLabel('Name').fill('mine')
    await dialog.getByRole('button', { name: 'Create key' }).click()
    await saveSecret()
    await row('mine').getByRole('button', { name: 'Actions for mine' }).waitFor()
    expect(await row('default').getByRole('button').count()).toBe(0)
    expect(complaints).toEqual([])
  })

  it('an owner creates a service account, which belongs to no person', async () => {
    const { page, row, saveSecret, accountId } = await signUp()
    await page.getByRole('button', { name: 'Create key' }).first().click()
    const dialog = page.getByRole('dialog', { name: 'Create a key' })
    await dialog.getByLabel('Name').fill('the server')
    await dialog.getByText('More options').click()
    await dialog.getByRole('radio', { name: /No person/ }).check()
    await dialog.getByRole('button', { name: 'Create key' }).click()
    await saveSecret()
    await row('the server').getByText('Service account, belongs to no person').waitFor()
    const { rows } = await database.owner.query('select name, is_service from api_keys where user_id = $1 order by name', [
      accountId,
    ])
    expect(rows).toEqual([
      { name: 'default', is_service: false },
      { name: 'the server', is_service: true },
    ])
  })
})
