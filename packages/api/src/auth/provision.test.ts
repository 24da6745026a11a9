import { testDatabase } from '@keymeter/local/testing'
import { describe, expect, it } from 'vitest'
import { provisioned, signedIn } from '../../test/caller.ts'
import { hashToken, parseToken } from '../keys/token.ts'

const database = testDatabase()

describe('auth.provision', () => {
  it('creates the account on the plan free with 1,000 credits and a default dev key, and returns its secret', async () => {
    const { userId, defaultKey } = await provisioned(database)
    const accounts = await database.owner.query(
      'select plan, credits_per_cycle, billing_cycle_anchor = billing_cycle_start as fresh from billing_accounts where user_id = $1',
      [userId],
    )
    expect(accounts.rows).toEqual([{ plan: 'free', credits_per_cycle: '1000', fresh: true }])
    expect(defaultKey).toMatchObject({ name: 'default', keyType: 'dev', keyPrefix: defaultKey.secret.slice(0, 15) })
    expect(parseToken('km', defaultKey.secret)).toEqual({ keyType: 'dev', userId })
    const keys = await database.owner.query(
      'select api_key_id, key_hash, valid_until from api_key_secrets where user_id = $1',
      [userId],
    )
    expect(keys.rows).toEqual([{ api_key_id: defaultKey.id, key_hash: hashToken(defaultKey.secret), valid_until: null }])
  })

  it('creates one account and one key for 50 concurrent first calls, and returns the secret to one of them', async () => {
    const userId = await database.createUser()
    const caller = await signedIn(database, userId)
    const answers = await Promise.all(Array.from({ length: 50 }, async () => await caller.auth.provision()))
    expect(answers.filter(({ defaultKey }) => defaultKey !== null)).toHaveLength(1)
    const count = await database.owner.query(
      'select (select count(*) from api_keys where user_id = $1) as keys, (select count(*) from billing_accounts where user_id = $1) as accounts',
      [userId],
    )
    expect(count.rows).toEqual([{ keys: '1', accounts: '1' }])
  })

  it('creates no key for an account that has had a key, even if that key was revoked', async () => {
    const { caller, defaultKey } = await provisioned(database)
    await caller.keys.revoke({ id: defaultKey.id })
    expect((await caller.auth.provision()).defaultKey).toBeNull()
    expect((await caller.keys.list()).data).toEqual([])
  })

  it('creates one key for an account that never had a key, even in 20 concurrent calls', async () => {
    const userId = await database.createUser()
    await database.owner.query(
      "select keymeter.create_account($1::uuid, $1::uuid, null, sha256($1::uuid::text::bytea), null, row('test', null, null))",
      [userId],
    )
    const caller = await signedIn(database, userId)
    const answers = await Promise.all(Array.from({ length: 20 }, async () => await caller.auth.provision()))
    expect(answers.filter(({ defaultKey }) => defaultKey !== null)).toMatchObject([{ defaultKey: { name: 'default' } }])
  })

  it('opens no account for a user who was deleted after the access token was issued', async () => {
    const { userId, caller } = await provisioned(database)
    await database.owner.query('delete from auth.users where id = $1', [userId])
    expect(await caller.auth.provision()).toMatchObject({ accounts: [], defaultKey: null })
    await expect(caller.keys.create({ name: 'late' })).rejects.toMatchObject({ reason: 'not_a_member' })
    await expect(caller.accounts.open()).rejects.toMatchObject({ code: 'UNAUTHORIZED', reason: 'not_signed_in' })
  })
})

describe('before an account is provisioned,', () => {
  it('queries return empty results', async () => {
    const caller = await signedIn(database, await database.createUser())
    expect(await caller.keys.list()).toMatchObject({ data: [] })
    expect(await caller.keys.usage()).toMatchObject({ data: [], billingCycle: null })
    expect(await caller.billing.get()).toMatchObject({ account: null })
  })

  it('keys.create creates the account, but no default key, because nobody would see its secret', async () => {
    const caller = await signedIn(database, await database.createUser())
    const created = await caller.keys.create({ name: 'mine', keyType: 'prod' })
    expect((await caller.keys.usage()).data).toMatchObject([{ id: created.id, name: 'mine', keyType: 'prod', creditsUsed: 0 }])
    expect((await caller.billing.get()).account).toMatchObject({ plan: 'free', creditsPerCycle: 1000, creditsUsed: 0 })
    expect((await caller.auth.provision()).defaultKey).toBeNull()
  })
})
