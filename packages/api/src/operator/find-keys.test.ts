import { FindKeysByPrefix, KEYS_FOUND_MAX } from '@keymeter/contract'
import { describe, expect, it } from 'vitest'
import { charge, contextOf, provisioned } from '../../test/caller.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { recordPlans, rowsRead } from '../../test/recorded-plans.ts'
import { mintToken } from '../keys/token.ts'
import { verifyAudit } from '../maintenance/verify-audit.ts'
import { findKeys } from './find-keys.ts'
import { operate } from './operate.ts'
import { readAsOperator } from './read-as-operator.ts'
import { revokeKeyOfCustomer } from './revoke-key-of-customer.ts'

const database = reconciledDatabase()
const call = (db = database.ownerDb) => ({ ...contextOf({ db }, null), osUser: 'tester' })

async function find(wanted: Parameters<typeof findKeys>[2], db = database.ownerDb) {
  return await readAsOperator(call(db), 'find-key', async (transaction, scopeOf) => ({
    result: await findKeys(transaction, scopeOf, wanted, 'km'),
    account: null,
    search: null,
  }))
}

describe('the operator’s search for a key', () => {
  it('the search finds the account and the key of the current, a previous, an ended and a revoked secret, by the secret and by its prefix', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { id, secret: ended } = await caller.keys.create({ name: 'leaked', keyType: 'prod', creditLimit: 50 })
    const { secret: previous } = await caller.keys.rotate({ id, graceSeconds: 0 })
    const { secret: current } = await caller.keys.rotate({ id, graceSeconds: 3600 })
    await charge(database, current, 1)
    const { key } = { key: await caller.keys.get({ id }) }
    for (const [secret, state, isWorking] of [
      [current, 'current', true],
      [previous, 'previous', true],
      [ended, 'ended', false],
    ] as const)
      for (const wanted of [{ secret }, FindKeysByPrefix.parse({ keyPrefix: secret.slice(0, 16) })]) {
        const { keys, fault } = await find(wanted)
        expect(fault).toBeNull()
        expect(keys).toMatchObject([
          {
            accountId: userId,
            email: `${userId}@example.com`,
            key: { id, name: 'leaked', keyType: 'prod', creditLimit: 50, status: 'active', lastUsedAt: key.lastUsedAt },
            secret: { keyPrefix: secret.slice(0, 16), state, isWorking },
          },
        ])
        expect(JSON.stringify(keys)).not.toContain(secret)
      }
    await caller.keys.revoke({ id: defaultKey.id })
    expect((await find({ secret: defaultKey.secret })).keys).toMatchObject([
      { key: { id: defaultKey.id, status: 'revoked' }, secret: { state: 'current', isWorking: false } },
    ])
  })

  it('the answer states why a secret is not found, and contains no part of it', async () => {
    const { userId, defaultKey } = await provisioned(database)
    const { secret } = defaultKey
    const last = secret.endsWith('A') ? 'B' : 'A'
    for (const [text, fault] of [
      ['nonsense', 'not_a_secret'],
      ['', 'not_a_secret'],
      [secret.slice(0, -1), 'not_a_secret'],
      [secret.slice(0, -1) + last, 'wrong_checksum'],
      [mintToken('km', 'dev', userId), 'unknown'],
      [mintToken('other', 'dev', userId), 'other_brand'],
    ] as const)
      expect(await find({ secret: text })).toEqual({ keys: [], hasMore: false, fault })
  })

  it('the search returns at most the maximum number of secrets with one prefix, and states that there are more', async () => {
    const { userId, defaultKey } = await provisioned(database)
    await database.owner.query(
      `insert into api_key_secrets (user_id, api_key_id, key_hash, key_prefix, valid_until)
       select $1, $2, sha256(n::text::bytea), 'km_dev_AAAAAAAA', now() from generate_series(1, $3) as n`,
      [userId, defaultKey.id, KEYS_FOUND_MAX],
    )
    const keyPrefix = 'km_dev_AAAAAAAA'
    expect(await find({ keyPrefix })).toMatchObject({ keys: { length: KEYS_FOUND_MAX }, hasMore: false })
    await database.owner.query(
      `insert into api_key_secrets (user_id, api_key_id, key_hash, key_prefix, valid_until) values ($1, $2, sha256('more'), $3, now())`,
      [userId, defaultKey.id, keyPrefix],
    )
    expect(await find({ keyPrefix })).toMatchObject({ keys: { length: KEYS_FOUND_MAX }, hasMore: true })
  })

  it('the search reads only the secrets that it finds', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    await database.owner.query(
      `insert into api_key_secrets (user_id, api_key_id, key_hash, key_prefix, valid_until)
       select $1, $2, sha256(('cost' || n)::bytea), 'km_dev_' || lpad(n::text, 8, '0'), now() from generate_series(1, 5000) as n`,
      [userId, defaultKey.id],
    )
    const wanted = await caller.keys.create({ name: 'wanted' })
    await database.owner.query('analyze api_key_secrets')
    for (const by of [{ secret: wanted.secret }, { keyPrefix: wanted.keyPrefix }]) {
      const statements = await recordPlans(database, async (db) => void (await find(by, db)), 'postgres')
      const search = statements.filter(({ sql }) => sql.includes('secretPrefix'))
      expect(rowsRead(search, 'api_key_secrets')).toBe(1)
    }
  })

  it('the search accepts a prefix and cuts a longer text to it, but refuses a shorter text and a whole secret', () => {
    const secret = mintToken('km', 'prod', '2f1c9a0e-6d0b-4f3e-9a51-7c3b8f2d1e60')
    for (const length of [16, 17, 'km_prod_'.length + 19])
      expect(FindKeysByPrefix.parse({ keyPrefix: ` ${secret.slice(0, length)}` })).toEqual({ keyPrefix: secret.slice(0, 16) })
    for (const [text, why] of [
      [secret.slice(0, 15), 'Enter a key prefix'],
      ['km_prod_', 'Enter a key prefix'],
      [secret, 'This is a whole secret'],
      [`x${secret}x`, 'This is a whole secret'],
    ] as const) {
      const { error } = FindKeysByPrefix.safeParse({ keyPrefix: text })
      expect(error?.issues).toHaveLength(1)
      expect(error?.message).toContain(why)
      expect(error?.message).not.toContain(secret.slice(0, 15))
    }
  })
})

describe('a key that the operator revokes', () => {
  const revoke = async (userId: string, keyId: string, reason: string | null = null) =>
    (await operate(call(), userId, async (scope) => await revokeKeyOfCustomer(scope, { keyId, reason }))).result

  it('the key is refused from the next charge on, and the customer sees who revoked it and why', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    await charge(database, defaultKey.secret, 3)
    const { before, after } = await revoke(userId, defaultKey.id, 'Found in a public repository')
    expect(before).toMatchObject({ status: 'active', revokedAt: null })
    expect(after).toMatchObject({ status: 'revoked', revokedAt: expect.any(String), lastUsedAt: expect.any(String) })
    expect(await charge(database, defaultKey.secret, 3)).toMatchObject({ verdict: 'revoked' })
    const entry = { actor: 'operator', action: 'key.revoked', keyId: defaultKey.id }
    expect((await caller.audit.list()).data[0]).toMatchObject({ ...entry, detail: { reason: 'Found in a public repository' } })
    expect((await verifyAudit(database.ownerDb)).faults).toEqual([])
  })

  it('a second revoke changes nothing and adds no entry to the audit log', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { after } = await revoke(userId, defaultKey.id)
    expect((await caller.audit.list()).data[0]).toMatchObject({ action: 'key.revoked', detail: {} })
    const before = (await caller.audit.list()).data.length
    expect(await revoke(userId, defaultKey.id, 'again')).toEqual({ before: after, after })
    expect((await caller.audit.list()).data).toHaveLength(before)
  })

  it('a key of another account is not found', async () => {
    const [one, other] = [await provisioned(database), await provisioned(database)]
    await expect(revoke(one.userId, other.defaultKey.id)).rejects.toMatchObject({ reason: 'key_not_found' })
    expect(await charge(database, other.defaultKey.secret, 1)).toMatchObject({ verdict: 'charged' })
  })
})
