import { KeyWithUsage } from '@keymeter/contract'
import { insertSecrets, testDatabase } from '@keymeter/local/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { provisioned } from '../../test/caller.ts'
import { hashToken } from './token.ts'

const database = testDatabase()

describe('keys.create', () => {
  it('returns the secret once, and the database contains only its SHA-256 hash', async () => {
    const { userId, caller } = await provisioned(database)
    const { secret, id, requestId, ...shown } = await caller.keys.create({ name: ' My key ' })
    expect(shown).toMatchObject({ name: 'My key', keyType: 'dev', keyPrefix: secret.slice(0, 15) })
    expect(secret.startsWith('km_dev_')).toBe(true)
    const { rows } = await database.owner.query(
      `select secrets.key_hash, jsonb_build_array(to_jsonb(keys), to_jsonb(secrets), (select jsonb_agg(log) from audit_log log))::text as everything
         from api_keys keys join api_key_secrets secrets on secrets.api_key_id = keys.id where keys.user_id = $1 and keys.id = $2`,
      [userId, id],
    )
    expect(rows.map(({ key_hash }) => key_hash)).toEqual([hashToken(secret)])
    expect(rows[0].everything).not.toContain(secret.slice(15))
    expect(JSON.stringify(await caller.keys.list())).not.toContain(secret.slice(15))
  })

  it('accepts any name of 1 to 64 characters with a letter in it, removes only white space at both ends, and stores the name in NFC', async () => {
    const { caller } = await provisioned(database)
    const names = fc
      .string({ unit: 'binary', maxLength: 63 })
      .map((name) => `${name}a`)
      .filter((name) => !/[\p{Cc}\p{Bidi_Control}]/u.test(name) && [...name.normalize('NFC')].length <= 64)
    await fc.assert(
      fc.asyncProperty(names, async (name) => {
        const key = await caller.keys.create({ name })
        expect(key.name).toBe(name.normalize('NFC').trim())
        await caller.keys.revoke({ id: key.id })
      }),
      { numRuns: 100 },
    )
  })

  it.each([
    ['', 'Enter a name.'],
    ['   ', 'Enter a name.'],
    ['x'.repeat(65), 'Use at most 64 characters.'],
    ['😀'.repeat(65), 'Use at most 64 characters.'],
    ['a\u0000b', 'Leave out control characters.'],
    ['a\u001bb', 'Leave out control characters.'],
    ['a\u0085b', 'Leave out control characters.'],
    ['a\ud800b', 'Leave out control characters.'],
  ])('refuses the name %j and changes nothing', async (name, message) => {
    const { caller } = await provisioned(database)
    await expect(caller.keys.create({ name })).rejects.toMatchObject({
      code: 'BAD_REQUEST',
      message: expect.stringContaining(message),
    })
    expect((await caller.keys.list()).data).toHaveLength(1)
  })

  it('counts an emoji as one character, as Postgres does', async () => {
    const { caller } = await provisioned(database)
    expect((await caller.keys.create({ name: '😀'.repeat(64) })).name).toBe('😀'.repeat(64))
  })

  it('refuses input with an owner or another unknown field', async () => {
    const { caller, userId } = await provisioned(database)
    for (const extra of [{ userId }, { user_id: userId }, { createdAt: '2020-01-01' }, { key_hash: 'x' }]) {
      await expect(caller.keys.create({ name: 'x', ...extra })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    }
    await expect(caller.keys.create({ name: 'x', keyType: 'admin' as 'dev' })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  })
})

describe('keys.list', () => {
  it('shows live keys, newest first', async () => {
    const { caller, defaultKey } = await provisioned(database)
    const first = await caller.keys.create({ name: 'first' })
    const second = await caller.keys.create({ name: 'second', keyType: 'prod' })
    const third = await caller.keys.create({ name: 'third' })
    await caller.keys.revoke({ id: second.id })
    const { data } = await caller.keys.list()
    expect(data.map(({ id }) => id)).toEqual([third.id, first.id, defaultKey.id])
    expect(Object.keys(data[0] ?? {}).sort()).toEqual(Object.keys(KeyWithUsage.shape).sort())
  })
})

describe('a key whose id is not a uuid of RFC 9562', () => {
  it('such an id is valid: it gives `key_not_found` while no key has it, and a key that has it is listed, counted and revoked', async () => {
    const { userId, caller } = await provisioned(database)
    const id = '11111111-1111-1111-1111-111111111111'
    await expect(caller.keys.revoke({ id })).rejects.toMatchObject({ reason: 'key_not_found' })
    await database.owner.query("insert into api_keys (user_id, id, name) values ($1, $2, 'odd')", [userId, id])
    await insertSecrets(database.owner)
    expect((await caller.keys.list()).data.map((key) => key.id)).toContain(id)
    expect((await caller.keys.usage()).data.map((key) => key.id)).toContain(id)
    expect(await caller.keys.revoke({ id })).toMatchObject({ id })
  })
})

describe('keys.revoke', () => {
  it('returns the same answer if the call is repeated', async () => {
    const { caller, defaultKey } = await provisioned(database)
    const { requestId: _, ...first } = await caller.keys.revoke({ id: defaultKey.id })
    expect(first).toMatchObject({ id: defaultKey.id, name: 'default', keyPrefix: defaultKey.keyPrefix })
    expect(Date.parse(first.revokedAt ?? '')).toBeGreaterThan(Date.parse(defaultKey.createdAt) - 1)
    expect(await caller.keys.revoke({ id: defaultKey.id })).toMatchObject(first)
  })

  it('stores the time of only the first of many concurrent calls', async () => {
    const { caller, defaultKey } = await provisioned(database)
    const answers = await Promise.all(Array.from({ length: 20 }, async () => await caller.keys.revoke({ id: defaultKey.id })))
    expect(new Set(answers.map(({ revokedAt }) => revokedAt)).size).toBe(1)
  })
})
