import { randomUUID } from 'node:crypto'
import { INVITATION_DAYS, MEMBERS_MAX, type MemberRole } from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import { withClient } from '@keymeter/local'
import { REFUSED_DOMAIN, testMailbox } from '@keymeter/local/testing'
import { pino } from 'pino'
import { afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { startAuthStandIn, userOf } from '../../test/auth-stand-in.ts'
import { accessToken, contextOf } from '../../test/caller.ts'
import { replaceClock, type TestClock } from '../../test/clock.ts'
import { CALLS, compareTimes, T_MAX } from '../../test/compare-times.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { recordPlans } from '../../test/recorded-plans.ts'
import { createSessionChecker } from '../auth/check-session.ts'
import type { Context } from '../context.ts'
import { createLimits, NO_LIMITS } from '../limits/limits.ts'
import { createMailer } from '../mail/create-mailer.ts'
import { appRouter } from '../router.ts'

const database = reconciledDatabase()
const mailbox = testMailbox()

const emailOf = (userId: string) => `${userId}@example.com`

/** Returns a caller of the router that is signed in as the user, and acts on `account`. */
async function actingOn(account: string | null, userId: string, replace: Partial<Context> = {}) {
  const token = await accessToken(userId, { email: emailOf(userId) })
  return appRouter.createCaller(contextOf(database, token, { account, ...replace }))
}

/** Creates a user who owns an account. */
async function owner() {
  const userId = await database.createUser()
  const caller = await actingOn(userId, userId)
  await caller.auth.provision()
  return { userId, caller }
}

/** Creates a user who is a member of the account. */
async function member(account: Awaited<ReturnType<typeof owner>>, role: MemberRole) {
  const userId = await database.createUser()
  const { link } = await account.caller.members.invite({ email: emailOf(userId), role })
  await (await actingOn(null, userId)).members.acceptInvitation({ token: tokenOf(link) })
  return { userId, caller: await actingOn(account.userId, userId) }
}

const tokenOf = (link: string) => link.slice(link.indexOf('#') + 1)
const stranger = appRouter.createCaller(contextOf(database, null))

async function entriesOf(account: string, action: string) {
  const { rows } = await database.owner.query<{ detail: unknown; actor_id: string | null }>(
    'select detail, actor_id from audit_log where user_id = $1 and action = $2 order by sequence',
    [account, action],
  )
  return rows
}

describe('an invitation', () => {
  it('makes the person with the invited address a member with the invited role, and is then no longer listed', async () => {
    const account = await owner()
    const invitedId = await database.createUser()
    const email = emailOf(invitedId)
    const { invitation, link } = await account.caller.members.invite({ email: email.toUpperCase(), role: 'developer' })
    expect(link).toMatch(/^\/invite#kminv_[\w-]{43}$/)
    expect(invitation).toMatchObject({
      email: expect.stringMatching(new RegExp(email, 'i')),
      role: 'developer',
      invitedBy: { id: account.userId },
      isExpired: false,
    })
    expect(Date.parse(invitation.expiresAt) - Date.parse(invitation.createdAt)).toBe(INVITATION_DAYS * 86_400_000)
    expect((await account.caller.members.invitations()).data).toEqual([invitation])

    const token = tokenOf(link)
    await account.caller.accounts.rename({ name: 'Acme' })
    expect(await stranger.members.readInvitation({ token })).toMatchObject({
      accountName: 'Acme',
      role: 'developer',
      email: invitation.email,
      state: 'open',
    })
    const accept = async () => await (await actingOn(null, invitedId)).members.acceptInvitation({ token })
    const accepted = { isNew: true, account: { id: account.userId, name: 'Acme', role: 'developer' } }
    expect(await accept()).toMatchObject(accepted)
    // A repeat, e.g. after a lost answer, returns the same.
    expect(await accept()).toMatchObject(accepted)
    expect((await account.caller.members.invitations()).data).toEqual([])
    expect((await account.caller.members.list()).data).toMatchObject([
      { id: account.userId, role: 'owner' },
      { id: invitedId, role: 'developer', email, liveKeys: 0 },
    ])
    expect(await stranger.members.readInvitation({ token })).toMatchObject({ state: 'accepted' })
    expect(await entriesOf(account.userId, 'member.joined')).toMatchObject([
      { detail: { email, role: 'developer' }, actor_id: invitedId },
    ])
  })

  it('is found only by its token, of which the database stores only the hash', async () => {
    const account = await owner()
    const { link } = await account.caller.members.invite({ email: `${randomUUID()}@example.com`, role: 'viewer' })
    const { rows } = await database.owner.query<{ row: string }>(
      `select to_jsonb(t)::text as row from account_invitations t where user_id = $1
       union all select to_jsonb(t)::text from audit_log t where user_id = $1`,
      [account.userId],
    )
    expect(rows.length).toBeGreaterThan(1)
    for (const { row } of rows) expect(row).not.toContain(tokenOf(link).slice('kminv_'.length))
    const other = `kminv_${'A'.repeat(43)}`
    for (const call of [stranger.members.readInvitation, (await actingOn(null, account.userId)).members.acceptInvitation])
      await expect(call({ token: other })).rejects.toMatchObject({ code: 'NOT_FOUND', reason: 'invitation_not_found' })
  })

  it('has a link to PUBLIC_URL, or a path if the server does not know its own URL', async () => {
    const { userId } = await owner()
    const invite = async (publicUrl: string | null) =>
      (await (await actingOn(userId, userId, { publicUrl })).members.invite({ email: 'somebody@example.com', role: 'viewer' }))
        .link
    expect(await invite('https://usage.example.com')).toMatch(/^https:\/\/usage\.example\.com\/invite#kminv_/)
    expect(await invite(null)).toMatch(/^\/invite#kminv_/)
  })

  it('to the same address ends the earlier one', async () => {
    const account = await owner()
    const invitedId = await database.createUser()
    const first = await account.caller.members.invite({ email: emailOf(invitedId), role: 'admin' })
    const second = await account.caller.members.invite({ email: emailOf(invitedId), role: 'viewer' })
    expect((await account.caller.members.invitations()).data).toEqual([second.invitation])
    const invited = await actingOn(null, invitedId)
    await expect(invited.members.acceptInvitation({ token: tokenOf(first.link) })).rejects.toMatchObject({
      reason: 'invitation_revoked',
    })
    expect((await invited.members.acceptInvitation({ token: tokenOf(second.link) })).account.role).toBe('viewer')
  })

  it('can be revoked once, and only by a member of its account', async () => {
    const [account, other] = [await owner(), await owner()]
    const invitedId = await database.createUser()
    const { invitation, link } = await account.caller.members.invite({ email: emailOf(invitedId), role: 'viewer' })
    const ref = { invitationId: invitation.id }
    const notFound = { code: 'NOT_FOUND', reason: 'invitation_not_found' }
    await expect(other.caller.members.revokeInvitation(ref)).rejects.toMatchObject(notFound)
    await account.caller.members.revokeInvitation(ref)
    await expect(account.caller.members.revokeInvitation(ref)).rejects.toMatchObject(notFound)
    expect((await account.caller.members.invitations()).data).toEqual([])
    const accept = (await actingOn(null, invitedId)).members.acceptInvitation({ token: tokenOf(link) })
    await expect(accept).rejects.toMatchObject({ reason: 'invitation_revoked' })
    expect(await stranger.members.readInvitation({ token: tokenOf(link) })).toMatchObject({ state: 'revoked' })
    expect(await entriesOf(account.userId, 'member.invitation_revoked')).toHaveLength(1)
  })

  it('to an account that was deleted since is closed', async () => {
    const account = await owner()
    const invitedId = await database.createUser()
    const { link } = await account.caller.members.invite({ email: emailOf(invitedId), role: 'viewer' })
    await account.caller.accounts.close({ confirmation: emailOf(account.userId) })
    const accept = (await actingOn(null, invitedId)).members.acceptInvitation({ token: tokenOf(link) })
    await expect(accept).rejects.toMatchObject({ reason: 'invitation_closed' })
    expect(await stranger.members.readInvitation({ token: tokenOf(link) })).toMatchObject({ state: 'closed' })
  })

  it('of a removed member does not work again', async () => {
    const account = await owner()
    const invitedId = await database.createUser()
    const { link } = await account.caller.members.invite({ email: emailOf(invitedId), role: 'viewer' })
    const invited = await actingOn(null, invitedId)
    await invited.members.acceptInvitation({ token: tokenOf(link) })
    await account.caller.members.remove({ memberId: invitedId })
    await expect(invited.members.acceptInvitation({ token: tokenOf(link) })).rejects.toMatchObject({
      reason: 'invitation_used',
    })
    const again = await account.caller.members.invite({ email: emailOf(invitedId), role: 'admin' })
    expect(await invited.members.acceptInvitation({ token: tokenOf(again.link) })).toMatchObject({ account: { role: 'admin' } })
  })
})

describe('the mail of an invitation', () => {
  it('contains the link and who invites, and the answer says whether it was sent', async () => {
    const account = await owner()
    const mailer = createMailer({ smtpUrl: mailbox.smtpUrl, from: 'Keys <keys@example.com>' }, pino({ level: 'silent' }))
    const inviteAs = async (email: string, replace: Partial<Context>) =>
      await (await actingOn(account.userId, account.userId, replace)).members.invite({ email, role: 'viewer' })
    const publicUrl = 'https://usage.example.com'
    const email = `${randomUUID()}@example.com`
    const sent = await inviteAs(email, { mailer, publicUrl })
    expect(sent.mail).toBe('sent')
    const { text, html, subject } = await mailbox.next(email)
    expect(subject).toBe('You are invited to an account')
    for (const part of [text, html]) {
      expect(part).toContain(sent.link)
      expect(part).toContain(emailOf(account.userId))
    }
    // The invitation stays if its mail fails: the link can be copied.
    const failed = await inviteAs(`someone@${REFUSED_DOMAIN}`, { mailer, publicUrl })
    expect(failed).toMatchObject({ mail: 'failed', link: expect.stringContaining(publicUrl) })
    expect((await account.caller.members.invitations()).data.map(({ id }) => id)).toContain(failed.invitation.id)
    // Without its own URL, the server cannot write a link into a mail.
    const before = mailbox.mails().length
    expect(await inviteAs(email, { mailer, publicUrl: null })).toMatchObject({ mail: 'off' })
    expect(mailbox.mails()).toHaveLength(before)
  })
})

describe('the person who accepts', () => {
  it('needs the invited address', async () => {
    const account = await owner()
    const { link } = await account.caller.members.invite({ email: `${randomUUID()}@example.com`, role: 'admin' })
    const otherId = await database.createUser()
    const accept = (await actingOn(null, otherId)).members.acceptInvitation({ token: tokenOf(link) })
    await expect(accept).rejects.toMatchObject({ code: 'FORBIDDEN', reason: 'invitation_other_address' })
    expect(await stranger.members.readInvitation({ token: tokenOf(link) })).toMatchObject({ state: 'open' })
  })

  it('needs a confirmed address, as the auth server knows it and not as the access token contains it', async () => {
    const account = await owner()
    const [userId, changedId] = [await database.createUser(), await database.createUser()]
    const answers = await startAuthStandIn((request) => {
      const answer = userOf(request)
      const user = answer.body as { id: string }
      const change = user.id === userId ? { email_confirmed_at: null } : { email: 'new-address@example.com' }
      return { ...answer, body: { ...user, ...change } }
    })
    const checkSession = createSessionChecker({ url: answers.url, publishableKey: 'none' })
    for (const [id, reason] of [
      [userId, 'email_not_confirmed'],
      [changedId, 'invitation_other_address'],
    ] as const) {
      const { link } = await account.caller.members.invite({ email: emailOf(id), role: 'viewer' })
      const caller = await actingOn(null, id, { checkSession })
      await expect(caller.members.acceptInvitation({ token: tokenOf(link) })).rejects.toMatchObject({
        code: 'FORBIDDEN',
        reason,
      })
    }
    expect((await account.caller.members.list()).data).toHaveLength(1)
    answers.close()
  })

  it('who is a member already keeps the role, and uses the invitation up', async () => {
    const account = await owner()
    const invitedId = await database.createUser()
    const { link } = await account.caller.members.invite({ email: emailOf(invitedId), role: 'admin' })
    // The person has joined with another address, and has changed the address since.
    await database.owner.query(
      "insert into account_members (user_id, member_id, role, email) values ($1, $2, 'viewer', 'earlier@example.com')",
      [account.userId, invitedId],
    )
    const invited = await actingOn(null, invitedId)
    const accepted = await invited.members.acceptInvitation({ token: tokenOf(link) })
    expect(accepted).toMatchObject({ isNew: false, account: { role: 'viewer' } })
    expect((await account.caller.members.invitations()).data).toEqual([])
    expect(await entriesOf(account.userId, 'member.joined')).toEqual([])
  })

  it('joins once if 50 acceptances arrive concurrently, also from people with other addresses', async ({ task }) => {
    const account = await owner()
    const invitedId = await database.createUser()
    const { link } = await account.caller.members.invite({ email: emailOf(invitedId), role: 'viewer' })
    const others = await Promise.all(Array.from({ length: 5 }, async () => await database.createUser()))
    const people = Array.from({ length: 50 }, (_, n) => (n % 2 === 0 ? invitedId : (others[n % 5] ?? invitedId)))
    const callers = await Promise.all(people.map(async (userId) => await actingOn(null, userId)))
    // Until this lock ends, no call can use the invitation. So as many calls as possible have read that it is open.
    const lock = await database.owner.connect()
    await lock.query('begin')
    await lock.query('select from account_invitations where user_id = $1 for update', [account.userId])
    const accepted = Promise.allSettled(callers.map((one) => one.members.acceptInvitation({ token: tokenOf(link) })))
    // Only a superuser can see whether another role waits.
    await withClient(database.urls.superuser, async (superuser) => {
      const waiting =
        "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%accept_invitation%'"
      await expect.poll(async () => (await superuser.query(waiting)).rowCount, { timeout: task.timeout }).toBeGreaterThan(3)
    })
    await lock.query('commit')
    lock.release()
    const answers = await accepted
    for (const [n, answer] of answers.entries()) {
      if (n % 2 === 0) expect(answer).toMatchObject({ status: 'fulfilled', value: { account: { role: 'viewer' } } })
      else expect(answer).toMatchObject({ status: 'rejected', reason: { reason: 'invitation_other_address' } })
    }
    expect((await account.caller.members.list()).data.map(({ id }) => id)).toEqual([account.userId, invitedId])
    expect(await entriesOf(account.userId, 'member.joined')).toHaveLength(1)
  })

  it('signs up without an account, gets none when the dashboard opens, and can open one later', async () => {
    const account = await owner()
    const invitedId = await database.createUser()
    const auth = await startAuthStandIn(() => {
      const user = {
        id: invitedId,
        aud: 'authenticated',
        email: emailOf(invitedId),
        email_confirmed_at: '2026-01-01T00:00:00Z',
      }
      const session = { access_token: 'x.y.z', refresh_token: 'r', expires_in: 3600, token_type: 'bearer' }
      return { status: 200, body: { ...session, user: { ...user, identities: [] } } }
    })
    const supabase = { url: auth.url, publishableKey: 'none', secretKey: null }
    const signUp = async () =>
      await appRouter
        .createCaller(contextOf(database, null, { supabase }))
        .auth.signup({ email: emailOf(invitedId), password: 'a long password' })
    // Letter case does not distinguish addresses.
    const { link } = await account.caller.members.invite({ email: emailOf(invitedId).toUpperCase(), role: 'developer' })
    expect(await signUp()).toMatchObject({ user: { id: invitedId }, defaultKey: null })
    const invited = await actingOn(null, invitedId)
    // The dashboard opens, perhaps in a browser that does not know the invitation, before the person accepts.
    expect(await invited.auth.provision()).toMatchObject({ accounts: [], defaultKey: null })
    await invited.members.acceptInvitation({ token: tokenOf(link) })
    expect(await invited.auth.provision()).toMatchObject({ accounts: [{ id: account.userId }], defaultKey: null })
    // After the removal too, the dashboard opens no account.
    await account.caller.members.remove({ memberId: invitedId })
    expect(await invited.auth.provision()).toMatchObject({ accounts: [], defaultKey: null })
    expect(await invited.accounts.open()).toMatchObject({ account: { id: invitedId, role: 'owner' } })
    auth.close()
  })

  it.each(['of another address', 'revoked', 'expired', 'accepted', 'for an address that is not confirmed'])(
    'signs up with an own account if the invitation is %s',
    async (kind) => {
      const account = await owner()
      const userId = await database.createUser()
      const email_confirmed_at = kind === 'for an address that is not confirmed' ? null : '2026-01-01T00:00:00Z'
      const auth = await startAuthStandIn(({ method }) => {
        const user = { id: userId, aud: 'authenticated', email: emailOf(userId), email_confirmed_at, identities: [] }
        const session = { access_token: 'x.y.z', refresh_token: 'r', expires_in: 3600, token_type: 'bearer' }
        return { status: 200, body: method === 'GET' ? user : { ...session, user } }
      })
      const email = kind === 'of another address' ? `${randomUUID()}@example.com` : emailOf(userId)
      const { invitation, link } = await account.caller.members.invite({ email, role: 'viewer' })
      if (kind === 'revoked') await account.caller.members.revokeInvitation({ invitationId: invitation.id })
      if (kind === 'expired')
        await database.owner.query("update account_invitations set expires_at = created_at + interval '1 ms' where id = $1", [
          invitation.id,
        ])
      if (kind === 'accepted') {
        // Somebody else had this address before.
        const checkSession = async () => ({ email, isEmailConfirmed: true })
        const previous = await actingOn(null, await database.createUser(), { checkSession })
        await previous.members.acceptInvitation({ token: tokenOf(link) })
      }
      const supabase = { url: auth.url, publishableKey: 'none', secretKey: null }
      const signedUp = await appRouter
        .createCaller(contextOf(database, null, { supabase }))
        .auth.signup({ email: emailOf(userId), password: 'a long password' })
      expect(signedUp).toMatchObject({ defaultKey: { name: 'default' } })
      auth.close()
    },
  )
})

describe('the member who invites', () => {
  it('is an owner or an admin, and only an owner invites an owner', async () => {
    const account = await owner()
    const invite = { email: `${randomUUID()}@example.com`, role: 'owner' } as const
    for (const role of ['viewer', 'developer'] as const) {
      const { caller } = await member(account, role)
      const refused = { code: 'FORBIDDEN', reason: 'role_insufficient' }
      await expect(caller.members.invite({ ...invite, role: 'viewer' })).rejects.toMatchObject(refused)
      await expect(caller.members.invitations()).rejects.toMatchObject(refused)
      await expect(caller.members.revokeInvitation({ invitationId: randomUUID() })).rejects.toMatchObject(refused)
    }
    const admin = await member(account, 'admin')
    await expect(admin.caller.members.invite(invite)).rejects.toMatchObject({
      reason: 'role_insufficient',
      issues: [{ field: 'role' }],
    })
    await admin.caller.members.invite({ ...invite, role: 'admin' })
    await account.caller.members.invite(invite)
    expect((await account.caller.members.invitations()).data).toMatchObject([{ role: 'owner' }])
  })

  it('cannot invite a present member, but can invite a member who has left', async () => {
    const account = await owner()
    const left = await member(account, 'viewer')
    const invite = { email: emailOf(left.userId).toUpperCase(), role: 'viewer' } as const
    await expect(account.caller.members.invite(invite)).rejects.toMatchObject({
      code: 'CONFLICT',
      reason: 'already_member',
      issues: [{ field: 'email' }],
    })
    await left.caller.members.leave()
    expect(await account.caller.members.invite(invite)).toMatchObject({ invitation: { role: 'viewer' } })
  })

  it(`has an account with at most ${MEMBERS_MAX} members and open invitations`, async () => {
    const account = await owner()
    await database.owner.query(
      `insert into account_invitations (user_id, token_hash, email, role, created_at, expires_at)
       select $1::uuid, sha256((gen_random_uuid()::text || n)::bytea), n || '@example.com', 'viewer', now(), now() + interval '7 days'
         from generate_series(1, $2) n`,
      [account.userId, MEMBERS_MAX - 2],
    )
    const last = await account.caller.members.invite({ email: 'last@example.com', role: 'viewer' })
    await expect(account.caller.members.invite({ email: 'next@example.com', role: 'viewer' })).rejects.toMatchObject({
      code: 'CONFLICT',
      reason: 'too_many_members',
    })
    expect((await account.caller.members.invitations()).data).toHaveLength(MEMBERS_MAX - 1)
    await account.caller.members.revokeInvitation({ invitationId: last.invitation.id })
    await account.caller.members.invite({ email: 'next@example.com', role: 'viewer' })
  })

  it('can send as many invitations in 24 hours as the setting allows, and members of other accounts use up nothing of it', async () => {
    const account = await owner()
    const limits = createLimits(database.db, { ...NO_LIMITS, invitationsPerPersonPerDay: 2 })
    const inviteAs = async (userId: string) =>
      await (await actingOn(account.userId, userId, { limits })).members.invite({
        email: `${randomUUID()}@example.com`,
        role: 'viewer',
      })
    const other = await owner()
    for (let n = 0; n < 3; n++) await expect(inviteAs(other.userId)).rejects.toMatchObject({ reason: 'not_a_member' })
    await inviteAs(account.userId)
    await inviteAs(account.userId)
    await expect(inviteAs(account.userId)).rejects.toMatchObject({
      code: 'TOO_MANY_REQUESTS',
      reason: 'too_many_attempts',
      message: expect.stringMatching(/^You have sent too many invitations: try again in /),
    })
  })

  it('gets the same answer, by the same statements, for an address that has a user and for one that has none', async () => {
    const account = await owner()
    const known = emailOf(await database.createUser())
    const unknown = `${randomUUID()}@example.com`
    const run = async (email: string) => {
      let answer = ''
      const statements = await recordPlans(database, async (db: Db) => {
        const caller = await actingOn(account.userId, account.userId, { db })
        const { link, invitation } = await caller.members.invite({ email, role: 'viewer' })
        answer = JSON.stringify({ link, invitation })
          .replace(email, '<email>')
          .replace(/kminv_[\w-]{43}/, '<token>')
          .replace(invitation.id, '<id>')
          .replaceAll(/"\d{4}-[^"]+Z"/g, '<time>')
      })
      return { answer, statements: statements.map(({ sql }) => sql) }
    }
    const [first, second] = [await run(known), await run(unknown)]
    expect(first.statements.length).toBeGreaterThan(10)
    expect(second).toEqual(first)
  })
})

describe('the time of an invitation', () => {
  let clock: TestClock
  beforeAll(async () => {
    clock = await replaceClock(database)
  })
  afterEach(async () => await clock.remove())

  it(`is ${INVITATION_DAYS} days: one millisecond before they end it works, and then it is expired and still listed`, async () => {
    const account = await owner()
    const [inTime, late] = [await database.createUser(), await database.createUser()]
    const first = await account.caller.members.invite({ email: emailOf(inTime), role: 'viewer' })
    const neverAccepts = await database.createUser()
    await account.caller.members.invite({ email: emailOf(neverAccepts), role: 'viewer' })
    const second = await account.caller.members.invite({ email: emailOf(late), role: 'viewer' })
    const end = Date.parse(second.invitation.expiresAt)
    const provision = async () => await (await actingOn(null, neverAccepts)).auth.provision()
    const third = (await account.caller.members.invitations()).data.find(({ email }) => email === emailOf(neverAccepts))
    await clock.set(new Date(Date.parse(third?.expiresAt ?? '') - 1))
    expect(await provision()).toMatchObject({ accounts: [], defaultKey: null })
    await clock.set(new Date(third?.expiresAt ?? ''))
    // The person is now like anybody else who signs up.
    expect(await provision()).toMatchObject({ accounts: [{ id: neverAccepts }], defaultKey: { name: 'default' } })
    await account.caller.members.revokeInvitation({ invitationId: third?.id ?? '' })
    await clock.set(new Date(end - 1))
    await (await actingOn(null, inTime)).members.acceptInvitation({ token: tokenOf(first.link) })
    expect((await account.caller.members.invitations()).data).toMatchObject([{ isExpired: false }])
    await clock.set(new Date(end))
    const accept = async () => await (await actingOn(null, late)).members.acceptInvitation({ token: tokenOf(second.link) })
    await expect(accept()).rejects.toMatchObject({ code: 'CONFLICT', reason: 'invitation_expired' })
    expect(await stranger.members.readInvitation({ token: tokenOf(second.link) })).toMatchObject({ state: 'expired' })
    expect((await account.caller.members.invitations()).data).toMatchObject([{ email: emailOf(late), isExpired: true }])
  })
})

describe.runIf(inject('isSoak'))('the time of an answer about an invitation', () => {
  /** An account, an address that has a user with an account, and an address that has no user. The limits count, but are raised. */
  async function setUp() {
    const limits = createLimits(database.db, {
      ...NO_LIMITS,
      memberChangesPerPersonPerHour: 1_000_000,
      invitationsPerPersonPerDay: 1_000_000,
    })
    const account = await owner()
    const caller = await actingOn(account.userId, account.userId, { limits })
    const invite = async (email: string) => await caller.members.invite({ email, role: 'viewer' })
    return { invite, known: emailOf((await owner()).userId), unknown: `${randomUUID()}@example.com` }
  }
  const expectNoDifference = (name: string, t: number) => {
    console.log(`members.${name}: t = ${t.toFixed(2)} over ${CALLS} calls`)
    expect(Math.abs(t)).toBeLessThan(T_MAX)
  }

  it('is the same for the member who invites a known address and an unknown one', async () => {
    const { invite, known, unknown } = await setUp()
    const t = await compareTimes(
      async () => await invite(known),
      async () => await invite(unknown),
    )
    expectNoDifference('invite', t)
  })

  it('is the same for a person with the link, whether the invited address is known or unknown', async () => {
    const { invite, known, unknown } = await setUp()
    const [ofKnown, ofUnknown] = [tokenOf((await invite(known)).link), tokenOf((await invite(unknown)).link)]
    const read = (token: string) => async () => await stranger.members.readInvitation({ token })
    expectNoDifference('readInvitation', await compareTimes(read(ofKnown), read(ofUnknown)))
    const other = await actingOn(null, await database.createUser())
    const accept = (token: string) => async () => {
      const refusal = await other.members.acceptInvitation({ token }).catch(({ reason }) => reason)
      expect(refusal).toBe('invitation_other_address')
    }
    expectNoDifference('acceptInvitation', await compareTimes(accept(ofKnown), accept(ofUnknown)))
  })
})
