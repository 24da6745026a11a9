import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { withClient } from '@keymeter/local'
import { sql } from 'kysely'
import { describe, expect, it } from 'vitest'
import { accessToken, byMember, charge, contextOf, provisioned, signedIn } from '../../test/caller.ts'
import { actingOn, memberOf, team } from '../../test/members.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { AccountQueue } from '../account-queue.ts'
import { lockAccount } from '../billing/lock-account.ts'
import { createLimits, NO_LIMITS } from '../limits/limits.ts'
import { verifyAudit } from '../maintenance/verify-audit.ts'
import { appRouter } from '../router.ts'
import { inAccount, type Scope } from '../scope.ts'

const database = reconciledDatabase()
/** Without an announcement, a watched account is read again only after 15 seconds. */
const BEFORE_REREAD_MS = 10_000
const { owner } = database

/** Waits until this number of sessions of the database wait for a lock. */
async function untilWaiting(count: number): Promise<void> {
  await expect
    .poll(
      async () =>
        (
          await owner.query(
            'select from pg_locks join pg_stat_activity using (pid) where not granted and datname = current_database()',
          )
        ).rows.length,
    )
    .toBe(count)
}

/** Locks the account, as an edit of the operator does. Returns a function that unlocks it. */
async function lock(accountId: string): Promise<() => Promise<void>> {
  const client = await owner.connect()
  await client.query('begin')
  await client.query('select keymeter.lock_account($1)', [accountId])
  return async () => {
    await client.query('commit')
    client.release()
  }
}

const entriesOf = async (accountId: string) =>
  (await owner.query('select from audit_log where user_id = $1', [accountId])).rows.length

const ownersOf = async (accountId: string) =>
  (await owner.query("select member_id from account_members where user_id = $1 and role = 'owner'", [accountId])).rows.length

describe('members of an account', () => {
  it('the list shows owners first, their addresses and the number of their live keys, and no removed member', async () => {
    const { accountId, owner: first, second, member } = await team(database, 'developer')
    const removed = await memberOf(database, accountId, 'viewer')
    await first.members.remove({ memberId: removed.memberId })
    const { data } = await first.members.list()
    expect(data.map(({ id, role, liveKeys }) => [id, role, liveKeys])).toEqual([
      [accountId, 'owner', 1],
      [second.memberId, 'owner', 0],
      [member.memberId, 'developer', 1],
    ])
    expect(data[2]?.email).toBe(`${member.memberId}@example.com`)
  })

  it('an admin changes members who are not owners, and makes nobody an owner', async () => {
    const { accountId, second, member } = await team(database, 'admin')
    const { memberId } = await memberOf(database, accountId, 'viewer')
    await member.caller.members.setRole({ memberId, role: 'admin' })
    const refused = { reason: 'role_insufficient' }
    await expect(member.caller.members.setRole({ memberId, role: 'owner' })).rejects.toMatchObject(refused)
    await expect(member.caller.members.setRole({ memberId: member.memberId, role: 'owner' })).rejects.toMatchObject(refused)
    await expect(member.caller.members.setRole({ memberId: second.memberId, role: 'viewer' })).rejects.toMatchObject(refused)
    await expect(member.caller.members.remove({ memberId: second.memberId })).rejects.toMatchObject(refused)
    await member.caller.members.remove({ memberId })
  })

  it('the last owner can neither leave nor take a lower role', async () => {
    const { userId, caller } = await provisioned(database)
    await memberOf(database, userId, 'admin')
    for (const attempt of [
      () => caller.members.leave(),
      () => caller.members.setRole({ memberId: userId, role: 'admin' }),
      () => caller.members.remove({ memberId: userId }),
    ])
      await expect(attempt()).rejects.toMatchObject({ code: 'CONFLICT', reason: 'last_owner' })
  })

  it('after a transfer of the ownership, the new owner owns the account and the old one is an admin', async () => {
    const { userId, caller } = await provisioned(database)
    const { memberId, caller: next } = await memberOf(database, userId, 'viewer')
    await expect(caller.members.transferOwnership({ memberId: userId })).rejects.toMatchObject({ reason: 'bad_request' })
    await caller.members.transferOwnership({ memberId })
    const { data } = await next.members.list()
    expect(data.map(({ id, role }) => [id, role])).toEqual([
      [memberId, 'owner'],
      [userId, 'admin'],
    ])
  })

  it('two owners who leave at the same time leave one after the other, so there is always an owner', async () => {
    for (let round = 0; round < 5; round++) {
      const { accountId, owner: first, second } = await team(database, 'viewer')
      const unlock = await lock(accountId)
      const leaving = Promise.allSettled([first.members.leave(), second.caller.members.leave()])
      await untilWaiting(2)
      await unlock()
      const outcomes = (await leaving).map((one) => (one.status === 'rejected' ? one.reason.reason : 'left'))
      expect(outcomes.sort()).toEqual(['last_owner', 'left'])
      expect(await ownersOf(accountId)).toBe(1)
    }
  })

  it('two owners who remove each other at the same time leave one owner', async () => {
    const { accountId, owner: first, second } = await team(database, 'viewer')
    const unlock = await lock(accountId)
    const removing = Promise.allSettled([
      first.members.remove({ memberId: second.memberId }),
      second.caller.members.remove({ memberId: accountId }),
    ])
    await untilWaiting(2)
    await unlock()
    const outcomes = (await removing).map((one) => (one.status === 'rejected' ? one.reason.reason : 'removed'))
    expect(outcomes.sort()).toEqual(['not_a_member', 'removed'])
    expect(await ownersOf(accountId)).toBe(1)
  })

  it('every change of a member leaves an entry that names the actor, and the audit chain covers the actor', async () => {
    const { accountId, owner: first, second, member } = await team(database, 'developer')
    await second.caller.members.setRole({ memberId: member.memberId, role: 'viewer' })
    await second.caller.members.setRole({ memberId: member.memberId, role: 'viewer' })
    await member.caller.members.leave()
    const { data } = await first.audit.list({ limit: 2 })
    expect(data).toMatchObject([
      {
        action: 'member.left',
        actor: 'member',
        member: { id: member.memberId, email: `${member.memberId}@example.com` },
        detail: { memberId: member.memberId, role: { from: 'viewer', to: null } },
      },
      {
        action: 'member.role_changed',
        member: { id: second.memberId, email: `${second.memberId}@example.com` },
        detail: { role: { from: 'developer', to: 'viewer' } },
      },
    ])
    await owner.query('delete from auth.users where id = $1', [second.memberId])
    expect((await first.audit.list({ limit: 2 })).data[1]).toMatchObject({ member: { id: second.memberId, email: null } })
    expect((await verifyAudit(database.ownerDb)).faults).toEqual([])
    expect(accountId).not.toBe(second.memberId)
  })

  it('a key records its creator and survives the creator', async () => {
    const { owner: first, member } = await team(database, 'developer')
    const created = await member.caller.keys.create({ name: 'mine' })
    expect(created).toMatchObject({
      createdBy: { id: member.memberId, email: `${member.memberId}@example.com` },
      isService: false,
    })
    await first.members.remove({ memberId: member.memberId })
    expect((await first.keys.get({ id: created.id })).createdBy).toMatchObject({ id: member.memberId })
    expect(await charge(database, created.secret, 1)).toMatchObject({ verdict: 'charged' })
    await owner.query('delete from auth.users where id = $1', [member.memberId])
    expect(await first.keys.get({ id: created.id })).toMatchObject({ createdBy: { id: member.memberId, email: null } })
    expect(await charge(database, created.secret, 1)).toMatchObject({ verdict: 'charged' })
  })

  it('only owners and admins create and change keys that belong to no person', async () => {
    const { owner: first, member } = await team(database, 'developer')
    await expect(member.caller.keys.create({ name: 'x', isService: true })).rejects.toMatchObject({
      reason: 'role_insufficient',
    })
    const key = await first.keys.create({ name: 'server', isService: true })
    expect(key).toMatchObject({ isService: true })
    await owner.query('update api_keys set created_by = $2 where id = $1', [key.id, member.memberId])
    await expect(member.caller.keys.revoke({ id: key.id })).rejects.toMatchObject({ reason: 'role_insufficient' })
  })
})

describe('the account of a call', () => {
  it('is by default the account with the id of the user, and otherwise the account of the header', async () => {
    const { accountId, member } = await team(database, 'viewer')
    const own = await signedIn(database, member.memberId)
    const { defaultKey, accounts } = await own.auth.provision()
    // A person who is a member of another account gets no account of their own.
    expect([defaultKey, accounts.map(({ id, role }) => [id, role])]).toEqual([null, [[accountId, 'viewer']]])
    await expect(own.billing.get()).rejects.toMatchObject({ reason: 'not_a_member' })
    expect((await member.caller.billing.get()).account).not.toBeNull()
    const opened = await own.accounts.open()
    expect(opened).toMatchObject({ account: { id: member.memberId, role: 'owner' }, defaultKey: { name: 'default' } })
    expect((await own.keys.list()).data).toMatchObject([{ name: 'default' }])
    await expect(own.accounts.open()).rejects.toMatchObject({ reason: 'account_exists' })
    const old = await accessToken(member.memberId, { amr: [{ method: 'password', timestamp: 1 }] })
    await expect(appRouter.createCaller(contextOf(database, old)).accounts.open()).rejects.toMatchObject({
      reason: 'sign_in_too_old',
    })
    expect((await own.accounts.list()).data.map(({ id }) => id)).toEqual([accountId, member.memberId])
  })

  it('can be opened again with another id after the person has left the first one, and without free credits', async () => {
    const { userId, caller } = await provisioned(database)
    const { memberId } = await memberOf(database, userId, 'viewer')
    await caller.members.transferOwnership({ memberId })
    await caller.members.leave()
    expect(await caller.auth.provision()).toMatchObject({ accounts: [], defaultKey: null })
    await expect(caller.keys.list()).rejects.toMatchObject({ reason: 'not_a_member' })
    const { account, defaultKey } = await caller.accounts.open()
    expect(account.id).not.toBe(userId)
    expect(defaultKey?.createdBy?.id).toBe(userId)
    const own = await actingOn(database, account.id, userId)
    expect((await own.billing.get()).account).toMatchObject({ creditsPerCycle: 0, freeCreditsRefusal: 'mailbox_used' })
  })

  it.each(['', 'x', '00000000', `${randomUUID()}, ${randomUUID()}`])(
    'a header that is not an id is refused: "%s"',
    async (account) => {
      const { userId } = await provisioned(database)
      const caller = appRouter.createCaller(contextOf(database, await accessToken(userId), { account }))
      await expect(caller.keys.list()).rejects.toMatchObject({ code: 'BAD_REQUEST', reason: 'bad_request' })
    },
  )

  it('an account that requires a second factor refuses a sign-in without one, and answers strangers as always', async () => {
    const { accountId, owner: first, member } = await team(database, 'viewer')
    await expect(first.accounts.requireSecondFactor({ isRequired: true })).rejects.toMatchObject({
      reason: 'second_factor_required',
    })
    expect((await member.caller.keys.list()).data).toHaveLength(2)
    const strongOwner = appRouter.createCaller(contextOf(database, await accessToken(accountId, { aal: 'aal2' })))
    await strongOwner.accounts.requireSecondFactor({ isRequired: true })
    await expect(member.caller.keys.list()).rejects.toMatchObject({ code: 'FORBIDDEN', reason: 'second_factor_required' })
    expect((await member.caller.accounts.list()).data).toMatchObject([{ id: accountId, requiresSecondFactor: true }])
    const token = await accessToken(member.memberId, { aal: 'aal2' })
    const strong = appRouter.createCaller(contextOf(database, token, { account: accountId }))
    expect((await strong.keys.list()).data).toHaveLength(2)
    const stranger = await provisioned(database)
    await expect((await actingOn(database, accountId, stranger.userId)).keys.list()).rejects.toMatchObject({
      reason: 'not_a_member',
    })
  })

  it('the name of an account is shown to its members, and can be removed', async () => {
    const { owner: first, member } = await team(database, 'viewer')
    await first.accounts.rename({ name: ' Ünïcode Ltd ' })
    expect((await member.caller.accounts.list()).data[0]).toMatchObject({ name: 'Ünïcode Ltd' })
    await first.accounts.rename({ name: null })
    expect((await member.caller.accounts.list()).data[0]).toMatchObject({ name: null, ownerEmail: null })
  })
})

describe('a member who is removed', () => {
  it('cannot finish a change that waits while the removal commits', async () => {
    const { accountId, owner: first, member, membersKey } = await team(database, 'admin')
    const unlock = await lock(accountId)
    const removing = first.members.remove({ memberId: member.memberId })
    await untilWaiting(1)
    const changes = Promise.allSettled([
      member.caller.keys.update({ id: membersKey, name: 'late' }),
      member.caller.keys.create({ name: 'late' }),
      member.caller.alerts.setThresholds({ thresholds: [1] }),
    ])
    await untilWaiting(4)
    await unlock()
    await removing
    expect((await changes).map((one) => one.status === 'rejected' && one.reason.reason)).toEqual(Array(3).fill('not_a_member'))
    expect((await first.keys.list({ search: 'late' })).data).toEqual([])
  })

  it.each([
    "keymeter.set_account_name('x', row('x', null, null))",
    "keymeter.require_second_factor(true, row('x', null, null))",
    "keymeter.invite_member(sha256('x'), 'x@example.com', 'viewer', row('x', null, null))",
    "keymeter.revoke_invitation(gen_random_uuid(), row('x', null, null))",
    "keymeter.close_account(row('x', null, null))",
  ])('cannot finish this change in the database, even if the server does not read the role again: %s', async (statement) => {
    const { accountId, member } = await team(database, 'owner')
    const before = await entriesOf(accountId)
    await withClient(database.urls.api, async (server) => {
      await withClient(database.urls.owner, async (remover) => {
        await remover.query('begin')
        await remover.query('select keymeter.lock_account($1)', [accountId])
        await server.query('begin')
        await server.query('select from keymeter.enter_account($1, $2)', [accountId, member.memberId])
        const refused = expect(server.query(`select ${statement}`)).rejects.toMatchObject({ code: '42501' })
        await untilWaiting(1)
        await remover.query(
          'update account_members set role = null, removed_at = now() where user_id = $1 and member_id = $2',
          [accountId, member.memberId],
        )
        await remover.query('commit')
        await refused
      })
    })
    expect(await entriesOf(accountId)).toBe(before)
  })

  it('finishes a change that has begun, if the user is deleted during the change, because the deletion waits', async () => {
    const { accountId, member } = await team(database, 'admin')
    const call = { ...contextOf(database, null), userId: accountId, by: byMember(member.memberId, 'keys.create') }
    const { deletion } = await inAccount(call, 'read write', async (scope) => {
      await lockAccount(scope)
      const deletion = owner.query('delete from auth.users where id = $1', [member.memberId])
      await untilWaiting(1)
      await scope.db.insertInto('api_keys').values({ user_id: accountId, name: 'last', created_by: member.memberId }).execute()
      // A promise that a function returns would be awaited before the commit.
      return { deletion }
    })
    await deletion
    await expect(member.caller.keys.list()).rejects.toMatchObject({ reason: 'not_a_member' })
    await owner.query("delete from api_keys where user_id = $1 and name = 'last'", [accountId])
  })

  it('cannot finish a change that waits while the role is lowered', async () => {
    const { accountId, owner: first, member, ownersKey } = await team(database, 'admin')
    const unlock = await lock(accountId)
    const lowering = first.members.setRole({ memberId: member.memberId, role: 'developer' })
    await untilWaiting(1)
    const change = expect(member.caller.keys.update({ id: ownersKey, name: 'late' })).rejects.toMatchObject({
      reason: 'role_insufficient',
    })
    await untilWaiting(2)
    await unlock()
    await lowering
    await change
  })

  it('is refused by the next call in every process, and the stream of the member ends without the next balance', async () => {
    const { accountId, owner: first, ownersKey, member } = await team(database, 'viewer')
    const context = contextOf(database, await accessToken(member.memberId), { account: accountId })
    const watching = appRouter.createCaller(context)
    const stream = (await watching.usage.watch())[Symbol.asyncIterator]()
    expect((await stream.next()).value?.[1]).toMatchObject({ creditsUsed: 0 })
    const { secret } = await first.keys.rotate({ id: ownersKey })
    await first.members.remove({ memberId: member.memberId })
    await charge(database, secret, 3)
    const next = stream.next()
    context.usageWatch.refresh([accountId])
    await expect(next).rejects.toThrow()
    expect(context.usageWatch.size).toBe(0)
    await expect(member.caller.keys.list()).rejects.toMatchObject({ reason: 'not_a_member' })
    await expect(watching.usage.watch()).rejects.toMatchObject({ reason: 'not_a_member' })
  })

  it('the stream of the member ends with the removal, even if announcements do not arrive', async () => {
    const { accountId, member } = await team(database, 'viewer')
    const context = contextOf(database, await accessToken(member.memberId), { account: accountId })
    const stream = (await appRouter.createCaller(context).usage.watch())[Symbol.asyncIterator]()
    await stream.next()
    const ended = stream.next().then(
      () => 'another balance',
      () => 'ended',
    )
    const remover = await actingOn(database, accountId, accountId, { usageWatch: context.usageWatch })
    await remover.members.remove({ memberId: member.memberId })
    expect(await Promise.race([ended, sleep(BEFORE_REREAD_MS, 'open')])).toBe('ended')
  })

  it('the stream of a member who stays goes on after another member is removed', async () => {
    const { accountId, owner: first, member } = await team(database, 'viewer')
    const stays = await memberOf(database, accountId, 'viewer')
    const context = contextOf(database, await accessToken(stays.memberId), { account: accountId })
    const stream = (await appRouter.createCaller(context).usage.watch())[Symbol.asyncIterator]()
    await stream.next()
    await first.members.remove({ memberId: member.memberId })
    await owner.query("select keymeter.set_suspended($1, true, row('a test', null, null))", [accountId])
    context.usageWatch.refresh([accountId])
    expect((await stream.next()).value?.[1]).toMatchObject({ suspendedAt: expect.any(String) })
    context.usageWatch.close()
  })

  it('cannot read or change a row, even if a call enters the account for the member', async () => {
    const { accountId, owner: first, member, membersKey } = await team(database, 'admin')
    const asMember = async <T>(operation: (scope: Scope) => Promise<T>) =>
      await inAccount({ ...contextOf(database, null), userId: accountId, by: null }, 'read write', async (scope) => {
        await sql`select from keymeter.enter_account(${accountId}, ${member.memberId})`.execute(scope.db)
        return await operation(scope)
      })
    const rename = async ({ db }: Scope) =>
      await db.updateTable('api_keys').set({ name: 'x' }).where('id', '=', membersKey).executeTakeFirstOrThrow()
    expect((await asMember(rename)).numUpdatedRows).toBe(1n)
    await first.members.remove({ memberId: member.memberId })
    expect((await asMember(rename)).numUpdatedRows).toBe(0n)
    for (const table of ['billing_accounts', 'api_keys', 'api_key_secrets', 'audit_log', 'account_members'] as const)
      expect(await asMember(async ({ db }) => await db.selectFrom(table).select('user_id').execute())).toEqual([])
  })
})

describe('row level security', () => {
  /** Runs an operation with the rights of the member, but without the checks of the server. */
  const as = async <T>(accountId: string, memberId: string, operation: (scope: Scope) => Promise<T>) =>
    await inAccount(
      { ...contextOf(database, null), userId: accountId, by: byMember(memberId, 'keys.list') },
      'read write',
      operation,
    )

  it.each([
    ['owner', true, true],
    ['admin', true, true],
    ['developer', true, false],
    ['viewer', false, false],
  ] as const)('lets the role %s change own keys: %s, and keys of others: %s', async (role, changesOwn, changesOthers) => {
    const { accountId, member, membersKey, ownersKey } = await team(database, role)
    for (const [id, isAllowed] of [
      [membersKey, changesOwn],
      [ownersKey, changesOthers],
    ] as const) {
      const disable = async ({ db }: Scope) =>
        await db.updateTable('api_keys').set({ disabled_at: new Date() }).where('id', '=', id).executeTakeFirstOrThrow()
      const save = async ({ db }: Scope) =>
        await db
          .updateTable('api_key_secrets')
          .set({ saved_at: new Date() })
          .where('api_key_id', '=', id)
          .executeTakeFirstOrThrow()
      const end = async ({ db }: Scope) => await sql`select keymeter.end_secret(${id}, true, now())`.execute(db)
      const count = isAllowed ? 1n : 0n
      expect((await as(accountId, member.memberId, disable)).numUpdatedRows).toBe(count)
      expect((await as(accountId, member.memberId, save)).numUpdatedRows).toBe(count)
      const ended = as(accountId, member.memberId, end)
      if (isAllowed) await ended
      else await expect(ended).rejects.toThrow('cannot change the key')
    }
    const create = async ({ db }: Scope) =>
      await db.insertInto('api_keys').values({ user_id: accountId, name: 'x', created_by: member.memberId }).execute()
    if (changesOwn) await as(accountId, member.memberId, create)
    else await expect(as(accountId, member.memberId, create)).rejects.toThrow('row-level security')
    const forAnother = async ({ db }: Scope) =>
      await db.insertInto('api_keys').values({ user_id: accountId, name: 'x', created_by: accountId }).execute()
    await expect(as(accountId, member.memberId, forAnother)).rejects.toThrow('row-level security')
    const setThresholds = as(accountId, member.memberId, async ({ db }) =>
      db
        .updateTable('billing_accounts')
        .set({ alert_thresholds: [9] })
        .where('user_id', '=', accountId)
        .execute(),
    )
    if (changesOthers) await setThresholds
    else await expect(setThresholds).rejects.toThrow('row-level security')
  })
})

describe('a person who is not a member', () => {
  it('cannot use up the limits of the account', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const stranger = await provisioned(database)
    const limits = createLimits(database.db, { ...NO_LIMITS, keyChangesPerAccountPerHour: 2 })
    const foreign = await actingOn(database, userId, stranger.userId, { limits })
    for (let i = 0; i < 5; i++)
      await expect(foreign.keys.create({ name: 'x' })).rejects.toMatchObject({ reason: 'not_a_member' })
    const own = await actingOn(database, userId, userId, { limits })
    await own.keys.update({ id: defaultKey.id, name: 'a' })
    await own.keys.update({ id: defaultKey.id, name: 'b' })
    expect((await caller.keys.get({ id: defaultKey.id })).name).toBe('b')
  })

  it('cannot take the places of the account in the queue of its calls', async () => {
    const { userId } = await provisioned(database)
    const stranger = await provisioned(database)
    const accountCalls = new AccountQueue(1)
    const member = await actingOn(database, userId, userId, { accountCalls })
    await member.keys.list()
    const foreign = await actingOn(database, userId, stranger.userId, { accountCalls })
    await expect(foreign.keys.list()).rejects.toMatchObject({ reason: 'not_a_member' })
    expect(accountCalls.placeOf(userId, userId)).toBe(userId)
    expect(accountCalls.placeOf(userId, stranger.userId)).toBe(`person ${stranger.userId}`)
    const ended = Promise.withResolvers<void>()
    const blocked = accountCalls.run(accountCalls.placeOf(userId, stranger.userId), async () => await ended.promise)
    const waiting = foreign.keys.list()
    waiting.catch(() => {})
    expect((await member.keys.list()).data).toHaveLength(1)
    ended.resolve()
    await blocked
    await expect(waiting).rejects.toMatchObject({ reason: 'not_a_member' })
  })

  it('loses the place in the queue of the account with the removal', async () => {
    const { accountId, owner: first, member } = await team(database, 'viewer')
    const accountCalls = new AccountQueue(1)
    const caller = await actingOn(database, accountId, member.memberId, { accountCalls })
    await caller.keys.list()
    expect(accountCalls.placeOf(accountId, member.memberId)).toBe(accountId)
    await first.members.remove({ memberId: member.memberId })
    await expect(caller.keys.list()).rejects.toMatchObject({ reason: 'not_a_member' })
    expect(accountCalls.placeOf(accountId, member.memberId)).toBe(`person ${member.memberId}`)
  })
})
