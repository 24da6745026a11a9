import { randomUUID } from 'node:crypto'
import { GRACE_SECONDS_DEFAULT, GRACE_SECONDS_MAX, KEYS_LIVE_MAX, SECRETS_WORKING_MAX } from '@keymeter/contract'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { charge, provisioned } from '../../test/caller.ts'
import { replaceClock, type TestClock } from '../../test/clock.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { working } from '../../test/working-secrets.ts'

const database = reconciledDatabase()
const START = new Date('2027-03-01T00:00:00.000Z')
const at = (seconds: number) => new Date(START.getTime() + seconds * 1000)
let clock: TestClock
beforeAll(async () => {
  clock = await replaceClock(database)
})
afterAll(async () => await clock.remove())

async function account() {
  await clock.set(START)
  return await provisioned(database)
}

/** Returns all keys, secrets and audit entries of an account. */
async function rowsOf(userId: string): Promise<unknown> {
  const { rows } = await database.owner.query(
    `select (select json_agg(keys order by id) from api_keys as keys where user_id = $1) as keys,
            (select json_agg(secrets order by key_hash) from api_key_secrets as secrets where user_id = $1) as secrets,
            (select json_agg(log order by sequence) from audit_log as log where user_id = $1) as log`,
    [userId],
  )
  return rows
}

/** The time from which each secret of a key is expired, in the order in which the secrets were created. */
async function endsOf(id: string): Promise<(Date | null)[]> {
  const { rows } = await database.owner.query<{ valid_until: Date | null }>(
    'select valid_until from api_key_secrets where api_key_id = $1 order by created_at',
    [id],
  )
  return rows.map(({ valid_until }) => valid_until)
}

describe('a repeat', () => {
  it('a repeat of keys.create returns the same key with another secret, and the secret of the first attempt works for 24 hours', async () => {
    const { userId, caller, defaultKey } = await account()
    const request = { name: 'mine', keyType: 'prod', creditLimit: 9, idempotencyKey: 'create-1' } as const
    const first = await caller.keys.create(request)
    await clock.set(at(10))
    const second = await caller.keys.create(request)
    const graceEndsAt = at(10 + GRACE_SECONDS_DEFAULT).toISOString()
    const { secret: _, requestId: __, keyPrefix: ___, ...same } = first
    expect(second).toMatchObject({ ...same, graceEndsAt, keyPrefix: second.secret.slice(0, 16) })
    expect(second.secret).not.toBe(first.secret)
    expect((await caller.keys.list()).data.map(({ id }) => id)).toEqual([first.id, defaultKey.id])
    await clock.set(new Date(Date.parse(graceEndsAt) - 1))
    for (const { secret } of [first, second]) expect(await charge(database, secret, 1)).toMatchObject({ verdict: 'charged' })
    await clock.set(new Date(graceEndsAt))
    expect(await working(database, userId, first.secret, second.secret)).toEqual([false, true])
  })

  it('a repeat of keys.rotate keeps the end that the first attempt gave to the replaced secret', async () => {
    for (const graceSeconds of [0, 60, GRACE_SECONDS_MAX]) {
      const { userId, caller, defaultKey } = await account()
      const { id } = defaultKey
      const request = { id, graceSeconds, keyPrefix: defaultKey.keyPrefix, idempotencyKey: 'rotate-1' }
      await clock.set(at(10))
      const first = await caller.keys.rotate(request)
      await clock.set(at(20))
      const second = await caller.keys.rotate(request)
      await clock.set(at(30))
      const third = await caller.keys.rotate(request)
      expect(await endsOf(id)).toEqual([
        at(10 + graceSeconds),
        at(20 + GRACE_SECONDS_DEFAULT),
        at(30 + GRACE_SECONDS_DEFAULT),
        null,
      ])
      const secrets = [defaultKey, first, second, third].map(({ secret }) => secret)
      expect(await working(database, userId, ...secrets)).toEqual([graceSeconds > 0, true, true, true])
      expect(third.keyPrefix).toBe(third.secret.slice(0, 15))
    }
  })

  it('a repeat of keys.replaceLostSecret works although its key prefix is no longer that of the current secret', async () => {
    const { userId, caller, defaultKey } = await account()
    const { id, keyPrefix } = defaultKey
    const first = await caller.keys.replaceLostSecret({ id, keyPrefix, idempotencyKey: 'lost-1' })
    await caller.keys.confirmSecretSaved({ id })
    const second = await caller.keys.replaceLostSecret({ id, keyPrefix, idempotencyKey: 'lost-1' })
    expect(await working(database, userId, defaultKey.secret, first.secret, second.secret)).toEqual([false, true, true])
    // Another call finds no lost secret.
    const another = caller.keys.replaceLostSecret({ id, keyPrefix, idempotencyKey: 'lost-2' })
    await expect(another).rejects.toMatchObject({ code: 'CONFLICT', reason: 'secret_not_lost' })
  })

  it('is refused after another call has replaced the secret, because the new one is perhaps in use', async () => {
    const { userId, caller, defaultKey } = await account()
    const { id } = defaultKey
    const first = await caller.keys.rotate({ id, graceSeconds: 5, idempotencyKey: 'rotate-1' })
    await caller.keys.rotate({ id, graceSeconds: 5, idempotencyKey: 'rotate-1' })
    const another = await caller.keys.rotate({ id, graceSeconds: 7 })
    const ends = await endsOf(id)
    const repeat = caller.keys.rotate({ id, graceSeconds: 5, idempotencyKey: 'rotate-1' })
    await expect(repeat).rejects.toMatchObject({ code: 'CONFLICT', reason: 'secret_changed' })
    expect(await endsOf(id)).toEqual(ends)
    expect(await working(database, userId, first.secret, another.secret)).toEqual([true, true])
  })

  it('has no time limit', async () => {
    const { caller, defaultKey } = await account()
    const { id } = defaultKey
    await caller.keys.rotate({ id, graceSeconds: 5, idempotencyKey: 'rotate-1' })
    await clock.set(at(400 * 86_400))
    await caller.keys.rotate({ id, graceSeconds: 5, idempotencyKey: 'rotate-1' })
    expect(await endsOf(id)).toEqual([at(5), at(401 * 86_400), null])
  })

  it('has an entry of its own in the audit log', async () => {
    const { caller } = await account()
    const first = await caller.keys.create({ name: 'mine', idempotencyKey: 'create-1' })
    const second = await caller.keys.create({ name: 'mine', idempotencyKey: 'create-1' })
    const [entry, ...others] = (await caller.audit.list({ keyId: first.id })).data
    expect(entry).toMatchObject({
      action: 'key.secret_repeated',
      actor: 'member',
      detail: {
        call: 'keys.create',
        graceSeconds: GRACE_SECONDS_DEFAULT,
        keyPrefix: { from: first.keyPrefix, to: second.keyPrefix },
      },
    })
    expect(others.map(({ action }) => action)).toEqual(['key.created'])
  })

  it('a repeat of keys.create works for an account with the maximum number of live keys', async () => {
    const { userId, caller } = await account()
    const { id } = await caller.keys.create({ name: 'mine', idempotencyKey: 'create-1' })
    await database.owner.query(
      'insert into api_keys (user_id, name) select $1, n::text from generate_series(3, $2::int) as n',
      [userId, KEYS_LIVE_MAX],
    )
    await expect(caller.keys.create({ name: 'more', idempotencyKey: 'create-2' })).rejects.toMatchObject({
      reason: 'key_limit_reached',
    })
    expect(await caller.keys.create({ name: 'mine', idempotencyKey: 'create-1' })).toMatchObject({ id })
  })

  it('a repeat that runs concurrently with the first attempt gives each caller a working secret of one key', async () => {
    const { userId, caller } = await account()
    const answers = await Promise.all(
      Array.from({ length: 5 }, async () => await caller.keys.create({ name: 'mine', idempotencyKey: 'create-1' })),
    )
    expect(new Set(answers.map(({ id }) => id)).size).toBe(1)
    expect(await working(database, userId, ...answers.map(({ secret }) => secret))).toEqual([true, true, true, true, true])
  })

  it('is not a call with the same idempotency key on another account', async () => {
    const [one, other] = [await account(), await account()]
    const ofOne = await one.caller.keys.create({ name: 'mine', idempotencyKey: 'create-1' })
    const ofOther = await other.caller.keys.create({ name: 'another', idempotencyKey: 'create-1' })
    expect(ofOther.id).not.toBe(ofOne.id)
    expect(ofOther).toMatchObject({ name: 'another', graceEndsAt: null })
  })

  it('a repeat of a call without an idempotency key is another call', async () => {
    const { caller, defaultKey } = await account()
    await caller.keys.create({ name: 'mine' })
    await caller.keys.create({ name: 'mine' })
    expect((await caller.keys.list()).data.map(({ name }) => name)).toEqual(['mine', 'mine', 'default'])
    await caller.keys.rotate({ id: defaultKey.id, graceSeconds: 1 })
    await caller.keys.rotate({ id: defaultKey.id, graceSeconds: 2 })
    expect((await endsOf(defaultKey.id)).slice(0, 2).sort()).toEqual([at(1), at(2)])
  })

  it('a repeat for a key that was revoked since is refused with key_revoked', async () => {
    const { caller, userId } = await account()
    const create = async () => await caller.keys.create({ name: 'mine', idempotencyKey: 'create-1' })
    const { id } = await create()
    const rotate = async () => await caller.keys.rotate({ id, idempotencyKey: 'rotate-1' })
    const { keyPrefix } = await rotate()
    const replace = async () => await caller.keys.replaceLostSecret({ id, keyPrefix, idempotencyKey: 'lost-1' })
    await replace()
    await caller.keys.revoke({ id })
    const before = await rowsOf(userId)
    for (const repeat of [create, rotate, replace])
      await expect(repeat()).rejects.toMatchObject({ code: 'CONFLICT', reason: 'key_revoked' })
    expect(await rowsOf(userId)).toEqual(before)
  })

  it('a repeat for a key that has expired since is refused with key_expired, until the key gets a later expiry', async () => {
    const { caller, userId } = await account()
    const expiresAt = at(100).toISOString()
    const create = async () => await caller.keys.create({ name: 'created', expiresAt, idempotencyKey: 'create-1' })
    const ids = [(await create()).id]
    const another = async () => {
      const key = await caller.keys.create({ name: 'mine', expiresAt })
      ids.push(key.id)
      return key
    }
    const { id: rotated } = await another()
    const rotate = async () => await caller.keys.rotate({ id: rotated, expiresAt, idempotencyKey: 'rotate-1' })
    await rotate()
    const { id: lost, keyPrefix } = await another()
    const replace = async () => await caller.keys.replaceLostSecret({ id: lost, keyPrefix, idempotencyKey: 'lost-1' })
    await replace()
    // A disabled key can have expired too.
    for (const id of ids) await caller.keys.disable({ id })
    await clock.set(at(100))
    const before = await rowsOf(userId)
    for (const repeat of [create, rotate, replace])
      await expect(repeat()).rejects.toMatchObject({ code: 'CONFLICT', reason: 'key_expired' })
    expect(await rowsOf(userId)).toEqual(before)
    const later = at(200).toISOString()
    for (const id of ids) {
      await caller.keys.update({ id, expiresAt: later })
      await caller.keys.enable({ id })
    }
    for (const repeat of [create, rotate, replace]) {
      const { secret, expiresAt: unchanged } = await repeat()
      expect(unchanged).toBe(later)
      expect(await working(database, userId, secret)).toEqual([true])
    }
  })
})

describe('an idempotency key', () => {
  it('an idempotency key that a different request has used is refused, and nothing changes', async () => {
    const { caller, userId, defaultKey } = await account()
    const other = await caller.keys.create({ name: 'other', idempotencyKey: 'create-1' })
    const { id } = defaultKey
    const { keyPrefix } = await caller.keys.rotate({ id, graceSeconds: 60, idempotencyKey: 'rotate-1' })
    await caller.keys.replaceLostSecret({ id, keyPrefix, idempotencyKey: 'lost-1' })
    const before = await rowsOf(userId)
    const { create, rotate, replaceLostSecret } = caller.keys
    const different = [
      async () => await create({ name: 'another', idempotencyKey: 'create-1' }),
      async () => await create({ name: 'other', keyType: 'prod', idempotencyKey: 'create-1' }),
      async () => await create({ name: 'other', creditLimit: 1, idempotencyKey: 'create-1' }),
      async () => await create({ name: 'other', expiresAt: at(99).toISOString(), idempotencyKey: 'create-1' }),
      async () => await rotate({ id: other.id, idempotencyKey: 'create-1' }),
      async () => await replaceLostSecret({ id: other.id, keyPrefix: other.keyPrefix, idempotencyKey: 'create-1' }),
      async () => await create({ name: 'other', idempotencyKey: 'rotate-1' }),
      async () => await rotate({ id: other.id, graceSeconds: 60, idempotencyKey: 'rotate-1' }),
      async () => await rotate({ id, graceSeconds: 61, idempotencyKey: 'rotate-1' }),
      async () => await rotate({ id, graceSeconds: 60, keyPrefix, idempotencyKey: 'rotate-1' }),
      async () => await rotate({ id, graceSeconds: 60, expiresAt: null, idempotencyKey: 'rotate-1' }),
      async () => await replaceLostSecret({ id, keyPrefix: 'km_dev_00000000', idempotencyKey: 'lost-1' }),
      async () => await replaceLostSecret({ id: other.id, keyPrefix, idempotencyKey: 'lost-1' }),
    ]
    for (const call of different)
      await expect(call()).rejects.toMatchObject({ code: 'CONFLICT', reason: 'idempotency_key_reused' })
    expect(await rowsOf(userId)).toEqual(before)
  })

  it('an idempotency key of a refused call can be used for another request', async () => {
    const { caller, defaultKey } = await account()
    await expect(
      caller.keys.rotate({ id: defaultKey.id, keyPrefix: 'km_dev_00000000', idempotencyKey: 'x' }),
    ).rejects.toMatchObject({ reason: 'secret_changed' })
    expect(await caller.keys.create({ name: 'mine', idempotencyKey: 'x' })).toMatchObject({ name: 'mine' })
  })

  it('is required by keys.replaceLostSecret, and its form is checked', async () => {
    const { caller, defaultKey } = await account()
    const { id, keyPrefix } = defaultKey
    for (const idempotencyKey of [undefined, null, '', 'a b', 'ä', 'x'.repeat(256)]) {
      await expect(
        caller.keys.replaceLostSecret({ id, keyPrefix, idempotencyKey: idempotencyKey as string }),
      ).rejects.toMatchObject({ code: 'BAD_REQUEST', message: expect.stringContaining('idempotencyKey') })
      if (idempotencyKey == null) continue
      await expect(caller.keys.create({ name: 'x', idempotencyKey })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
      await expect(caller.keys.rotate({ id, idempotencyKey })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    }
    expect(await caller.keys.replaceLostSecret({ id, keyPrefix, idempotencyKey: 'x'.repeat(255) })).toMatchObject({ id })
  })
})

describe('keys.rotate with a key prefix', () => {
  it('rotates only the secret with this key prefix, and changes nothing if the key has another current secret', async () => {
    const { caller, userId, defaultKey } = await account()
    const { id, keyPrefix } = defaultKey
    const rotated = await caller.keys.rotate({ id, keyPrefix })
    const before = await rowsOf(userId)
    for (const idempotencyKey of [null, randomUUID()]) {
      const again = caller.keys.rotate({ id, keyPrefix, idempotencyKey })
      await expect(again).rejects.toMatchObject({ code: 'CONFLICT', reason: 'secret_changed' })
    }
    expect(await rowsOf(userId)).toEqual(before)
    await caller.keys.rotate({ id, keyPrefix: rotated.keyPrefix })
  })

  it('gives two concurrent callers one new secret', async () => {
    const { caller, defaultKey } = await account()
    const { id, keyPrefix } = defaultKey
    const answers = await Promise.allSettled([1, 2].map(async () => await caller.keys.rotate({ id, keyPrefix })))
    expect(answers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(await endsOf(id)).toHaveLength(2)
  })
})

describe(`a key with ${SECRETS_WORKING_MAX} working secrets`, () => {
  it('gets no further secret until previous ones end, and the refused call changes nothing', async () => {
    const { caller, userId, defaultKey } = await account()
    const { id } = defaultKey
    const secrets = [defaultKey.secret]
    const rotate = async (graceSeconds: number, idempotencyKey: string | null = null) =>
      (await caller.keys.rotate({ id, graceSeconds, idempotencyKey })).secret
    for (let n = 1; n < SECRETS_WORKING_MAX; n++) secrets.push(await rotate(GRACE_SECONDS_MAX, `rotate-${n}`))
    expect(await working(database, userId, ...secrets)).toEqual(secrets.map(() => true))
    const before = await rowsOf(userId)
    const refused = { code: 'CONFLICT', reason: 'too_many_secrets', message: expect.stringContaining('“End now”') }
    await expect(rotate(1)).rejects.toMatchObject(refused)
    await expect(rotate(GRACE_SECONDS_MAX, `rotate-${SECRETS_WORKING_MAX - 1}`)).rejects.toMatchObject(refused)
    expect(await rowsOf(userId)).toEqual(before)
    // A rotation without a grace period replaces one working secret by another.
    secrets.push(await rotate(0))
    expect(await working(database, userId, ...secrets)).toEqual(secrets.map((_, n) => n !== SECRETS_WORKING_MAX - 1))
    await expect(rotate(1)).rejects.toMatchObject(refused)
    // A lost secret is replaced by another one.
    const { keyPrefix } = await caller.keys.get({ id })
    const replaced = await caller.keys.replaceLostSecret({ id, keyPrefix, idempotencyKey: 'lost-1' })
    await caller.keys.endGrace({ id })
    const last = await rotate(GRACE_SECONDS_MAX)
    expect(await working(database, userId, ...secrets, replaced.secret, last)).toEqual([
      ...secrets.map(() => false),
      true,
      true,
    ])
  })

  it('gets a further secret after a grace period has ended', async () => {
    const { caller, defaultKey } = await account()
    const { id } = defaultKey
    for (let n = 1; n < SECRETS_WORKING_MAX; n++) await caller.keys.rotate({ id, graceSeconds: n })
    await clock.set(new Date(at(1).getTime() - 1))
    await expect(caller.keys.rotate({ id })).rejects.toMatchObject({ reason: 'too_many_secrets' })
    await clock.set(at(1))
    await caller.keys.rotate({ id })
  })
})

describe('an expired key', () => {
  it('gets a new secret only together with a new expiry, and its previous secrets do not work again', async () => {
    const { caller, userId, defaultKey } = await account()
    const { id } = defaultKey
    await caller.keys.update({ id, expiresAt: at(100).toISOString() })
    const second = await caller.keys.rotate({ id, graceSeconds: GRACE_SECONDS_MAX })
    await clock.set(at(100))
    const before = await rowsOf(userId)
    const needed = { code: 'BAD_REQUEST', reason: 'bad_request', issues: [{ field: 'expiresAt' }] }
    await expect(caller.keys.rotate({ id })).rejects.toMatchObject(needed)
    await expect(caller.keys.rotate({ id, expiresAt: at(100).toISOString() })).rejects.toMatchObject(needed)
    expect(await rowsOf(userId)).toEqual(before)
    const third = await caller.keys.rotate({ id, graceSeconds: 60, expiresAt: '2027-03-02T01:00:00+01:00' })
    expect(third).toMatchObject({ status: 'active', expiresAt: '2027-03-02T00:00:00.000Z', graceEndsAt: null })
    expect(await working(database, userId, defaultKey.secret, second.secret, third.secret)).toEqual([false, false, true])
    expect((await caller.audit.list()).data[0]).toMatchObject({
      action: 'key.rotated',
      detail: { graceSeconds: 0, expiresAt: { from: at(100).toISOString(), to: '2027-03-02T00:00:00.000Z' } },
    })
  })

  it('gets no new secret for a lost one before it has a later expiry', async () => {
    const { caller, userId, defaultKey } = await account()
    const { id, keyPrefix } = defaultKey
    await caller.keys.update({ id, expiresAt: at(100).toISOString() })
    await clock.set(at(100))
    const before = await rowsOf(userId)
    const replace = async () => await caller.keys.replaceLostSecret({ id, keyPrefix, idempotencyKey: 'lost-1' })
    await expect(replace()).rejects.toMatchObject({ code: 'CONFLICT', reason: 'key_expired' })
    expect(await rowsOf(userId)).toEqual(before)
    await caller.keys.update({ id, expiresAt: null })
    expect(await working(database, userId, (await replace()).secret)).toEqual([true])
  })

  it('an expired key that is enabled shows that it is still expired', async () => {
    const { caller, defaultKey } = await account()
    const { id } = defaultKey
    await caller.keys.update({ id, expiresAt: at(100).toISOString() })
    await caller.keys.disable({ id })
    await clock.set(at(100))
    expect(await caller.keys.enable({ id })).toMatchObject({ status: 'expired', disabledAt: null })
  })

  it('loses its previous secrets with keys.endGrace too, so that a later expiry does not make them work again', async () => {
    const { caller, userId, defaultKey } = await account()
    const { id } = defaultKey
    const { secret } = await caller.keys.rotate({ id, graceSeconds: GRACE_SECONDS_MAX, expiresAt: at(100).toISOString() })
    await clock.set(at(100))
    await caller.keys.endGrace({ id })
    await caller.keys.update({ id, expiresAt: null })
    expect(await working(database, userId, defaultKey.secret, secret)).toEqual([false, true])
  })
})

describe('graceEndsAt', () => {
  it('is never later than expiresAt, also after keys.update has changed the expiry', async () => {
    const { caller, userId, defaultKey } = await account()
    const { id } = defaultKey
    const promised = at(GRACE_SECONDS_MAX).toISOString()
    const soon = at(60).toISOString()
    expect(await caller.keys.rotate({ id, graceSeconds: GRACE_SECONDS_MAX, expiresAt: soon })).toMatchObject({
      graceEndsAt: soon,
    })
    // The promise of the rotation holds again when the expiry allows it.
    expect(await caller.keys.update({ id, expiresAt: null })).toMatchObject({ graceEndsAt: promised })
    const later = at(GRACE_SECONDS_MAX + 1).toISOString()
    expect(await caller.keys.update({ id, expiresAt: later })).toMatchObject({ graceEndsAt: promised })
    expect(await caller.keys.update({ id, expiresAt: soon })).toMatchObject({ graceEndsAt: soon })
    expect((await caller.keys.list()).data).toMatchObject([{ graceEndsAt: soon }])
    await clock.set(new Date(at(60).getTime() - 1))
    expect(await working(database, userId, defaultKey.secret)).toEqual([true])
    await clock.set(at(60))
    expect(await working(database, userId, defaultKey.secret)).toEqual([false])
    expect(await caller.keys.get({ id })).toMatchObject({ status: 'expired', graceEndsAt: null })
  })
})
