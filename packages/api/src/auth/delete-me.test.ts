import { randomUUID } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { type Answer, type Received, startAuthStandIn } from '../../test/auth-stand-in.ts'
import { accessToken, contextOf, provisioned } from '../../test/caller.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { verifyAudit } from '../maintenance/verify-audit.ts'
import { appRouter } from '../router.ts'

const database = reconciledDatabase()
const { owner } = database
const SECRET_KEY = 'sb_secret_of_the_tests'
const closing: (() => void)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) close()
  expect((await verifyAudit(database.ownerDb)).faults).toEqual([])
})

/** Answers like the admin API of Supabase Auth, which the auth server of the other tests does not have. auth-js reads a user before it deletes it. */
async function answerAsAdmin({ method, path }: Received): Promise<Answer> {
  const id = path.split('/').at(-1)
  const statement = method === 'DELETE' ? 'delete from auth.users where id = $1' : 'select from auth.users where id = $1'
  const { rowCount } = await owner.query(statement, [id])
  const notFound = { code: 404, error_code: 'user_not_found', msg: 'User not found' }
  return rowCount === 1 ? { status: 200, body: method === 'DELETE' ? {} : { id } } : { status: 404, body: notFound }
}

/** Starts the admin API, and returns a caller of the user. `secretKey` is null if the server has none. */
async function callerOf(
  userId: string,
  {
    answer = answerAsAdmin,
    secretKey = SECRET_KEY,
    aal = 'aal1',
  }: { answer?: typeof answerAsAdmin; secretKey?: string | null; aal?: string } = {},
) {
  const admin = await startAuthStandIn(answer)
  closing.push(admin.close)
  const email = `${userId}@example.com`
  const supabase = { url: admin.url, publishableKey: 'none', secretKey }
  const context = contextOf(database, await accessToken(userId, { email, aal }), { supabase })
  return { api: appRouter.createCaller(context), received: admin.received, email }
}

const rolesOf = async (userId: string) =>
  (await owner.query('select user_id, role from account_members where member_id = $1 order by created_at, user_id', [userId]))
    .rows
const closedAt = async (id: string) =>
  (await owner.query('select closed_at from billing_accounts where user_id = $1', [id])).rows[0].closed_at
const isUser = async (id: string) => (await owner.query('select from auth.users where id = $1', [id])).rowCount === 1
const join = async (account: string, member: string, role: string) =>
  void (await owner.query('insert into account_members (user_id, member_id, role) values ($1, $2, $3)', [
    account,
    member,
    role,
  ]))

describe('the deletion of a sign-in', () => {
  it('the deletion first deletes the own account, then leaves the others, then deletes the user with the secret key', async () => {
    const { userId } = await provisioned(database)
    const other = await provisioned(database)
    await join(other.userId, userId, 'developer')
    const atDeletion: unknown[] = []
    const me = await callerOf(userId, {
      answer: async (request) => {
        if (request.method === 'DELETE') atDeletion.push(await closedAt(userId), ...(await rolesOf(userId)))
        return await answerAsAdmin(request)
      },
    })
    expect((await me.api.accounts.getDeletion()).canDeleteSignIn).toBe(true)
    expect(await me.api.auth.deleteMe({ confirmation: me.email, closedAccounts: [userId] })).toMatchObject({
      isSignInDeleted: true,
    })
    const headers = { apikey: SECRET_KEY, authorization: `Bearer ${SECRET_KEY}` }
    const path = `/auth/v1/admin/users/${userId}`
    expect(me.received).toMatchObject([
      { method: 'GET', path, headers },
      { method: 'DELETE', path, headers },
    ])
    expect(atDeletion).toMatchObject([expect.any(Date), { role: null }, { role: null }])
    expect(await isUser(userId)).toBe(false)
    // The memberships are deleted with the user, and the account and its audit log stay.
    expect(await rolesOf(userId)).toEqual([])
    const { rows } = await owner.query(
      "select action, actor_id from audit_log where action in ('account.closed', 'member.left') and actor_id = $1 order by 1",
      [userId],
    )
    expect(rows.map(({ action }) => action)).toEqual(['account.closed', 'member.left'])
    expect(await closedAt(other.userId)).toBeNull()
  })

  it('nothing is changed unless the person types the own address and confirms each account without another owner', async () => {
    const { userId } = await provisioned(database)
    const me = await callerOf(userId)
    for (const confirmation of ['', 'delete', 'other@example.com'])
      await expect(me.api.auth.deleteMe({ confirmation, closedAccounts: [userId] })).rejects.toMatchObject({
        reason: 'bad_request',
        issues: [{ field: 'confirmation' }],
      })
    for (const closedAccounts of [[], [randomUUID()]])
      await expect(me.api.auth.deleteMe({ confirmation: me.email, closedAccounts })).rejects.toMatchObject({
        reason: 'last_owner',
      })
    expect([await closedAt(userId), await isUser(userId), me.received]).toEqual([null, true, []])
  })

  it('an account with another owner stays, even if the person confirmed its deletion', async () => {
    const { userId } = await provisioned(database)
    await join(userId, await database.createUser(), 'owner')
    const me = await callerOf(userId)
    expect(await me.api.auth.deleteMe({ confirmation: me.email, closedAccounts: [userId] })).toMatchObject({
      isSignInDeleted: true,
    })
    expect([await closedAt(userId), await isUser(userId)]).toEqual([null, false])
  })

  it('two owners who delete themselves concurrently leave an account that is deleted or has an owner', async () => {
    for (let round = 0; round < 5; round++) {
      const { userId } = await provisioned(database)
      const second = await database.createUser()
      await join(userId, second, 'owner')
      const people = await Promise.all([userId, second].map(async (id) => await callerOf(id)))
      const outcomes = await Promise.allSettled(
        people.map(
          async (me, i) =>
            // Only the first one confirms that the account may be deleted.
            await me.api.auth.deleteMe({ confirmation: me.email, closedAccounts: i === 0 ? [userId] : [] }),
        ),
      )
      const refusals = outcomes.flatMap((one) => (one.status === 'rejected' ? [one.reason.reason] : []))
      expect(['', 'last_owner']).toContain(refusals.join())
      const { rows } = await owner.query("select from account_members where user_id = $1 and role = 'owner'", [userId])
      expect(rows.length === 0).toBe((await closedAt(userId)) !== null)
      expect(rows.length).toBe(refusals.length)
    }
  })

  it('a call that failed at the auth server can be repeated, and succeeds if the user is already deleted', async () => {
    const { userId } = await provisioned(database)
    let faults = 1
    const me = await callerOf(userId, {
      answer: async (request) =>
        faults-- > 0
          ? { status: 500, body: { code: 500, error_code: 'unexpected_failure', msg: 'x' } }
          : await answerAsAdmin(request),
    })
    const input = { confirmation: me.email, closedAccounts: [userId] }
    await expect(me.api.auth.deleteMe(input)).rejects.toMatchObject({ reason: 'auth_unavailable' })
    expect([(await closedAt(userId)) !== null, await isUser(userId)]).toEqual([true, true])
    expect(await me.api.auth.deleteMe({ confirmation: me.email })).toMatchObject({ isSignInDeleted: true })
    expect(await me.api.auth.deleteMe(input)).toMatchObject({ isSignInDeleted: true })
    expect(me.received.map(({ method }) => method)).toEqual(['GET', 'GET', 'DELETE', 'GET'])
  })

  it('a wrong secret key is a fault of the server, and its key is in no message', async () => {
    const { userId } = await provisioned(database)
    const me = await callerOf(userId, {
      answer: async () => ({
        status: 403,
        body: { code: 403, error_code: 'not_admin', msg: `User not allowed ${SECRET_KEY}` },
      }),
    })
    const error = await me.api.auth.deleteMe({ confirmation: me.email, closedAccounts: [userId] }).catch((error) => error)
    expect(error).toMatchObject({ reason: 'auth_unavailable' })
    expect(error.message).not.toContain(SECRET_KEY)
  })

  it('without a secret key, the answer is that the operator must delete the user', async () => {
    const { userId } = await provisioned(database)
    const me = await callerOf(userId, { secretKey: null })
    expect(await me.api.auth.deleteMe({ confirmation: me.email, closedAccounts: [userId] })).toMatchObject({
      isSignInDeleted: false,
    })
    expect([(await closedAt(userId)) !== null, await isUser(userId), me.received]).toEqual([true, true, []])
  })

  it('a person without an account can delete the sign-in, and an account that needs a second factor keeps its owner', async () => {
    const alone = await callerOf(await database.createUser())
    expect(await alone.api.auth.deleteMe({ confirmation: alone.email })).toMatchObject({ isSignInDeleted: true })
    const { userId } = await provisioned(database)
    await owner.query('update billing_accounts set requires_second_factor = true where user_id = $1', [userId])
    const me = await callerOf(userId)
    const input = { confirmation: me.email, closedAccounts: [userId] }
    await expect(me.api.auth.deleteMe(input)).rejects.toMatchObject({ reason: 'second_factor_required' })
    expect(await closedAt(userId)).toBeNull()
    const second = await callerOf(userId, { aal: 'aal2' })
    expect(await second.api.auth.deleteMe(input)).toMatchObject({ isSignInDeleted: true })
  })
})
