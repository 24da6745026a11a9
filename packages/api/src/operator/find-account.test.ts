import { randomUUID } from 'node:crypto'
import { ListAccounts, MEMBERS_MAX } from '@keymeter/contract'
import { sql } from 'kysely'
import { beforeAll, describe, expect, it } from 'vitest'
import { contextOf, provisioned } from '../../test/caller.ts'
import { memberOf } from '../../test/members.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { recordPlans, rowsRead } from '../../test/recorded-plans.ts'
import { addOwner, findNewOwner } from './add-owner.ts'
import { changeAsOperator } from './change-as-operator.ts'
import { findAccount } from './find-account.ts'
import { findKeys } from './find-keys.ts'
import { getAccountUsage } from './get-account-usage.ts'
import { listAccounts } from './list-accounts.ts'
import { readAsOperator } from './read-as-operator.ts'

const database = reconciledDatabase()
const { owner, ownerDb } = database
const call = (db = ownerDb) => ({ ...contextOf({ db }, null), osUser: 'tester', requestId: randomUUID() })
const emailOf = (userId: string) => `${userId}@example.com`

async function list(input: Partial<ListAccounts>, db = ownerDb) {
  const { data } = await readAsOperator(call(db), 'accounts', async (transaction) => ({
    result: await listAccounts(transaction, ListAccounts.parse(input)),
    account: null,
    search: null,
  }))
  return data.map(({ accountId, email, status }) => ({ accountId, email, status }))
}

/** Returns what every read of the operator shows as the address of the account. */
async function addressesOf(accountId: string, secret: string) {
  return await readAsOperator(call(), 'usage', async (transaction, scopeOf) => ({
    result: [
      (await getAccountUsage(scopeOf(accountId), {})).email,
      (await findKeys(transaction, scopeOf, { secret }, 'km')).keys[0]?.email,
      (await listAccounts(transaction, ListAccounts.parse({ search: accountId }))).data.find(
        (one) => one.accountId === accountId,
      )?.email,
    ],
    account: null,
    search: null,
  }))
}

describe('the accounts that an id or an address finds', () => {
  it('an account is found by the id and the address of every member, and shows the address of its first owner', async () => {
    const { userId, defaultKey } = await provisioned(database)
    const { memberId } = await memberOf(database, userId, 'viewer')
    const shown = { accountId: userId, email: emailOf(userId), status: 'active' }
    for (const text of [userId, emailOf(userId), memberId, emailOf(memberId)]) {
      expect(await findAccount(ownerDb, text)).toBe(userId)
      expect(await list({ search: text })).toEqual([shown])
    }
    expect(await list({ search: memberId.slice(0, 20) })).toEqual([shown])
    expect(await addressesOf(userId, defaultKey.secret)).toEqual(Array(3).fill(emailOf(userId)))
    expect(await list({ status: 'no_account', search: memberId.slice(0, 20) })).toEqual([])
  })

  it('an account whose first user is deleted is listed and found by its other members', async () => {
    const { userId, defaultKey } = await provisioned(database)
    const { memberId } = await memberOf(database, userId, 'owner')
    await owner.query('delete from auth.users where id = $1', [userId])
    for (const text of [userId, memberId, emailOf(memberId)]) {
      expect(await findAccount(ownerDb, text)).toBe(userId)
      expect(await list({ search: text })).toEqual([{ accountId: userId, email: emailOf(memberId), status: 'active' }])
    }
    expect(await list({})).toContainEqual({ accountId: userId, email: emailOf(memberId), status: 'active' })
    expect(await addressesOf(userId, defaultKey.secret)).toEqual(Array(3).fill(emailOf(memberId)))
    await expect(findAccount(ownerDb, emailOf(userId))).rejects.toMatchObject({ reason: 'account_not_found' })
  })

  it('an account without any user is listed and found by its id', async () => {
    const { userId, defaultKey } = await provisioned(database)
    await owner.query('delete from auth.users where id = $1', [userId])
    expect(await findAccount(ownerDb, userId.toUpperCase())).toBe(userId)
    expect(await list({ search: userId })).toEqual([{ accountId: userId, email: null, status: 'active' }])
    expect(await addressesOf(userId, defaultKey.secret)).toEqual([null, null, null])
    await owner.query('update billing_accounts set closed_at = now() where user_id = $1', [userId])
  })

  it('a removed member does not find the account, and a member of several accounts must be named by an id', async () => {
    const { userId, caller } = await provisioned(database)
    const { memberId } = await memberOf(database, userId, 'developer')
    await caller.members.remove({ memberId })
    // The user belongs to no account, so the id is that of the account that does not exist yet.
    expect(await findAccount(ownerDb, emailOf(memberId))).toBe(memberId)
    expect(await list({ search: emailOf(memberId) })).toEqual([
      { accountId: memberId, email: emailOf(memberId), status: 'no_account' },
    ])
    expect(await list({ search: memberId.slice(0, 20) })).toEqual([])
    const other = await provisioned(database)
    const both = await memberOf(database, userId, 'viewer')
    await owner.query("insert into account_members (user_id, member_id, role) values ($1, $2, 'admin')", [
      other.userId,
      both.memberId,
    ])
    const error = await findAccount(ownerDb, emailOf(both.memberId)).catch((error) => error)
    expect(error).toMatchObject({ reason: 'account_not_found' })
    for (const id of [userId, other.userId]) expect(error.message).toContain(id)
    expect((await list({ search: emailOf(both.memberId) })).map(({ accountId }) => accountId).sort()).toEqual(
      [userId, other.userId].sort(),
    )
    // The id of the account and that of its first user are the same text.
    expect(await findAccount(ownerDb, userId)).toBe(userId)
  })

  it('a deleted account is found by its last members, unless they belong to another account', async () => {
    const { userId, caller } = await provisioned(database)
    const left = await memberOf(database, userId, 'viewer')
    await caller.members.remove({ memberId: left.memberId })
    const last = await memberOf(database, userId, 'admin')
    await caller.accounts
      .close({ confirmation: emailOf(userId) })
      .catch(async () => await caller.accounts.close({ confirmation: 'delete' }))
    const shown = { accountId: userId, email: emailOf(userId), status: 'closed' }
    for (const text of [emailOf(userId), emailOf(last.memberId)]) {
      expect(await findAccount(ownerDb, text)).toBe(userId)
      expect(await list({ search: text })).toEqual([shown])
    }
    expect(await findAccount(ownerDb, emailOf(left.memberId))).toBe(left.memberId)
    expect(await list({ status: 'closed', search: userId })).toEqual([shown])
    for (const status of ['active', 'suspended'] as const) expect(await list({ status, search: userId })).toEqual([])
    const opened = await caller.accounts.open()
    expect(await findAccount(ownerDb, emailOf(userId))).toBe(opened.account.id)
  })

  it('users with one address, who belong to different accounts, must be named by an id', async () => {
    const [one, two] = [await provisioned(database), await provisioned(database)]
    await owner.query("update auth.users set email = 'Same@example.com' where id = $1", [one.userId])
    await owner.query("update auth.users set email = 'same@example.com', is_sso_user = true where id = $1", [two.userId])
    await expect(findAccount(ownerDb, 'SAME@example.com')).rejects.toThrow('belongs to more than one account')
    await expect(findNewOwner(ownerDb, 'same@example.com')).rejects.toThrow('More than one user')
  })
})

describe('the cost of the search by members', () => {
  const OTHERS = 2_000
  beforeAll(async () => {
    await sql`
      with users as (insert into auth.users (id, email) select gen_random_uuid(), 'other-' || n || '@example.org' from generate_series(1, ${OTHERS}::int) as n returning id),
           accounts as (insert into billing_accounts (user_id, credits_per_cycle, free_credits_refusal) select id, 0, 'not_offered' from users returning user_id)
      insert into account_members (user_id, member_id, role) select user_id, user_id, 'owner' from accounts`.execute(ownerDb)
  })

  it('a whole address and an id read only the members of the accounts of this user, and a page only those of its accounts', async () => {
    const { userId } = await provisioned(database)
    const { memberId } = await memberOf(database, userId, 'viewer')
    await owner.query('analyze')
    for (const [search, members] of [
      [userId, 3],
      [emailOf(memberId), 3],
    ] as const) {
      const statements = await recordPlans(database, async (db) => await list({ search }, db), 'postgres')
      expect(rowsRead(statements, 'account_members')).toBeLessThanOrEqual(members)
      expect(rowsRead(statements, 'users')).toBeLessThanOrEqual(2)
    }
    const page = await recordPlans(database, async (db) => await list({ limit: 10 }, db), 'postgres')
    expect(rowsRead(page, 'account_members')).toBeLessThanOrEqual(11)
    const found = await recordPlans(database, async (db) => await list({ search: 'no such part' }, db), 'postgres')
    // Each examined account has one member, and the new one has two.
    expect(rowsRead(found, 'account_members')).toBeLessThanOrEqual(2 * (OTHERS + 20))
    expect(rowsRead(found, 'users')).toBeLessThanOrEqual(2 * (OTHERS + 20))
  })
})

describe('another owner', () => {
  const add = async (accountId: string, id: string) =>
    (await changeAsOperator(call(), 'add-owner', accountId, async (scope) => await addOwner(scope, { id, email: emailOf(id) })))
      .result

  it('a member of a lower role becomes an owner, with an entry of the audit log by the operator', async () => {
    const { userId } = await provisioned(database)
    const { memberId } = await memberOf(database, userId, 'viewer')
    expect(await add(userId, memberId)).toBe(true)
    expect(await add(userId, memberId)).toBe(false)
    const { rows } = await owner.query(
      "select actor, detail from audit_log where user_id = $1 and action = 'member.role_changed'",
      [userId],
    )
    expect(rows).toEqual([
      { actor: 'operator', detail: { memberId, email: emailOf(memberId), role: { from: 'viewer', to: 'owner' } } },
    ])
  })

  it('an account has at most the maximum number of members, and a removed member can become an owner', async () => {
    const { userId, caller } = await provisioned(database)
    const removed = await memberOf(database, userId, 'viewer')
    await caller.members.remove({ memberId: removed.memberId })
    await sql`
      with users as (insert into auth.users (id, email) select gen_random_uuid(), 'full-' || n || '@example.org' from generate_series(1, ${MEMBERS_MAX - 2}::int) as n returning id)
      insert into account_members (user_id, member_id, role) select ${userId}, id, 'viewer' from users`.execute(ownerDb)
    expect(await add(userId, removed.memberId)).toBe(true)
    await expect(add(userId, await database.createUser())).rejects.toMatchObject({ reason: 'bad_request' })
    const { rows } = await owner.query('select role, removed_at from account_members where user_id = $1 and member_id = $2', [
      userId,
      removed.memberId,
    ])
    expect(rows).toEqual([{ role: 'owner', removed_at: null }])
  })

  it('the server’s role cannot add an owner', async () => {
    const { userId } = await provisioned(database)
    await expect(
      sql`select keymeter.add_owner(${userId}, ${userId}, 'x', row('a', null, null)::keymeter.call_origin)`.execute(
        database.db,
      ),
    ).rejects.toThrow('permission denied')
  })
})
