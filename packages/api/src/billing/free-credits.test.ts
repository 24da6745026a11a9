import { randomUUID } from 'node:crypto'
import type { FreeCreditsRefusal } from '@keymeter/contract'
import { withClient } from '@keymeter/local'
import { testDatabase } from '@keymeter/local/testing'
import { afterEach, describe, expect, it } from 'vitest'
import { backend, byMember, charge, contextOf, signedIn } from '../../test/caller.ts'
import type { Person } from '../auth/check-session.ts'
import { hashMailbox } from '../auth/mailbox.ts'
import { provision } from '../auth/provision.ts'
import { reconcile } from '../maintenance/reconcile.ts'
import { verifyAudit } from '../maintenance/verify-audit.ts'
import { inAccount } from '../scope.ts'
import { decideFreeCredits, type FreeCredits } from './free-credits.ts'

const database = testDatabase()
afterEach(async () => expect(await reconcile(database.ownerDb)).toEqual([]))

/** Provisions the account of a user, who has this address now. */
async function provisionAs(
  userId: string,
  email: string | null,
  options: { isEmailConfirmed?: boolean; setting?: FreeCredits } = {},
) {
  const { isEmailConfirmed = true, setting = 'after_confirmation' } = options
  const decision = decideFreeCredits(setting, { email, isEmailConfirmed } satisfies Person)
  return await inAccount(
    { ...contextOf(database, null), userId, by: byMember(userId) },
    'read write',
    async (scope) => await provision(scope, decision),
  )
}
const createAs = async (...[email, options]: [string | null, Parameters<typeof provisionAs>[2]?]) => {
  const userId = await database.createUser()
  const key = await provisionAs(userId, email, options)
  return { userId, secret: key?.secret ?? '' }
}
const accountOf = async ({ userId }: { userId: string }) => (await (await signedIn(database, userId)).billing.get()).account
const granted = { creditsPerCycle: 1000, creditsRemaining: 1000, freeCreditsRefusal: null }
const withheld = (freeCreditsRefusal: FreeCreditsRefusal) => ({
  plan: 'free',
  creditsPerCycle: 0,
  creditsRemaining: 0,
  freeCreditsRefusal,
})
const newMailbox = () => `person-${randomUUID().slice(0, 8)}`
/** Moves the start of an account into the past, so that its first cycle has ended. */
const age = async ({ userId }: { userId: string }, months: number) =>
  await database.owner.query(
    `update billing_accounts set billing_cycle_anchor = billing_cycle_anchor - make_interval(months => $2),
            billing_cycle_start = billing_cycle_start - make_interval(months => $2) where user_id = $1`,
    [userId, months],
  )

describe('free credits', () => {
  it('one mailbox gets them for its first account only, however its address is written', async () => {
    const mailbox = newMailbox()
    expect(await accountOf(await createAs(`${mailbox}@gmail.com`))).toMatchObject(granted)
    for (const email of [
      `${mailbox}@gmail.com`,
      `${mailbox.toUpperCase()}@GMAIL.com`,
      `${mailbox}+again@gmail.com`,
      `${mailbox.split('').join('.')}@googlemail.com`,
      `${mailbox}@gmail.com.`,
    ])
      expect(await accountOf(await createAs(email)), email).toMatchObject(withheld('mailbox_used'))
  })

  it('of 20 concurrent first calls with spellings of one mailbox, exactly one account gets them', async () => {
    const mailbox = newMailbox()
    const accounts = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => await createAs(`${mailbox}+${i}@example.com`)),
    )
    const credits = await Promise.all(accounts.map(async (account) => (await accountOf(account))?.creditsPerCycle))
    expect(credits.toSorted()).toEqual([0, ...Array(18).fill(0), 1000])
  })

  it('of 20 concurrent first calls of one account, none takes the free credits from the account', async () => {
    const userId = await database.createUser()
    const email = `${newMailbox()}@example.com`
    await Promise.all(Array.from({ length: 20 }, async (_, i) => await provisionAs(userId, i % 2 === 0 ? email : null)))
    // The last of the calls can be one that does not know the address.
    await provisionAs(userId, email)
    expect(await accountOf({ userId })).toMatchObject(granted)
  })

  it('a mailbox that has had them gets none after the deletion of its user and account', async () => {
    const email = `${newMailbox()}@example.com`
    const first = await createAs(email)
    await database.owner.query('delete from auth.users where id = $1', [first.userId])
    await expect(accountOf(first)).rejects.toMatchObject({ reason: 'not_a_member' })
    await database.owner.query('delete from billing_accounts where user_id = $1', [first.userId])
    expect(await accountOf(await createAs(email))).toMatchObject(withheld('mailbox_used'))
  })

  it('a mailbox keeps them if the account could not be created', async () => {
    const email = `${newMailbox()}@example.com`
    const userId = await database.createUser()
    const call = { ...contextOf(database, null), userId, by: byMember(userId) }
    const decision = decideFreeCredits('after_confirmation', { email, isEmailConfirmed: true })
    await expect(
      inAccount(call, 'read write', async (scope) => {
        await provision(scope, decision)
        throw new Error('after provisioning')
      }),
    ).rejects.toThrow('after provisioning')
    expect(await accountOf(await createAs(email))).toMatchObject(granted)
  })

  it('an account without them gets none in a later cycle either, and all its charges are refused', async () => {
    const email = `${newMailbox()}@example.com`
    await createAs(email)
    const second = await createAs(email)
    expect(await charge(database, second.secret, 1)).toMatchObject({ verdict: 'insufficient_credits', remaining: 0 })
    await age(second, 3)
    expect(await accountOf(second)).toMatchObject(withheld('mailbox_used'))
    expect(await charge(database, second.secret, 1)).toMatchObject({ verdict: 'insufficient_credits', remaining: 0 })
    const { rows } = await database.owner.query('select distinct credits_granted from billing_cycles where user_id = $1', [
      second.userId,
    ])
    expect(rows).toEqual([{ credits_granted: '0' }])
  })

  it('an account without them can spend top-ups, and a larger plan', async () => {
    const email = `${newMailbox()}@example.com`
    await createAs(email)
    const second = await createAs(email)
    const { operator } = backend(database)
    await operator.grantTopUp({ accountId: second.userId, credits: 5, idempotencyKey: 'invoice' })
    expect(await charge(database, second.secret, 5)).toMatchObject({ verdict: 'charged', remaining: 0 })
    await database.owner.query("insert into plans (plan, credits_per_cycle) values ('paid', 70) on conflict do nothing")
    await operator.changePlan({ accountId: second.userId, plan: 'paid' })
    expect(await accountOf(second)).toMatchObject({ plan: 'paid', creditsPerCycle: 70, freeCreditsRefusal: null })
  })

  it('an account without them gets none when the operator changes its plan back to free, in no cycle and for no reason', async () => {
    const { operator } = backend(database)
    await database.owner.query(
      "insert into plans (plan, credits_per_cycle) values ('paid', 70), ('none', 0) on conflict do nothing",
    )
    const email = `${newMailbox()}@example.com`
    await createAs(email)
    const withoutCredits = [
      ['mailbox_used', await createAs(email)],
      ['not_confirmed', await createAs(`${newMailbox()}@example.com`, { isEmailConfirmed: false })],
      ['not_offered', await createAs(`${newMailbox()}@example.com`, { setting: 'none' })],
    ] as const
    for (const [reason, account] of withoutCredits) {
      const accountId = account.userId
      await operator.changePlan({ accountId, plan: 'none' })
      // This change applies immediately.
      await operator.changePlan({ accountId, plan: 'free' })
      expect(await accountOf(account)).toMatchObject(withheld(reason))
      await operator.changePlan({ accountId, plan: 'paid' })
      // This change applies from the next cycle on.
      await operator.changePlan({ accountId, plan: 'free' })
      expect(await accountOf(account)).toMatchObject({ plan: 'paid', nextPlan: 'free', creditsPerCycle: 70 })
      await age(account, 1)
      expect(await accountOf(account)).toMatchObject(withheld(reason))
      expect(await charge(database, account.secret, 1)).toMatchObject({ verdict: 'insufficient_credits' })
      await operator.changePlan({ accountId, plan: 'paid' })
      expect(await charge(database, account.secret, 70)).toMatchObject({ verdict: 'charged' })
    }
  })

  it('an account that has them gets them again when the operator changes its plan back to free', async () => {
    const { operator } = backend(database)
    await database.owner.query("insert into plans (plan, credits_per_cycle) values ('more', 2000) on conflict do nothing")
    const account = await createAs(`${newMailbox()}@example.com`)
    await operator.changePlan({ accountId: account.userId, plan: 'more' })
    await operator.changePlan({ accountId: account.userId, plan: 'free' })
    await age(account, 1)
    expect(await accountOf(account)).toMatchObject(granted)
  })

  it('free credits are decided at the first visit of the dashboard, if the operator has created the account with a top-up', async () => {
    const userId = await database.createUser()
    const { operator } = backend(database)
    const accountId = userId
    expect(await operator.grantTopUp({ accountId, credits: 500, idempotencyKey: 'paid-first' })).toMatchObject({
      account: { ...withheld('not_confirmed'), topUps: 500, creditsRemaining: 500 },
    })
    const caller = await signedIn(database, userId)
    expect(await caller.auth.provision()).toMatchObject({ defaultKey: { name: 'default', secret: expect.any(String) } })
    expect(await caller.auth.provision()).toMatchObject({ defaultKey: null })
    expect((await caller.billing.get()).account).toMatchObject({ ...granted, topUps: 500, creditsRemaining: 1500 })
    const { data } = await caller.audit.list()
    expect(data.map(({ action }) => action)).toEqual(['key.created', 'account.free_credits_granted', 'account.topped_up'])
    expect((await verifyAudit(database.ownerDb)).faults).toEqual([])
  })

  it('a top-up waits for a first visit that has inserted the account, and does not block its lock', async () => {
    const userId = await database.createUser()
    const visit = await database.owner.connect()
    try {
      // keymeter.create_account inserts the account, and then locks it.
      await visit.query('begin')
      await visit.query(
        "insert into billing_accounts (user_id, credits_per_cycle, free_credits_refusal) values ($1, 0, 'not_confirmed')",
        [userId],
      )
      await visit.query("insert into account_members (user_id, member_id, role) values ($1, $1, 'owner')", [userId])
      const topUp = backend(database).operator.grantTopUp({ accountId: userId, credits: 3, idempotencyKey: 'paid-first' })
      // Only a superuser can see whether another role waits.
      await withClient(database.urls.superuser, async (superuser) => {
        const waiting =
          "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%create_account%'"
        await expect.poll(async () => (await superuser.query(waiting)).rows.length).toBe(1)
      })
      await visit.query('select keymeter.lock_account($1)', [userId])
      await visit.query('commit')
      expect(await topUp).toMatchObject({ account: { creditsRemaining: 3 } })
    } finally {
      visit.release()
    }
  })

  it('free credits are granted once, if 20 users visit the dashboard for the first time while the operator tops them up and suspends them', async () => {
    const { operator } = backend(database)
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const userId = await database.createUser()
        const caller = await signedIn(database, userId)
        const credits = { accountId: userId, credits: 3, idempotencyKey: 'paid-first' }
        const [first, , second] = await Promise.all([
          caller.auth.provision(),
          operator.grantTopUp(credits),
          caller.auth.provision(),
          operator.suspend({ accountId: userId }),
        ])
        expect([first, second].filter(({ defaultKey }) => defaultKey !== null)).toHaveLength(1)
        expect((await caller.billing.get()).account).toMatchObject({ creditsRemaining: 1003, suspendedAt: expect.any(String) })
      }),
    )
  })

  it('copy the credits that the plan free has at this time', async () => {
    await database.owner.query("update plans set credits_per_cycle = 40 where plan = 'free'")
    try {
      expect(await accountOf(await createAs(`${newMailbox()}@example.com`))).toMatchObject({ creditsPerCycle: 40 })
    } finally {
      await database.owner.query("update plans set credits_per_cycle = 1000 where plan = 'free'")
    }
  })
})

describe('the setting FREE_CREDITS', () => {
  it('after_confirmation: an unconfirmed address gets them with the first call after the confirmation', async () => {
    const email = `${newMailbox()}@example.com`
    const account = await createAs(email, { isEmailConfirmed: false })
    expect(await accountOf(account)).toMatchObject(withheld('not_confirmed'))
    await provisionAs(account.userId, email, { isEmailConfirmed: false })
    expect(await accountOf(account)).toMatchObject(withheld('not_confirmed'))
    await provisionAs(account.userId, email)
    expect(await accountOf(account)).toMatchObject(granted)
    expect(await charge(database, account.secret, 1000)).toMatchObject({ verdict: 'charged', remaining: 0 })
    await provisionAs(account.userId, email)
    expect(await accountOf(account)).toMatchObject({ creditsRemaining: 0 })
  })

  it('after_confirmation: a confirmation in a later cycle grants the credits of this cycle, and none of the earlier ones', async () => {
    const email = `${newMailbox()}@example.com`
    const account = await createAs(email, { isEmailConfirmed: false })
    await age(account, 2)
    await provisionAs(account.userId, email)
    expect(await accountOf(account)).toMatchObject(granted)
    const { rows } = await database.owner.query('select credits_granted from billing_cycles where user_id = $1', [
      account.userId,
    ])
    expect(rows).toEqual([{ credits_granted: '0' }, { credits_granted: '0' }])
  })

  it('after_confirmation: an unconfirmed address does not use up the free credits of the mailbox', async () => {
    const email = `${newMailbox()}@example.com`
    await createAs(email, { isEmailConfirmed: false })
    expect(await accountOf(await createAs(email))).toMatchObject(granted)
  })

  it('after_confirmation: a confirmation grants nothing to an account whose plan the operator has changed', async () => {
    const email = `${newMailbox()}@example.com`
    const account = await createAs(email, { isEmailConfirmed: false })
    await database.owner.query("insert into plans (plan, credits_per_cycle) values ('small', 7) on conflict do nothing")
    await backend(database).operator.changePlan({ accountId: account.userId, plan: 'small' })
    await provisionAs(account.userId, email)
    expect(await accountOf(account)).toMatchObject({ plan: 'small', creditsPerCycle: 7 })
    expect(await accountOf(await createAs(email))).toMatchObject(granted)
  })

  it('on_sign_up: an unconfirmed address gets them, once for the mailbox', async () => {
    const email = `${newMailbox()}@example.com`
    const options = { isEmailConfirmed: false, setting: 'on_sign_up' } as const
    expect(await accountOf(await createAs(email, options))).toMatchObject(granted)
    expect(await accountOf(await createAs(email, options))).toMatchObject(withheld('mailbox_used'))
  })

  it('none: nobody gets them, also not after the setting changes, and the mailbox keeps them for another account', async () => {
    const email = `${newMailbox()}@example.com`
    const account = await createAs(email, { setting: 'none' })
    expect(await accountOf(account)).toMatchObject(withheld('not_offered'))
    await provisionAs(account.userId, email)
    expect(await accountOf(account)).toMatchObject(withheld('not_offered'))
    expect(await accountOf(await createAs(email))).toMatchObject(granted)
  })

  it('a user without an e-mail address gets none', async () => {
    expect(await accountOf(await createAs(null, { setting: 'on_sign_up' }))).toMatchObject(withheld('not_confirmed'))
  })
})

describe('the calls that create an account', () => {
  it('auth.provision and keys.create ask the auth server for the mailbox, so both grant free credits once', async () => {
    const caller = await signedIn(database, await database.createUser())
    await caller.keys.create({ name: 'first' })
    expect((await caller.billing.get()).account).toMatchObject(granted)
  })

  it('alerts.setThresholds creates an account without free credits, and the next auth.provision grants them', async () => {
    const caller = await signedIn(database, await database.createUser())
    await caller.alerts.setThresholds({ thresholds: [90] })
    expect((await caller.billing.get()).account).toMatchObject(withheld('not_confirmed'))
    await caller.auth.provision()
    expect((await caller.billing.get()).account).toMatchObject(granted)
  })
})

describe('the table of mailboxes', () => {
  it('contains only hashes, and the server’s role can neither read nor write it', async () => {
    const email = `${newMailbox()}@example.com`
    await createAs(email)
    const { rows } = await database.owner.query('select mailbox_hash from mailbox_allowances where mailbox_hash = $1', [
      hashMailbox(email),
    ])
    expect(rows).toEqual([{ mailbox_hash: hashMailbox(email) }])
    await expect(database.db.selectFrom('mailbox_allowances').selectAll().execute()).rejects.toThrow('permission denied')
    await expect(database.db.deleteFrom('mailbox_allowances').execute()).rejects.toThrow('permission denied')
  })
})
