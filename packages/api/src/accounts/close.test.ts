import { randomUUID } from 'node:crypto'
import { KEYS_LIVE_MAX } from '@keymeter/contract'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { accessToken, backend, contextOf, provisioned } from '../../test/caller.ts'
import { replaceClock, type TestClock } from '../../test/clock.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { RECENT_SIGN_IN_SECONDS } from '../auth/require-recent-sign-in.ts'
import { createLimits, DEFAULT_LIMITS } from '../limits/limits.ts'
import { verifyAudit } from '../maintenance/verify-audit.ts'
import { appRouter } from '../router.ts'

const database = reconciledDatabase()
const { owner, ownerDb } = database
const { metering, operator } = backend(database)
const DAY_MS = 86_400_000
const START = new Date('2027-01-10T12:00:00.000Z')

let clock: TestClock
beforeEach(async () => {
  clock = await replaceClock(database)
  await clock.set(START)
})
afterEach(async () => {
  expect((await verifyAudit(ownerDb)).faults).toEqual([])
  await clock.remove()
})

type Replace = Parameters<typeof contextOf>[2]
async function callerOf(userId: string, replace: Replace = {}, email = `${userId}@example.com`) {
  return appRouter.createCaller(contextOf(database, await accessToken(userId, { email }), replace))
}

/** Creates an account whose owner has an address, and a function that adds a member to it. */
async function account() {
  const created = await provisioned(database)
  const { userId: id, defaultKey } = created
  const email = `${id}@example.com`
  await owner.query('update account_members set email = $2 where member_id = $1', [id, email])
  const join = async (role: string) => {
    const member = await database.createUser()
    await owner.query('insert into account_members (user_id, member_id, role, email) values ($1, $2, $3, $4)', [
      id,
      member,
      role,
      `${member}@example.com`,
    ])
    return await callerOf(member, { account: id })
  }
  return { id, email, key: defaultKey.secret, keyId: defaultKey.id, caller: await callerOf(id), join }
}

let requests = 0
const once = () => `close-${requests++}`
const rowOf = async (id: string) =>
  (
    await owner.query(
      'select closed_at, suspended_at, credits_used::int, credits_held::int, top_up_balance::int, plan from billing_accounts where user_id = $1',
      [id],
    )
  ).rows[0]
const entriesOf = async (id: string, action: string) =>
  (await owner.query('select actor, actor_id, detail from audit_log where user_id = $1 and action = $2', [id, action])).rows

describe('the deletion of an account', () => {
  it('the deletion revokes all keys and open invitations, removes all members, and is one entry of the audit log', async () => {
    const { id, email, key, caller, join } = await account()
    const admin = await join('admin')
    const second = await caller.keys.create({ name: 'second' })
    await sql`insert into account_invitations (user_id, token_hash, email, role, created_at, expires_at)
              values (${id}, sha256('token'), 'invited@example.com', 'viewer', now(), now() + interval '7 days')`.execute(
      ownerDb,
    )
    await caller.accounts.close({ confirmation: email })
    expect((await rowOf(id)).closed_at).toEqual(START)
    for (const secret of [key, second.secret])
      expect(await metering.charge({ key: secret, credits: 1, idempotencyKey: once() })).toMatchObject({ verdict: 'revoked' })
    const { rows: members } = await owner.query('select role, removed_at from account_members where user_id = $1', [id])
    expect(members).toEqual([
      { role: null, removed_at: START },
      { role: null, removed_at: START },
    ])
    const { rows: invitations } = await owner.query('select revoked_at from account_invitations where user_id = $1', [id])
    expect(invitations).toEqual([{ revoked_at: START }])
    expect(await entriesOf(id, 'account.closed')).toEqual([
      { actor: 'member', actor_id: id, detail: { keysRevoked: 2, membersRemoved: 2 } },
    ])
    for (const member of [caller, admin]) await expect(member.keys.list({})).rejects.toMatchObject({ reason: 'not_a_member' })
    // The person gets no other account without asking for one.
    expect(await caller.auth.provision()).toMatchObject({ accounts: [], defaultKey: null })
  })

  it('a repeat by the person who deleted the account succeeds and changes nothing, also with another text', async () => {
    const { id, email, caller, join } = await account()
    const admin = await join('admin')
    await caller.accounts.close({ confirmation: email })
    await clock.set(new Date(START.getTime() + 1_000))
    await caller.accounts.close({ confirmation: email })
    await caller.accounts.close({ confirmation: '' })
    expect((await rowOf(id)).closed_at).toEqual(START)
    expect(await entriesOf(id, 'account.closed')).toHaveLength(1)
    await expect(admin.accounts.close({ confirmation: email })).rejects.toMatchObject({ reason: 'not_a_member' })
  })

  it('nobody but an owner can delete an account, and an unknown account gets the answer of a foreign account', async () => {
    const { id, email, join } = await account()
    for (const role of ['admin', 'developer', 'viewer'])
      await expect((await join(role)).accounts.close({ confirmation: email })).rejects.toMatchObject({
        reason: 'role_insufficient',
      })
    const stranger = await database.createUser()
    const answers = await Promise.all(
      [id, randomUUID()].map(async (of) => {
        const caller = await callerOf(stranger, { account: of, requestId: 'same' })
        return await caller.accounts.close({ confirmation: email }).catch(({ reason, message }) => ({ reason, message }))
      }),
    )
    expect(answers[0]).toEqual(answers[1])
    expect(answers[0]).toMatchObject({ reason: 'not_a_member' })
    expect((await rowOf(id)).closed_at).toBeNull()
  })

  it('the text must be the name of the account, or the address of its first owner if it has no name', async () => {
    const { id, email, caller } = await account()
    for (const confirmation of ['', 'delete', `${email}x`, id])
      await expect(caller.accounts.close({ confirmation })).rejects.toMatchObject({
        reason: 'bad_request',
        issues: [{ field: 'confirmation' }],
      })
    await caller.accounts.rename({ name: 'Älpha Team' })
    await expect(caller.accounts.close({ confirmation: email })).rejects.toMatchObject({ reason: 'bad_request' })
    expect((await rowOf(id)).closed_at).toBeNull()
    await caller.accounts.close({ confirmation: ' älpha team ' })
    expect((await rowOf(id)).closed_at).toEqual(START)
  })

  it('the text is the word delete if the account has no name and its owner no address', async () => {
    const { id, caller } = await account()
    await owner.query('update account_members set email = null where user_id = $1', [id])
    await caller.accounts.close({ confirmation: 'Delete' })
    expect((await rowOf(id)).closed_at).toEqual(START)
  })

  it('a person without a session deletes nothing, and each attempt counts towards the limit of the account', async () => {
    const { id, email } = await account()
    const signedOut = async () => {
      throw Object.assign(new Error('signed out'), { reason: 'not_signed_in' })
    }
    const limits = createLimits(database.db, { ...DEFAULT_LIMITS, memberChangesPerPersonPerHour: 2 })
    const caller = await callerOf(id, { limits, checkSession: signedOut })
    await expect(caller.accounts.close({ confirmation: email })).rejects.toThrow('signed out')
    await expect((await callerOf(id, { limits })).accounts.close({ confirmation: 'x' })).rejects.toMatchObject({
      reason: 'bad_request',
    })
    await expect((await callerOf(id, { limits })).accounts.close({ confirmation: email })).rejects.toMatchObject({
      reason: 'too_many_attempts',
    })
    expect((await rowOf(id)).closed_at).toBeNull()
  })

  it('a person whose sign-in is too old deletes neither the account nor the sign-in, and a repeat of a deletion needs no new one', async () => {
    const { id, email } = await account()
    const amr = [{ method: 'password', timestamp: Math.floor(Date.now() / 1000) - RECENT_SIGN_IN_SECONDS }]
    const late = appRouter.createCaller(contextOf(database, await accessToken(id, { email, amr })))
    const refused = { reason: 'sign_in_too_old', code: 'FORBIDDEN' }
    await expect(late.accounts.close({ confirmation: email })).rejects.toMatchObject(refused)
    await expect(late.auth.deleteMe({ confirmation: email, closedAccounts: [id] })).rejects.toMatchObject(refused)
    expect((await rowOf(id)).closed_at).toBeNull()
    await (await callerOf(id)).accounts.close({ confirmation: email })
    await late.accounts.close({ confirmation: email })
  })

  it('with the maximum number of keys, open holds and charges at the same time, no charge is accepted after the deletion', async () => {
    const { id, email, key, caller } = await account()
    const secrets = [key]
    for (let n = 1; n < KEYS_LIVE_MAX; n++) secrets.push((await caller.keys.create({ name: `key ${n}` })).secret)
    const held = await metering.hold({ key, credits: 100, idempotencyKey: once(), ttlSeconds: 600 })
    if (held.verdict !== 'held') throw new Error(held.verdict)
    const settled = await metering.hold({ key, credits: 50, idempotencyKey: once(), ttlSeconds: 600 })
    if (settled.verdict !== 'held') throw new Error(settled.verdict)
    const chargeAll = async () =>
      await Promise.all(secrets.map((secret) => metering.charge({ key: secret, credits: 1, idempotencyKey: once() })))
    const [first, , second] = await Promise.all([chargeAll(), caller.accounts.close({ confirmation: email }), chargeAll()])
    const during = [...first, ...second].map(({ verdict }) => verdict)
    for (const verdict of during) expect(['charged', 'revoked']).toContain(verdict)
    expect(new Set((await chargeAll()).map(({ verdict }) => verdict))).toEqual(new Set(['revoked']))
    expect(await entriesOf(id, 'account.closed')).toMatchObject([{ detail: { keysRevoked: KEYS_LIVE_MAX } }])
    expect(await metering.release({ holdId: held.holdId, idempotencyKey: once() })).toMatchObject({ verdict: 'released' })
    // The excess of a settle cannot be charged any more.
    expect(await metering.settle({ holdId: settled.holdId, credits: 70, idempotencyKey: once() })).toMatchObject({
      verdict: 'settled',
      credits: 50,
      uncollected: 20,
    })
    const charged = during.filter((verdict) => verdict === 'charged').length
    expect(await rowOf(id)).toMatchObject({ credits_used: 50 + charged, credits_held: 0 })
  })

  it('the operator can neither top up a closed account nor change its plan, and a retry of an earlier top-up is answered', async () => {
    const { id, email, caller } = await account()
    const grant = { accountId: id, credits: 500, idempotencyKey: once() }
    await operator.grantTopUp(grant)
    await caller.accounts.close({ confirmation: email })
    const before = await rowOf(id)
    const refused = { reason: 'account_closed', code: 'CONFLICT' }
    await expect(operator.grantTopUp({ ...grant, idempotencyKey: once() })).rejects.toMatchObject(refused)
    await expect(operator.changePlan({ accountId: id, plan: 'free' })).rejects.toMatchObject(refused)
    expect(await rowOf(id)).toEqual(before)
    expect(await operator.grantTopUp(grant)).toMatchObject({
      replayed: true,
      account: { topUps: 500, closedAt: START.toISOString() },
    })
    // A payment can be reversed after the deletion.
    const back = { accountId: id, topUpIdempotencyKey: grant.idempotencyKey, idempotencyKey: once() }
    expect(await operator.takeBackTopUp(back)).toMatchObject({ creditsTakenBack: 500 })
  })

  it('holds expire and cycles roll over on a closed account, and its alerts stay', async () => {
    const { id, email, key, caller } = await account()
    await owner.query('update billing_accounts set billing_cycle_anchor = $2, billing_cycle_start = $2 where user_id = $1', [
      id,
      START,
    ])
    const charged = await metering.charge({ key, credits: 900, idempotencyKey: once() })
    if (charged.verdict !== 'charged' || charged.chargeId === null) throw new Error(charged.verdict)
    await metering.hold({ key, credits: 60, idempotencyKey: once(), ttlSeconds: 600 })
    const alerts = async () =>
      (await owner.query('select kind, threshold::int from alerts where user_id = $1 order by 1, 2', [id])).rows
    const before = await alerts()
    expect(before.length).toBeGreaterThan(0)
    await caller.accounts.close({ confirmation: email })
    await clock.set(new Date(START.getTime() + 70 * DAY_MS))
    // The charge is of an earlier cycle, so its refund becomes a top-up.
    expect(await metering.refund({ chargeId: charged.chargeId, credits: 5, idempotencyKey: once() })).toMatchObject({
      verdict: 'refunded',
    })
    expect(await rowOf(id)).toMatchObject({ credits_used: 0, credits_held: 0, top_up_balance: 5 })
    expect(await alerts()).toEqual(before)
    expect(await metering.charge({ key, credits: 1, idempotencyKey: once() })).toMatchObject({ verdict: 'revoked' })
  })

  it('the preview counts keys, credits and members that the deletion of each account ends', async () => {
    const { id, email, key, keyId, caller, join } = await account()
    await caller.keys.create({ name: 'second' })
    await join('viewer')
    await metering.charge({ key, credits: 10, idempotencyKey: once() })
    await metering.hold({ key, credits: 20, idempotencyKey: once(), ttlSeconds: 600 })
    const mine = { id, name: null, ownerEmail: email, role: 'owner', requiresSecondFactor: false, isLastOwner: true }
    const sums = { otherMembers: 1, liveKeys: 2, creditsRemaining: 970, creditsHeld: 20 }
    expect(await caller.accounts.getDeletion()).toMatchObject({
      data: [{ ...mine, consequences: sums }],
      canDeleteSignIn: false,
    })
    await join('owner')
    await caller.keys.revoke({ id: keyId })
    const { data } = await caller.accounts.getDeletion()
    expect(data).toEqual([{ ...mine, isLastOwner: false, consequences: { ...sums, otherMembers: 2, liveKeys: 1 } }])
    await caller.accounts.close({ confirmation: email })
    expect((await caller.accounts.getDeletion()).data).toEqual([])
  })

  it('the preview shows nothing of an account to a person who has not given the second factor that the account needs', async () => {
    const { id, caller } = await account()
    await owner.query('update billing_accounts set requires_second_factor = true where user_id = $1', [id])
    expect((await caller.accounts.getDeletion()).data).toMatchObject([{ id, requiresSecondFactor: true, consequences: null }])
    const withCode = await accessToken(id, { aal: 'aal2' })
    const { data } = await appRouter.createCaller(contextOf(database, withCode)).accounts.getDeletion()
    expect(data).toMatchObject([{ id, consequences: { liveKeys: 1 } }])
  })
})
