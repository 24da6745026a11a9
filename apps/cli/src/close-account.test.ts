import { provisioned } from '@keymeter/api/testing'
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

async function keymeter(args: string[], confirm?: boolean) {
  const questions: string[] = []
  const answer = async (question: string) => {
    questions.push(question)
    return confirm === true
  }
  const settings = { MIGRATION_DATABASE_URL: database.urls.owner }
  return { ...(await runCommand(args, { settings, confirm: confirm === undefined ? null : answer })), questions }
}
const closedAt = async () =>
  (await owner.query('select closed_at from billing_accounts where user_id = $1', [person.userId])).rows[0]?.closed_at
const log = async () => (await owner.query('select command, user_id from operator_log')).rows
const email = () => `${person.userId}@example.com`

describe('keymeter close-account', () => {
  it('the command asks first, deletes the account in the name of the operator, and a repeat changes nothing', async () => {
    const refused = await keymeter(['close-account', email()], false)
    expect(refused).toMatchObject({ code: 1, stdout: 'Nothing was changed.\n' })
    expect(refused.questions).toEqual([expect.stringContaining('has 1000 credits left')])
    expect(await keymeter(['close-account', email()])).toMatchObject({ code: 2, stderr: expect.stringContaining('Pass --yes') })
    expect(await closedAt()).toBeNull()
    const done = await keymeter(['close-account', email()], true)
    expect(done).toMatchObject({ code: 0, stdout: expect.stringContaining(`Deleted account ${person.userId}.`) })
    const { rows } = await owner.query("select actor, actor_id from audit_log where action = 'account.closed'")
    expect(rows).toEqual([{ actor: 'operator', actor_id: null }])
    const again = await keymeter(['close-account', email(), '--yes'])
    expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('was already deleted') })
    expect(await log()).toContainEqual({ command: 'close-account', user_id: person.userId })
    expect((await keymeter(['accounts', '--status', 'closed'])).stdout).toContain('free (deleted)')
    expect((await keymeter(['accounts', '--status', 'active'])).stdout).toBe('No account matches.\n')
  })
})

describe('keymeter erase-account', () => {
  it('the command refuses an account that is not deleted, asks first, and prints the last hash of the audit log', async () => {
    expect(await keymeter(['erase-account', person.userId, '--yes'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('This account is not deleted'),
    })
    await keymeter(['close-account', person.userId, '--yes'])
    expect(await keymeter(['erase-account', email()])).toMatchObject({ code: 2, stderr: expect.stringContaining('Pass --yes') })
    const refused = await keymeter(['erase-account', email()], false)
    expect([refused.code, refused.stdout]).toEqual([1, 'Nothing was changed.\n'])
    const { code, stdout } = await keymeter(['erase-account', email()], true)
    expect(code).toBe(0)
    const { rows } = await owner.query("select encode(audit_head, 'hex') as head from billing_accounts")
    expect(stdout).toContain(`The last one has the hash ${rows[0]?.head}.`)
    expect((await keymeter(['verify-audit'])).code).toBe(0)
    expect((await keymeter(['reconcile'])).code).toBe(0)
    // The members are erased, so the account has no address any more.
    expect((await keymeter(['account', person.userId])).stdout).toContain('deleted since')
    expect((await keymeter(['erase-account', person.userId, '--with-audit', '--yes'])).code).toBe(0)
    expect(await closedAt()).toBeUndefined()
  })
})

describe('keymeter add-owner', () => {
  it('an account whose last owner was deleted is reported by doctor and reconcile, until a user with a confirmed address owns it', async () => {
    const { userId: accountId } = person
    await owner.query('delete from auth.users where id = $1', [accountId])
    const finding = async () =>
      JSON.parse((await keymeter(['doctor', '--json'])).stdout).findings.find(({ name }: { name: string }) => name === 'owners')
    expect(await finding()).toMatchObject({ status: 'fault', message: `1 account has no owner: ${accountId}.` })
    const differs = await keymeter(['reconcile'])
    expect(differs).toMatchObject({
      code: 1,
      stdout: expect.stringContaining(`Account ${accountId}: owner, account: no owner is stored`),
    })
    expect((await keymeter(['reconcile', accountId])).code).toBe(1)
    const successor = await database.createUser()
    const address = `${successor}@example.com`
    await owner.query('update auth.users set email_confirmed_at = null')
    expect(await keymeter(['add-owner', accountId, address])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('No user has confirmed'),
    })
    await owner.query('update auth.users set email_confirmed_at = now()')
    expect(await keymeter(['add-owner', accountId, address.toUpperCase()])).toMatchObject({
      code: 0,
      stdout: `${address} is an owner of account ${accountId}.\n`,
    })
    const again = await keymeter(['add-owner', accountId, address])
    expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('already is an owner') })
    const { rows } = await owner.query("select actor, detail from audit_log where action = 'member.joined'")
    expect(rows).toEqual([{ actor: 'operator', detail: { memberId: successor, email: address, role: 'owner' } }])
    expect(await finding()).toMatchObject({ status: 'ok' })
    expect((await keymeter(['reconcile'])).code).toBe(0)
    // The account is found by the address of its owner now.
    expect((await keymeter(['account', address])).stdout).toContain(accountId)
    await keymeter(['close-account', accountId, '--yes'])
    expect(await keymeter(['add-owner', accountId, address])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('was deleted'),
    })
  })
})
