import { randomUUID } from 'node:crypto'
import { testAuth, testDatabase } from '@keymeter/local/testing'
import { afterEach, describe, expect, it } from 'vitest'
import { accessToken, backend, contextOf, provisioned } from '../../test/caller.ts'
import { memberOf } from '../../test/members.ts'
import { checkOwners } from '../doctor/check-owners.ts'
import { reconcile } from '../maintenance/reconcile.ts'
import { appRouter } from '../router.ts'

const database = testDatabase()
const auth = testAuth(database)
const { owner, ownerDb } = database

const ownersOf = async (id: string) =>
  (await owner.query("select member_id from account_members where user_id = $1 and role = 'owner'", [id])).rows.map(
    ({ member_id }) => member_id,
  )

afterEach(async () => {
  expect(await reconcile(ownerDb)).toEqual([])
  expect(await checkOwners(ownerDb)).toMatchObject({ name: 'owners', status: 'ok' })
})

describe('every account of a migrated database has an owner', () => {
  it('a sign-up with the auth server', async () => {
    const supabase = { url: auth.supabaseUrl, publishableKey: auth.publishableKey, secretKey: null }
    const { user, defaultKey } = await appRouter
      .createCaller(contextOf(database, null, { supabase }))
      .auth.signup({ email: `${randomUUID()}@example.com`, password: 'long-enough-password' })
    expect(defaultKey).not.toBeNull()
    expect(await ownersOf(user.id)).toEqual([user.id])
  })

  it('a first visit, also several concurrent ones', async () => {
    const userId = await database.createUser()
    const visits = Array.from({ length: 8 }, async () =>
      appRouter.createCaller(contextOf(database, await accessToken(userId))).auth.provision(),
    )
    await Promise.all(visits)
    expect(await ownersOf(userId)).toEqual([userId])
  })

  it('a change by the operator before the first visit', async () => {
    const userId = await database.createUser()
    await backend(database).operator.grantTopUp({ accountId: userId, credits: 1, idempotencyKey: 'first' })
    expect(await ownersOf(userId)).toEqual([userId])
    const unknown = randomUUID()
    const grant = backend(database).operator.grantTopUp({ accountId: unknown, credits: 1, idempotencyKey: 'first' })
    await expect(grant).rejects.toMatchObject({ reason: 'account_not_found' })
    expect((await owner.query('select from billing_accounts where user_id = $1', [unknown])).rows).toEqual([])
  })

  it('an account that a person opens later, with a new id', async () => {
    const { userId, caller } = await provisioned(database)
    await caller.accounts.close({ confirmation: 'delete' })
    const { account } = await caller.accounts.open()
    expect(account.id).not.toBe(userId)
    expect([await ownersOf(account.id), await ownersOf(userId)]).toEqual([[userId], []])
  })

  it('an account whose owner leaves after another one was made', async () => {
    const { userId, caller } = await provisioned(database)
    const { memberId } = await memberOf(database, userId, 'viewer')
    await caller.members.transferOwnership({ memberId })
    await caller.members.leave()
    expect(await ownersOf(userId)).toEqual([memberId])
  })

  it('only the deletion of the last owner in Supabase leaves an account without one, which the checks report', async () => {
    const ids: string[] = []
    for (let n = 0; n < 4; n++) ids.push((await provisioned(database)).userId)
    await owner.query('delete from auth.users where id = any($1)', [ids])
    const found = (await reconcile(ownerDb)).map(({ what, userId }) => [what, userId])
    expect(found.sort()).toEqual(ids.map((id) => ['owner', id]).sort())
    const { status, message } = await checkOwners(ownerDb)
    expect([status, message]).toEqual(['fault', `4 accounts have no owner: ${ids.slice(0, 3).join('; ')}; and 1 more.`])
    expect(await reconcile(ownerDb, { onlyTotals: true })).toEqual([])
    await owner.query('delete from billing_accounts where user_id = any($1)', [ids])
  })
})
