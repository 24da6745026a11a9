import { memberOf, provisioned } from '@keymeter/api/testing'
import { testDatabase } from '@keymeter/local/testing'
import { beforeEach, describe, expect, it } from 'vitest'
import { runCommand } from '../test/run-command.ts'

const database = testDatabase()
const { owner } = database
let person: Awaited<ReturnType<typeof provisioned>>
beforeEach(async () => {
  await owner.query('delete from billing_accounts')
  await owner.query('delete from auth.users')
  await owner.query('delete from operator_log')
  person = await provisioned(database)
})

const keymeter = async (args: string[]) => await runCommand(args, { settings: { MIGRATION_DATABASE_URL: database.urls.owner } })
const emailOf = (userId: string) => `${userId}@example.com`
const log = async () => (await owner.query('select command, user_id from operator_log order by created_at')).rows
const entries = async () =>
  (
    await owner.query(
      "select actor, actor_id, action, detail from audit_log where user_id = $1 and actor = 'operator' order by sequence",
      [person.userId],
    )
  ).rows

describe('keymeter account', () => {
  it('the command shows the name, the members with the ids of their users and their present addresses, and the open invitations', async () => {
    const { userId, caller } = person
    const { memberId, caller: developer } = await memberOf(database, userId, 'developer')
    const { memberId: removed } = await memberOf(database, userId, 'viewer')
    await caller.members.remove({ memberId: removed })
    await developer.keys.create({ name: 'ci' })
    await owner.query("update auth.users set email = 'present@example.com' where id = $1", [memberId])
    await caller.accounts.rename({ name: 'Acme' })
    await caller.members.invite({ email: 'new@example.com', role: 'viewer' })
    await caller.members.invite({ email: 'late@example.com', role: 'admin' })
    await owner.query(
      "update account_invitations set created_at = now() - interval '8 days', expires_at = now() - interval '1 day' where email = 'late@example.com'",
    )
    const { code, stdout } = await keymeter(['account', userId])
    expect(code).toBe(0)
    const [first, , , , ...lines] = stdout.split('\n')
    expect(first).toBe(`${userId} "Acme"`)
    const cells = lines.map((line) => line.split(/ {2,}/))
    const [since, own] = [expect.stringMatching(/^2.*Z$/), emailOf(userId)]
    expect(stdout).toMatch(/^MEMBER +USER ID +ROLE +SINCE +LIVE KEYS$/m)
    // A long address is cut.
    expect(cells).toContainEqual([expect.stringMatching(`^${userId}@`), userId, 'owner', since, '1'])
    expect(cells).toContainEqual(['present@example.com', memberId, 'developer', since, '1'])
    expect(cells).toContainEqual(['new@example.com', 'viewer', expect.stringMatching(`^${userId}@`), since])
    expect(cells).toContainEqual(['late@example.com', 'admin', expect.anything(), expect.stringMatching(/^2.*Z \(ended\)$/)])
    expect(stdout).not.toContain(removed)
    expect(stdout).not.toContain('no owner')
    const json = JSON.parse((await keymeter(['account', userId, '--json'])).stdout)
    expect(json).toMatchObject({
      accountId: userId,
      name: 'Acme',
      account: { plan: 'free' },
      members: [
        { id: userId, email: own, role: 'owner' },
        { id: memberId, role: 'developer', liveKeys: 1 },
      ],
      invitations: [
        { email: 'new@example.com', isExpired: false },
        { email: 'late@example.com', isExpired: true },
      ],
    })
    expect(JSON.stringify(json)).not.toContain('kminv_')
  })

  it('the command reports an account without an owner, and not a deleted account', async () => {
    const { userId } = person
    await memberOf(database, userId, 'admin')
    await owner.query('delete from auth.users where id = $1', [userId])
    const { stdout } = await keymeter(['account', userId])
    expect(stdout).toContain('The account has no owner. Make a user the owner: keymeter add-owner')
    await keymeter(['close-account', userId, '--yes'])
    const closed = (await keymeter(['account', userId])).stdout
    expect(closed).toContain('The account has no members.')
    expect(closed).not.toContain('no owner')
  })
})

describe('keymeter set-role and remove-member', () => {
  it('the operator changes the role of a member by the address or the id, and removes the member, with entries of both logs', async () => {
    const { userId } = person
    const { memberId, caller } = await memberOf(database, userId, 'developer')
    await owner.query("update auth.users set email = 'present@example.com' where id = $1", [memberId])
    const set = ['set-role', userId]
    expect(await keymeter([...set, 'Present@example.com', 'viewer'])).toMatchObject({
      code: 0,
      stdout: `present@example.com is now viewer of account ${userId}, and was developer.\n`,
    })
    await expect(caller.keys.create({ name: 'ci' })).rejects.toMatchObject({ reason: 'role_insufficient' })
    expect((await keymeter([...set, memberId, 'viewer'])).stdout).toContain('already is viewer')
    const removed = await keymeter(['remove-member', userId, 'present@example.com', '--json'])
    expect(JSON.parse(removed.stdout)).toMatchObject({
      accountId: userId,
      memberId,
      role: null,
      roleBefore: 'viewer',
      isChanged: true,
    })
    await expect(caller.keys.list()).rejects.toMatchObject({ reason: 'not_a_member' })
    expect(await entries()).toEqual([
      {
        actor: 'operator',
        actor_id: null,
        action: 'member.role_changed',
        detail: expect.objectContaining({ memberId, role: { from: 'developer', to: 'viewer' } }),
      },
      {
        actor: 'operator',
        actor_id: null,
        action: 'member.removed',
        detail: expect.objectContaining({ memberId, role: { from: 'viewer', to: null } }),
      },
    ])
    expect(await log()).toEqual(['set-role', 'set-role', 'remove-member'].map((command) => ({ command, user_id: userId })))
    expect((await keymeter(['verify-audit'])).code).toBe(0)
  })

  it('the last owner stays, and only a member of the named account is changed', async () => {
    const { userId } = person
    const other = await provisioned(database)
    const { memberId } = await memberOf(database, other.userId, 'admin')
    for (const args of [
      ['set-role', userId, userId, 'admin'],
      ['remove-member', userId, emailOf(userId)],
    ])
      expect(await keymeter(args)).toMatchObject({ code: 2, stderr: expect.stringContaining('always has an owner') })
    for (const member of [memberId, emailOf(memberId), 'nobody@example.com'])
      expect(await keymeter(['remove-member', userId, member])).toMatchObject({
        code: 2,
        stderr: expect.stringContaining(`has no member ${member}. "keymeter account ${userId}" lists the members.`),
      })
    const { rows } = await owner.query('select role from account_members order by role')
    expect(rows).toEqual([{ role: 'admin' }, { role: 'owner' }, { role: 'owner' }])
    expect(await entries()).toEqual([])
  })

  it('an address of two members changes neither of them', async () => {
    const { userId } = person
    const [one, other] = [await memberOf(database, userId, 'viewer'), await memberOf(database, userId, 'viewer')]
    await owner.query("update account_members set email = 'shared@example.com' where member_id = any($1)", [
      [one.memberId, other.memberId],
    ])
    expect(await keymeter(['remove-member', userId, 'shared@example.com'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('more than one member shared@example.com. Use the id of the user'),
    })
    expect((await owner.query("select from account_members where role = 'viewer'")).rowCount).toBe(2)
  })
})
