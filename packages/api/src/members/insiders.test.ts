import { randomUUID } from 'node:crypto'
import { KEYS_LIVE_MAX, type MemberRole } from '@keymeter/contract'
import { describe, expect, it } from 'vitest'
import { accessToken, contextOf, provisioned, signedIn } from '../../test/caller.ts'
import { actingOn, memberOf, team } from '../../test/members.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { AccountQueue } from '../account-queue.ts'
import { createLimits, NO_LIMITS } from '../limits/limits.ts'
import { verifyAudit } from '../maintenance/verify-audit.ts'
import { appRouter } from '../router.ts'

const database = reconciledDatabase()
const { owner: superuser } = database

const emailOf = (userId: string) => `${userId}@example.com`
const tokenOf = (link: string) => link.slice(link.indexOf('#') + 1)

describe('an invitation of a member who loses the right to invite', () => {
  /** Invites a second user of the same person, as somebody who wants to come back. */
  async function inviteSelf(caller: Awaited<ReturnType<typeof memberOf>>['caller'], role: MemberRole) {
    const userId = await database.createUser()
    const { link, invitation } = await caller.members.invite({ email: emailOf(userId), role })
    const person = await signedIn(database, userId)
    const accept = async () => await person.members.acceptInvitation({ token: tokenOf(link) })
    const read = async () => (await person.members.readInvitation({ token: tokenOf(link) })).state
    const provision = async () => await person.auth.provision()
    return { accept, read, provision, invitation }
  }
  const revoked = { code: 'CONFLICT', reason: 'invitation_revoked' }

  it.each([
    ['a removed admin', 'admin', 'viewer', null],
    ['an admin who is now a developer', 'admin', 'admin', 'developer'],
    ['an admin who is now a viewer', 'admin', 'viewer', 'viewer'],
    ['a removed owner', 'owner', 'owner', null],
    ['an owner who is now an admin', 'owner', 'owner', 'admin'],
  ] as const)('of %s is revoked, is no longer listed, and the audit log says so', async (_, before, invitedAs, after) => {
    const { accountId, owner, member } = await team(database, before)
    const { accept, read, invitation } = await inviteSelf(member.caller, invitedAs)
    const { memberId } = member
    await (after === null ? owner.members.remove({ memberId }) : owner.members.setRole({ memberId, role: after }))
    expect(await read()).toBe('revoked')
    await expect(accept()).rejects.toMatchObject(revoked)
    expect((await owner.members.invitations()).data).toEqual([])
    const { data } = await owner.audit.list({ action: 'member.invitation_revoked', limit: 5 })
    expect(data).toMatchObject([{ member: { id: accountId }, detail: { email: invitation.email, role: invitedAs } }])
    expect((await verifyAudit(database.ownerDb)).faults).toEqual([])
  })

  it('to the address of a member ends when the member is removed', async () => {
    const { accountId, owner } = await team(database, 'admin')
    const other = await owner.members.invite({ email: `${randomUUID()}@example.com`, role: 'viewer' })
    const memberId = await database.createUser()
    const { link } = await owner.members.invite({ email: emailOf(memberId).toUpperCase(), role: 'admin' })
    // The person has joined by an invitation to another address, and changed the address since.
    await superuser.query("insert into account_members (user_id, member_id, role, email) values ($1, $2, 'viewer', $3)", [
      accountId,
      memberId,
      emailOf(memberId),
    ])
    await owner.members.remove({ memberId })
    const person = await signedIn(database, memberId)
    await expect(person.members.acceptInvitation({ token: tokenOf(link) })).rejects.toMatchObject(revoked)
    expect((await owner.members.invitations()).data).toEqual([other.invitation])
  })

  it('stays open if the member can still invite with this role', async () => {
    const { owner, member } = await team(database, 'owner')
    const { accept } = await inviteSelf(member.caller, 'admin')
    await owner.members.setRole({ memberId: member.memberId, role: 'admin' })
    expect((await accept()).account.role).toBe('admin')
  })

  it('does not work after the user of the member was deleted in Supabase', async () => {
    const { owner, member } = await team(database, 'admin')
    const { accept, read } = await inviteSelf(member.caller, 'admin')
    await superuser.query('delete from auth.users where id = $1', [member.memberId])
    expect(await read()).toBe('revoked')
    await expect(accept()).rejects.toMatchObject(revoked)
    expect((await owner.members.list()).data).toHaveLength(2)
  })

  it('keeps the invited person from an own account only until the user of the member is deleted in Supabase', async () => {
    const { member } = await team(database, 'admin')
    const { provision } = await inviteSelf(member.caller, 'viewer')
    expect(await provision()).toMatchObject({ accounts: [], defaultKey: null })
    await superuser.query('delete from auth.users where id = $1', [member.memberId])
    expect((await provision()).defaultKey).not.toBeNull()
  })
})

describe('a member who sends as many calls as possible', () => {
  const tooMany = { code: 'TOO_MANY_REQUESTS' }

  it('cannot use up the changes of members with which an owner removes this member', async () => {
    const { accountId, member } = await team(database, 'admin')
    const limits = createLimits(database.db, { ...NO_LIMITS, memberChangesPerPersonPerHour: 2 })
    const insider = await actingOn(database, accountId, member.memberId, { limits })
    await insider.accounts.rename({ name: 'a' })
    await insider.accounts.rename({ name: 'b' })
    await expect(insider.accounts.rename({ name: 'c' })).rejects.toMatchObject(tooMany)
    const owner = await actingOn(database, accountId, accountId, { limits })
    await owner.members.remove({ memberId: member.memberId })
    await expect(insider.keys.list()).rejects.toMatchObject({ reason: 'not_a_member' })
  })

  it('cannot use up the revokes with which others stop the keys of this member', async () => {
    const { accountId, member, membersKey } = await team(database, 'developer')
    const limits = createLimits(database.db, { ...NO_LIMITS, keyRevokesPerPersonPerHour: 2 })
    const insider = await actingOn(database, accountId, member.memberId, { limits })
    await insider.keys.disable({ id: membersKey })
    await insider.keys.disable({ id: membersKey })
    await expect(insider.keys.disable({ id: membersKey })).rejects.toMatchObject(tooMany)
    const owner = await actingOn(database, accountId, accountId, { limits })
    expect(await owner.keys.revoke({ id: membersKey })).toMatchObject({ status: 'revoked' })
  })

  it('cannot keep an owner out of the queue of the account', async () => {
    const { accountId, member } = await team(database, 'viewer')
    const accountCalls = new AccountQueue(1)
    const insider = await actingOn(database, accountId, member.memberId, { accountCalls })
    const owner = await actingOn(database, accountId, accountId, { accountCalls })
    await insider.keys.list()
    const end = Promise.withResolvers<void>()
    const blocking = accountCalls.run(accountId, () => end.promise, { person: member.memberId })
    const flood = Array.from({ length: 2 * KEYS_LIVE_MAX }, () => insider.keys.list().catch((error) => error.reason))
    const removal = owner.members.remove({ memberId: member.memberId })
    removal.catch(() => {})
    end.resolve()
    await removal
    await blocking
    expect(await Promise.all(flood)).toContain('account_busy')
  })

  it('cannot send more invitations by opening one account after the other', async () => {
    const limits = createLimits(database.db, { ...NO_LIMITS, invitationsPerPersonPerDay: 1 })
    const { userId } = await provisioned(database)
    const token = await accessToken(userId, { email: emailOf(userId) })
    const on = (account: string) => appRouter.createCaller(contextOf(database, token, { account, limits }))
    const invite = async (account: string) =>
      await on(account).members.invite({ email: `${randomUUID()}@example.com`, role: 'viewer' })
    await invite(userId)
    await on(userId).accounts.rename({ name: 'first' })
    await on(userId).accounts.close({ confirmation: 'first' })
    const { account } = await on(userId).accounts.open()
    expect(account.id).not.toBe(userId)
    await expect(invite(account.id)).rejects.toMatchObject({ ...tooMany, reason: 'too_many_attempts' })
  })

  it('opens only one account with concurrent calls', async () => {
    const { userId, caller } = await provisioned(database)
    const other = await memberOf(database, userId, 'owner')
    await caller.members.leave()
    const person = await signedIn(database, userId)
    const outcomes = await Promise.allSettled(Array.from({ length: 10 }, async () => await person.accounts.open()))
    const refusals = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason.reason] : []))
    expect(refusals).toEqual(Array.from({ length: 9 }, () => 'account_exists'))
    expect((await person.accounts.list()).data).toHaveLength(1)
    expect((await other.caller.members.list()).data).toHaveLength(1)
  })
})

describe('a stream', () => {
  it('ends when the account begins to require a second factor that its member has not given', async () => {
    const { accountId, member } = await team(database, 'viewer')
    const context = contextOf(database, await accessToken(member.memberId), { account: accountId })
    const open = async (aal: string) => {
      const authorization = `Bearer ${await accessToken(member.memberId, { aal })}`
      const stream = (await appRouter.createCaller({ ...context, authorization }).usage.watch())[Symbol.asyncIterator]()
      await stream.next()
      return stream
    }
    const [withCode, withPassword] = [await open('aal2'), await open('aal1')]
    const ends = expect(withPassword.next()).rejects.toThrow('The stream ends')
    const ownerToken = await accessToken(accountId, { aal: 'aal2' })
    await appRouter
      .createCaller({ ...context, authorization: `Bearer ${ownerToken}` })
      .accounts.requireSecondFactor({ isRequired: true })
    await ends
    await superuser.query("select keymeter.set_suspended($1, true, row('a test', null, null))", [accountId])
    context.usageWatch.refresh([accountId])
    expect((await withCode.next()).value?.[1]).toMatchObject({ suspendedAt: expect.any(String) })
    context.usageWatch.close()
  })
})

describe('the Data API of Supabase, with the token of an owner,', () => {
  it('reads and changes no table, and calls no function', async () => {
    const { accountId } = await team(database, 'owner')
    const { rows: tables } = await superuser.query<{ name: string; columns: string[] }>(
      `select c.oid::regclass::text as name, array_agg(quote_ident(attname)) as columns from pg_class c join pg_attribute on attrelid = c.oid and attnum > 0 and not attisdropped
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm') group by c.oid`,
    )
    const { rows: functions } = await superuser.query<{ name: string; arity: number }>(
      `select oid::regproc::text as name, pronargs as arity from pg_proc where pronamespace = 'keymeter'::regnamespace and prokind = 'f'`,
    )
    expect(tables.length).toBeGreaterThan(15)
    expect(functions.length).toBeGreaterThan(50)
    const statements = [
      ...tables.flatMap(({ name, columns: [column = ''] }) => [
        `select 1 from ${name}`,
        `insert into ${name} default values`,
        `update ${name} set ${column} = ${column}`,
        `delete from ${name}`,
      ]),
      ...functions.map(({ name, arity }) => `select ${name}(${Array(arity).fill('null').join(', ')})`),
    ]
    const client = await superuser.connect()
    const allowed: string[] = []
    try {
      for (const role of ['authenticated', 'anon', 'service_role'])
        for (const statement of statements) {
          await client.query('begin')
          try {
            await client.query(`set local role ${role}`)
            // PostgREST sets the claims like this. A member can choose none of the settings of Keymeter, but assume it.
            await client.query(
              `select set_config('request.jwt.claims', $1, true), set_config('app.user_id', $2, true), set_config('app.member_id', $2, true)`,
              [JSON.stringify({ sub: accountId, role }), accountId],
            )
            await client.query(statement).then(
              () => allowed.push(`${role}: ${statement}`),
              (error: { code?: string }) => error.code === '42501' || allowed.push(`${role}: ${statement}: ${error.code}`),
            )
          } finally {
            await client.query('rollback')
          }
        }
    } finally {
      client.release()
    }
    expect(allowed).toEqual([])
    // A statement names only some of the columns.
    const { rows: columns } = await superuser.query(
      `select role, name::text from unnest($1::regclass[]) as name, unnest(array['authenticated', 'anon', 'service_role']) as role
        where has_any_column_privilege(role, name, 'select, insert, update, references')`,
      [tables.map(({ name }) => name)],
    )
    expect(columns).toEqual([])
  })
})
