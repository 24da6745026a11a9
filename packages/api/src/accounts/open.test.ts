import { MEMBERS_MAX } from '@keymeter/contract'
import { describe, expect, it } from 'vitest'
import { accessToken, contextOf, provisioned } from '../../test/caller.ts'
import { actingOn, memberOf } from '../../test/members.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { AccountQueue } from '../account-queue.ts'
import { appRouter } from '../router.ts'

const database = reconciledDatabase()

/** Returns the caller of a user on the account with the id of the user. Each caller has a queue of its own, like another process. */
const callerOf = async (userId: string) => {
  const token = await accessToken(userId, { email: `${userId}@example.com` })
  return appRouter.createCaller(contextOf(database, token, { accountCalls: new AccountQueue(1) }))
}

const WAITING_SESSIONS =
  'select from pg_locks join pg_stat_activity using (pid) where not granted and datname = current_database()'

describe('a person who opens an account', () => {
  it('gets one account, even if calls arrive concurrently in five processes and the account needs a new id', async () => {
    const { userId, caller } = await provisioned(database)
    const { memberId } = await memberOf(database, userId, 'owner')
    await caller.members.leave()
    const processes = await Promise.all(Array.from({ length: 5 }, async () => await callerOf(userId)))
    // Until all calls wait for a lock, none of them can create an account.
    const blocker = await database.owner.connect()
    await blocker.query('begin')
    await blocker.query('lock table billing_accounts in share mode')
    const calls = Promise.allSettled(processes.map(async (one) => await one.accounts.open()))
    try {
      await expect.poll(async () => (await database.owner.query(WAITING_SESSIONS)).rowCount).toBe(processes.length)
    } finally {
      await blocker.query('commit')
      blocker.release()
    }
    const answers = await calls
    const refusals = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason.reason] : []))
    expect(refusals).toEqual(Array.from({ length: 4 }, () => 'account_exists'))
    const { data } = await caller.accounts.list()
    expect(data).toHaveLength(1)
    expect(data[0]?.id).not.toBe(userId)
    expect(data[0]?.id).not.toBe(memberId)
  })
})

describe('a person in the maximum number of accounts', () => {
  it('neither accepts an invitation nor opens an account until they have left one, and the invitation stays open', async () => {
    const [first, second] = [await provisioned(database), await provisioned(database)]
    const personId = await database.createUser()
    await database.owner.query(
      `with accounts as (insert into billing_accounts (user_id, credits_per_cycle, free_credits_refusal)
                         select gen_random_uuid(), 0, 'mailbox_used' from generate_series(1, $3::int) returning user_id)
       insert into account_members (user_id, member_id, role)
       select user_id, member_id, role::keymeter.member_role from accounts
        cross join (values ($1::uuid, 'owner'), ($2::uuid, 'viewer')) as members (member_id, role)`,
      [await database.createUser(), personId, MEMBERS_MAX - 1],
    )
    const email = `${personId}@example.com`
    const tokenOf = ({ link }: { link: string }) => link.slice(link.indexOf('#') + 1)
    const invite = async ({ caller }: typeof first) => ({
      token: tokenOf(await caller.members.invite({ email, role: 'viewer' })),
    })
    const [toFirst, toSecond] = [await invite(first), await invite(second)]
    const caller = await callerOf(personId)
    expect(await caller.members.acceptInvitation(toFirst)).toMatchObject({ account: { id: first.userId }, isNew: true })
    expect((await caller.accounts.list()).data).toHaveLength(MEMBERS_MAX)
    await expect(caller.members.acceptInvitation(toSecond)).rejects.toMatchObject({ reason: 'too_many_accounts' })
    await expect(caller.accounts.open()).rejects.toMatchObject({ reason: 'too_many_accounts' })
    expect((await second.caller.members.invitations()).data).toMatchObject([{ email }])
    expect((await second.caller.members.list()).data).toHaveLength(1)
    await (await actingOn(database, first.userId, personId)).members.leave()
    expect(await caller.members.acceptInvitation(toSecond)).toMatchObject({ account: { id: second.userId } })
    const ids = (await caller.accounts.list()).data.map(({ id }) => id)
    expect(ids).toHaveLength(MEMBERS_MAX)
    expect(ids).toContain(second.userId)
  })
})
