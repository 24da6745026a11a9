import { describe, expect, it } from 'vitest'
import { accessToken, charge, contextOf, provisioned, signedIn } from '../../test/caller.ts'
import { actingOn, memberOf } from '../../test/members.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { RECENT_SIGN_IN_SECONDS } from '../auth/require-recent-sign-in.ts'
import { eraseAccount } from '../operator/erase-account.ts'
import { appRouter } from '../router.ts'

const database = reconciledDatabase()

describe('a person who came by an invitation', () => {
  it('cannot be given an account and a secret by somebody with an old session of the person', async () => {
    const { userId } = await provisioned(database)
    const { memberId } = await memberOf(database, userId, 'viewer')
    const signedInAt = Math.floor(Date.now() / 1000) - RECENT_SIGN_IN_SECONDS
    const token = await accessToken(memberId, { amr: [{ method: 'password', timestamp: signedInAt }] })
    const thief = appRouter.createCaller(contextOf(database, token))
    await expect(thief.accounts.open()).rejects.toMatchObject({ reason: 'sign_in_too_old' })
    await expect(thief.alerts.setThresholds({ thresholds: [50] })).rejects.toMatchObject({ reason: 'not_a_member' })
    expect((await thief.auth.provision()).defaultKey).toBeNull()
    expect((await thief.accounts.list()).data).toHaveLength(1)
  })
})

describe('a deleted account', () => {
  /** Deletes an account with free credits. The person is still signed in. */
  async function deleted() {
    const { userId, caller, defaultKey } = await provisioned(database)
    expect((await caller.billing.get()).account?.creditsRemaining).toBeGreaterThan(0)
    await caller.accounts.rename({ name: 'mine' })
    await caller.accounts.close({ confirmation: 'mine' })
    const erase = async (withAudit: boolean) =>
      await eraseAccount({ ...contextOf({ db: database.ownerDb }, null), osUser: 'tester' }, userId, { withAudit })
    return { userId, secret: defaultKey.secret, person: await signedIn(database, userId), erase }
  }

  it('does not come back with a new sign-in, and its secrets stay revoked', async () => {
    const { userId, secret, person, erase } = await deleted()
    for (const isErased of [false, true]) {
      if (isErased) await erase(false)
      expect(await person.auth.provision()).toMatchObject({ accounts: [], defaultKey: null })
      for (const call of [
        () => person.keys.create({ name: 'x' }),
        () => person.alerts.setThresholds({}),
        () => person.members.leave(),
      ])
        await expect(call()).rejects.toMatchObject({ reason: 'not_a_member' })
      expect(await charge(database, secret, 1)).toMatchObject({ verdict: isErased ? 'not_found' : 'revoked' })
    }
    expect((await person.accounts.open()).account.id).not.toBe(userId)
  })

  it.each([false, true])('gives the next account of the person no free credits, if it was erased: %s', async (isErased) => {
    const { userId, secret, person, erase } = await deleted()
    if (isErased) await erase(true)
    const { id } = isErased
      ? ((await person.auth.provision()).accounts[0] ?? { id: '' })
      : (await person.accounts.open()).account
    expect(id === userId).toBe(isErased)
    const owner = await actingOn(database, id, userId)
    expect(await owner.billing.get()).toMatchObject({ account: { creditsPerCycle: 0, creditsRemaining: 0 } })
    const { secret: next } = await owner.keys.create({ name: 'next' })
    expect(await charge(database, next, 1)).toMatchObject({ verdict: 'insufficient_credits' })
    expect((await charge(database, secret, 1)).verdict).toBe(isErased ? 'not_found' : 'revoked')
  })
})
