import { randomUUID } from 'node:crypto'
import { GRACE_SECONDS_MAX, KEYS_LIVE_MAX } from '@keymeter/contract'
import { describe, expect, it, onTestFinished } from 'vitest'
import { charge, provisioned } from '../../test/caller.ts'
import { replaceClock } from '../../test/clock.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { working } from '../../test/working-secrets.ts'
import { AppError } from '../errors.ts'
import { parseToken } from './token.ts'

const database = reconciledDatabase()

describe('keys.get', () => {
  it('shows a key of any status, with its usage', async () => {
    const { caller, defaultKey } = await provisioned(database)
    const { id } = defaultKey
    await charge(database, defaultKey.secret, 7)
    expect(await caller.keys.get({ id })).toMatchObject({ id, status: 'active', creditsUsed: 7, isSecretSaved: true })
    await caller.keys.disable({ id })
    expect(await caller.keys.get({ id })).toMatchObject({ status: 'disabled', creditsUsed: 7 })
    await caller.keys.revoke({ id })
    expect(await caller.keys.get({ id })).toMatchObject({ status: 'revoked', creditsUsed: 7 })
  })
})

describe('keys.update', () => {
  it('changes the given fields and no others', async () => {
    const { caller } = await provisioned(database)
    const { id, secret: _, requestId: __, ...created } = await caller.keys.create({ name: 'first', keyType: 'prod' })
    expect(await caller.keys.update({ id, name: ' second ' })).toMatchObject({ ...created, name: 'second' })
    expect(await caller.keys.update({ id, creditLimit: Number.MAX_SAFE_INTEGER })).toMatchObject({
      ...created,
      name: 'second',
      creditLimit: Number.MAX_SAFE_INTEGER,
    })
    const expiresAt = new Date(Date.now() + 86_400_000).toISOString()
    expect(await caller.keys.update({ id, expiresAt })).toMatchObject({ name: 'second', expiresAt })
    expect(await caller.keys.update({ id, expiresAt: null, creditLimit: 0 })).toMatchObject({ expiresAt: null, creditLimit: 0 })
    expect(await caller.keys.update({ id })).toMatchObject({ name: 'second', creditLimit: 0 })
  })

  it('accepts an expiry with an offset and returns it in UTC', async () => {
    const { caller, defaultKey } = await provisioned(database)
    const { expiresAt } = await caller.keys.update({ id: defaultKey.id, expiresAt: '2090-06-01T02:00:00.5+02:00' })
    expect(expiresAt).toBe('2090-06-01T00:00:00.500Z')
  })

  it('can rename an expired key without a change of its expiry', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    await database.owner.query("update api_keys set expires_at = now() - interval '1 day' where user_id = $1", [userId])
    expect(await caller.keys.update({ id: defaultKey.id, name: 'old' })).toMatchObject({ name: 'old', status: 'expired' })
  })

  it.each([
    ['expiresAt', '2020-01-01T00:00:00Z'],
    ['expiresAt', 'tomorrow'],
    ['expiresAt', '2090-02-30T00:00:00Z'],
    ['expiresAt', 5],
    ['creditLimit', -1],
    ['creditLimit', 2 ** 53],
    ['creditLimit', 1.5],
    ['creditLimit', '5'],
    ['name', ''],
    ['name', 'x'.repeat(65)],
    ['name', 'a\u0000b'],
    ['keyType', 'prod'],
    ['userId', randomUUID()],
    ['revokedAt', null],
  ])('refuses %s = %j, names the field and changes nothing, like keys.create', async (field, value) => {
    const { caller, defaultKey } = await provisioned(database)
    const { id } = defaultKey
    const named = {
      code: 'BAD_REQUEST',
      message: expect.stringContaining(field === 'expiresAt' && String(value).startsWith('2020') ? 'future' : field),
    }
    await expect(caller.keys.update({ id, [field]: value })).rejects.toMatchObject(named)
    if (field !== 'keyType') await expect(caller.keys.create({ name: 'x', [field]: value })).rejects.toMatchObject(named)
    const { requestId: _, creditsUsed: __, ...after } = await caller.keys.get({ id })
    expect({ ...after, secret: defaultKey.secret }).toEqual(defaultKey)
    expect((await caller.keys.list()).data).toHaveLength(1)
  })

  it('refuses an expiry in the past and names the field', async () => {
    const { caller, defaultKey } = await provisioned(database)
    const update = caller.keys.update({ id: defaultKey.id, expiresAt: '2020-01-01T00:00:00Z' })
    await expect(update).rejects.toMatchObject({ reason: 'bad_request', issues: [{ field: 'expiresAt' }] })
  })
})

describe('keys.disable and keys.enable', () => {
  it('switch a key off and on, and a second keys.disable keeps the time of the first call', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { id, secret } = defaultKey
    const { disabledAt, status } = await caller.keys.disable({ id })
    expect(status).toBe('disabled')
    expect(await working(database, userId, secret)).toEqual([false])
    expect(await caller.keys.disable({ id })).toMatchObject({ disabledAt })
    expect(await caller.keys.enable({ id })).toMatchObject({ status: 'active', disabledAt: null })
    expect(await working(database, userId, secret)).toEqual([true])
  })
})

describe('keys.rotate', () => {
  it('gives the same key a new secret, and the previous secret works until its grace period ends', async () => {
    const clock = await replaceClock(database)
    onTestFinished(clock.remove)
    const now = new Date()
    await clock.set(now)
    const { userId, caller, defaultKey } = await provisioned(database)
    const { id } = defaultKey
    const limited = await caller.keys.update({ id, creditLimit: 500, name: 'mine' })
    await caller.keys.confirmSecretSaved({ id })
    const rotated = await caller.keys.rotate({ id, graceSeconds: 2 })
    expect(rotated).toMatchObject({ id, name: 'mine', creditLimit: 500, createdAt: limited.createdAt, isSecretSaved: false })
    expect(parseToken('km', rotated.secret)).toEqual({ keyType: 'dev', userId })
    expect(rotated.keyPrefix).toBe(rotated.secret.slice(0, 15))
    const graceEndsAt = new Date(now.getTime() + 2_000)
    expect(rotated.graceEndsAt).toBe(graceEndsAt.toISOString())
    await clock.set(new Date(graceEndsAt.getTime() - 1))
    expect(await working(database, userId, defaultKey.secret, rotated.secret)).toEqual([true, true])
    await clock.set(graceEndsAt)
    expect(await working(database, userId, defaultKey.secret, rotated.secret)).toEqual([false, true])
    expect(await caller.keys.get({ id })).toMatchObject({ graceEndsAt: null })
  })

  it('ends the previous secret immediately if the grace period is 0', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { secret, graceEndsAt } = await caller.keys.rotate({ id: defaultKey.id, graceSeconds: 0 })
    expect(await working(database, userId, defaultKey.secret, secret)).toEqual([false, true])
    expect(graceEndsAt).toBeNull()
  })

  it('keeps the grace periods of all previous secrets when it is called again, and shows the end of the last one', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { id } = defaultKey
    const second = await caller.keys.rotate({ id, graceSeconds: GRACE_SECONDS_MAX })
    expect(await working(database, userId, defaultKey.secret, second.secret)).toEqual([true, true])
    const third = await caller.keys.rotate({ id, graceSeconds: 3600 })
    expect(await working(database, userId, defaultKey.secret, second.secret, third.secret)).toEqual([true, true, true])
    expect(third.graceEndsAt).toBe(second.graceEndsAt)
    const fourth = await caller.keys.rotate({ id, graceSeconds: 0 })
    expect(await working(database, userId, defaultKey.secret, second.secret, third.secret, fourth.secret)).toEqual([
      true,
      true,
      false,
      true,
    ])
    expect(fourth.graceEndsAt).toBe(second.graceEndsAt)
    expect(await caller.keys.endGrace({ id })).toMatchObject({ graceEndsAt: null })
    expect(await working(database, userId, defaultKey.secret, second.secret, third.secret, fourth.secret)).toEqual([
      false,
      false,
      false,
      true,
    ])
  })

  it.each([-1, GRACE_SECONDS_MAX + 1, 0.5, Number.NaN])(
    'refuses a grace period of %d seconds and names the field',
    async (graceSeconds) => {
      const { userId, caller, defaultKey } = await provisioned(database)
      await expect(caller.keys.rotate({ id: defaultKey.id, graceSeconds })).rejects.toMatchObject({
        code: 'BAD_REQUEST',
        message: expect.stringContaining('graceSeconds'),
      })
      expect(await working(database, userId, defaultKey.secret)).toEqual([true])
    },
  )
})

describe('keys.endGrace', () => {
  it('ends the previous secret and keeps the current one', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { id } = defaultKey
    const { secret } = await caller.keys.rotate({ id, graceSeconds: 3600 })
    expect(await caller.keys.endGrace({ id })).toMatchObject({ graceEndsAt: null })
    expect(await working(database, userId, defaultKey.secret, secret)).toEqual([false, true])
    await caller.keys.endGrace({ id })
    expect(await working(database, userId, defaultKey.secret, secret)).toEqual([false, true])
  })
})

describe('lost secrets', () => {
  it('a new secret is shown as not saved until it is confirmed or used', async () => {
    const { caller, defaultKey } = await provisioned(database)
    const used = await caller.keys.create({ name: 'used' })
    const isSaved = async () => (await caller.keys.list({ sort: 'oldest' })).data.map(({ isSecretSaved }) => isSecretSaved)
    expect(await isSaved()).toEqual([false, false])
    expect(await caller.keys.confirmSecretSaved({ id: defaultKey.id })).toMatchObject({ isSecretSaved: true })
    expect(await isSaved()).toEqual([true, false])
    await charge(database, used.secret, 0)
    expect(await isSaved()).toEqual([true, true])
  })

  it('a lost secret is replaced immediately, but the previous secret, which can be in use, keeps its grace period', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { id } = defaultKey
    const lost = await caller.keys.rotate({ id, graceSeconds: 3600 })
    const replaced = await caller.keys.replaceLostSecret({ id, keyPrefix: lost.keyPrefix, idempotencyKey: 'lost' })
    expect(await working(database, userId, defaultKey.secret, lost.secret, replaced.secret)).toEqual([true, false, true])
    expect(replaced).toMatchObject({ id, graceEndsAt: lost.graceEndsAt, isSecretSaved: false })
  })

  it('a secret that was confirmed as saved is not lost, so it cannot be replaced', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { id } = defaultKey
    await caller.keys.confirmSecretSaved({ id, keyPrefix: defaultKey.keyPrefix })
    const replace = caller.keys.replaceLostSecret({ id, keyPrefix: defaultKey.keyPrefix, idempotencyKey: 'lost' })
    await expect(replace).rejects.toMatchObject({ code: 'CONFLICT', reason: 'secret_not_lost' })
    expect(await working(database, userId, defaultKey.secret)).toEqual([true])
  })

  it('a secret does not count as saved if only an older secret of the key was confirmed as saved', async () => {
    const { caller, defaultKey } = await provisioned(database)
    const { id } = defaultKey
    await caller.keys.rotate({ id })
    expect(await caller.keys.confirmSecretSaved({ id, keyPrefix: defaultKey.keyPrefix })).toMatchObject({
      isSecretSaved: false,
    })
  })
})

describe('a revoked key', () => {
  it('has no working secret, even in a grace period, and cannot be changed', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { id } = defaultKey
    const { secret } = await caller.keys.rotate({ id, graceSeconds: 3600 })
    expect(await caller.keys.revoke({ id })).toMatchObject({ status: 'revoked', graceEndsAt: null })
    expect(await working(database, userId, defaultKey.secret, secret)).toEqual([false, false])
    const { rotate, enable, disable, endGrace, update, confirmSecretSaved, replaceLostSecret } = caller.keys
    const replace = async () => await replaceLostSecret({ id, keyPrefix: defaultKey.keyPrefix, idempotencyKey: 'lost' })
    for (const change of [rotate, replace, enable, disable, endGrace, update, confirmSecretSaved]) {
      await expect(change({ id })).rejects.toMatchObject({ code: 'CONFLICT', reason: 'key_revoked' })
    }
    expect(await working(database, userId, defaultKey.secret, secret)).toEqual([false, false])
  })
})

describe('an account’s live keys', () => {
  it(`200 concurrent calls of keys.create make exactly ${KEYS_LIVE_MAX} live keys, and a revoked key makes room for another`, async () => {
    const { caller, defaultKey } = await provisioned(database)
    // On a busy machine, a call can wait for the lock of the account for too long. It is then repeated, as a client would do.
    const create = async (name: string): Promise<unknown> =>
      await caller.keys.create({ name }).catch(async (error: unknown) => {
        if (error instanceof AppError && error.reason === 'database_unavailable') return await create(name)
        throw error
      })
    const creates = await Promise.allSettled(Array.from({ length: 200 }, async (_, i) => await create(`key ${i}`)))
    expect(creates.filter(({ status }) => status === 'fulfilled')).toHaveLength(KEYS_LIVE_MAX - 1)
    for (const answer of creates) {
      if (answer.status === 'rejected') expect(answer.reason).toMatchObject({ code: 'CONFLICT', reason: 'key_limit_reached' })
    }
    expect((await caller.keys.list()).data).toHaveLength(KEYS_LIVE_MAX)
    await caller.keys.revoke({ id: defaultKey.id })
    await caller.keys.create({ name: 'one more' })
    await expect(caller.keys.create({ name: 'one too many' })).rejects.toMatchObject({ reason: 'key_limit_reached' })
  })
})

describe('concurrent changes of one key', () => {
  it('concurrent changes leave a key with one working current secret, or with no working secret if the key is revoked', async () => {
    for (let round = 0; round < 15; round++) {
      const { userId, caller, defaultKey } = await provisioned(database)
      const { id } = defaultKey
      const isRevoking = round % 2 === 0
      const answers = await Promise.allSettled([
        ...Array.from({ length: 5 }, async (_, i) => await caller.keys.rotate({ id, graceSeconds: i * 60 })),
        caller.keys.endGrace({ id }),
        caller.keys.disable({ id }),
        caller.keys.enable({ id }),
        caller.keys.replaceLostSecret({ id, keyPrefix: defaultKey.keyPrefix, idempotencyKey: 'lost' }),
        caller.keys.update({ id, name: `round ${round}` }),
        ...(isRevoking ? [caller.keys.revoke({ id })] : []),
      ])
      for (const answer of answers) {
        if (answer.status === 'rejected')
          expect(answer.reason.reason).toMatch(isRevoking ? /^(key_revoked|secret_not_lost)$/ : /^secret_not_lost$/)
      }
      const { rows } = await database.owner.query(
        'select count(*) filter (where valid_until is null)::int as current, count(*) filter (where valid_until > now())::int as grace from api_key_secrets where user_id = $1',
        [userId],
      )
      expect(rows[0].current).toBe(1)
      // One of the five rotations has no grace period, and a replaced secret has none either.
      expect(rows[0].grace).toBeLessThanOrEqual(4)
      const secrets = answers.flatMap((answer) =>
        answer.status === 'fulfilled' && 'secret' in answer.value ? [answer.value.secret] : [],
      )
      const { status, keyPrefix } = await caller.keys.get({ id })
      if (isRevoking) {
        expect(status).toBe('revoked')
        expect(await working(database, userId, defaultKey.secret, ...secrets)).not.toContain(true)
      } else {
        await caller.keys.enable({ id })
        const current = secrets.find((secret) => secret.startsWith(keyPrefix))
        expect(await working(database, userId, current ?? '')).toEqual([true])
      }
      const { data } = await caller.audit.list()
      expect(data.filter(({ action }) => action === 'key.rotated' || action === 'key.secret_replaced')).toHaveLength(
        secrets.length,
      )
    }
  })
})

describe('a change of one key', () => {
  it('does not change the other keys of the account', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const other = await caller.keys.create({ name: 'other' })
    const otherRotated = await caller.keys.rotate({ id: other.id, graceSeconds: 3600 })
    const { requestId: _, ...before } = await caller.keys.get({ id: other.id })
    const { id } = defaultKey
    await caller.keys.rotate({ id, graceSeconds: 3600 })
    await caller.keys.rotate({ id, graceSeconds: 0 })
    await caller.keys.endGrace({ id })
    const { keyPrefix } = await caller.keys.rotate({ id, graceSeconds: 60 })
    await caller.keys.replaceLostSecret({ id, keyPrefix, idempotencyKey: randomUUID() })
    await caller.keys.confirmSecretSaved({ id })
    await caller.keys.update({ id, name: 'renamed', creditLimit: 1 })
    await caller.keys.disable({ id })
    await caller.keys.revoke({ id })
    expect(await caller.keys.get({ id: other.id })).toMatchObject(before)
    expect(await working(database, userId, other.secret, otherRotated.secret)).toEqual([true, true])
  })

  it('does not change the previous secrets of the key: only the current secret can be lost or confirmed', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { id } = defaultKey
    const { keyPrefix } = await caller.keys.rotate({ id, graceSeconds: 3600 })
    await caller.keys.confirmSecretSaved({ id, keyPrefix })
    // The previous secret was never confirmed as saved, but the current secret was. So the current secret is not lost, and
    // nothing can be replaced.
    expect(await caller.keys.get({ id })).toMatchObject({ isSecretSaved: true })
    await expect(caller.keys.replaceLostSecret({ id, keyPrefix, idempotencyKey: randomUUID() })).rejects.toMatchObject({
      reason: 'secret_not_lost',
    })
    const { rows } = await database.owner.query(
      'select valid_until is null as current, saved_at is not null as saved from api_key_secrets where user_id = $1 order by 1',
      [userId],
    )
    expect(rows).toEqual([
      { current: false, saved: false },
      { current: true, saved: true },
    ])
  })

  it('two concurrent replacements of a lost secret return one working secret and one refusal', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { id, keyPrefix } = defaultKey
    const answers = await Promise.allSettled(
      [1, 2].map(async () => await caller.keys.replaceLostSecret({ id, keyPrefix, idempotencyKey: randomUUID() })),
    )
    const [won] = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value.secret] : []))
    expect(answers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(await working(database, userId, won ?? '')).toEqual([true])
  })
})

describe('the time of a change', () => {
  const START = new Date('2027-03-01T00:00:00.000Z')

  it('decides to the millisecond whether a key has expired or a grace period has ended', async () => {
    const clock = await replaceClock(database)
    await clock.set(START)
    const { userId, caller, defaultKey } = await provisioned(database)
    const { id } = defaultKey
    const at = (ms: number) => new Date(START.getTime() + ms).toISOString()
    await expect(caller.keys.update({ id, expiresAt: at(0) })).rejects.toMatchObject({ issues: [{ field: 'expiresAt' }] })
    await expect(caller.keys.create({ name: 'x', expiresAt: at(0) })).rejects.toMatchObject({
      issues: [{ field: 'expiresAt' }],
    })
    await expect(caller.keys.create({ name: 'x', expiresAt: '9999-12-31T23:59:59-00:01' })).rejects.toMatchObject({
      issues: [{ field: 'expiresAt' }],
    })
    expect(await caller.keys.update({ id, expiresAt: at(1) })).toMatchObject({ expiresAt: at(1), status: 'active' })
    expect(await caller.keys.create({ name: 'x', expiresAt: '9999-12-31T23:59:59Z' })).toMatchObject({ createdAt: at(0) })
    await clock.set(new Date(at(1)))
    expect(await caller.keys.get({ id })).toMatchObject({ status: 'expired' })
    expect((await caller.keys.list({ status: 'expired' })).data).toHaveLength(1)

    await caller.keys.update({ id, expiresAt: null })
    expect(await caller.keys.rotate({ id, graceSeconds: 100 })).toMatchObject({ graceEndsAt: at(100_001) })
    expect(await caller.keys.rotate({ id, graceSeconds: GRACE_SECONDS_MAX })).toMatchObject({ graceEndsAt: at(604_800_001) })
    await clock.set(new Date(at(5_000)))
    await caller.keys.endGrace({ id })
    await caller.keys.rotate({ id, graceSeconds: 1 })
    await clock.set(new Date(at(6_000)))
    expect(await caller.keys.get({ id })).toMatchObject({ graceEndsAt: null })
    await caller.keys.rotate({ id, graceSeconds: 0 })
    // A rotation does not change `valid_until` of a secret whose grace period has already ended.
    const ends = await database.owner.query(
      'select valid_until from api_key_secrets where user_id = $1 and api_key_id = $2 order by created_at, valid_until',
      [userId, id],
    )
    expect(ends.rows.map(({ valid_until }) => valid_until?.toISOString() ?? null)).toEqual([
      at(5_000),
      at(5_000),
      at(6_000),
      at(6_000),
      null,
    ])
  })

  it('the time of a change is read after the account is locked, and not when the call starts', async () => {
    const clock = await replaceClock(database)
    await clock.set(START)
    const { userId, caller, defaultKey } = await provisioned(database)
    const blocker = await database.owner.connect()
    await blocker.query('begin')
    await blocker.query('select 1 from billing_accounts where user_id = $1 for no key update', [userId])
    const waiting = [caller.keys.create({ name: 'x' }), caller.keys.disable({ id: defaultKey.id })] as const
    const blocked = async () =>
      (
        await database.owner.query(
          'select count(distinct pid)::int as n from pg_locks join pg_stat_activity using (pid) where not granted and datname = current_database()',
        )
      ).rows[0].n
    await expect.poll(blocked).toBe(2)
    const later = new Date(START.getTime() + 5_000)
    await clock.set(later)
    await blocker.query('commit')
    blocker.release()
    const [created, disabled] = await Promise.all(waiting)
    expect([created.createdAt, disabled.disabledAt]).toEqual([later.toISOString(), later.toISOString()])
  })
})

describe('the deletion of a user', () => {
  it('each call of a user who is being deleted succeeds or fails with a documented reason, never with an internal error', async () => {
    for (let round = 0; round < 20; round++) {
      const { userId, caller, defaultKey } = await provisioned(database)
      const { id } = defaultKey
      const answers = await Promise.allSettled([
        caller.keys.create({ name: 'x' }),
        caller.keys.rotate({ id }),
        database.owner.query('delete from auth.users where id = $1', [userId]),
        caller.keys.create({ name: 'y' }),
        caller.keys.disable({ id }),
        caller.auth.provision(),
      ])
      for (const [i, answer] of answers.entries()) {
        if (answer.status === 'rejected' && i !== 2)
          expect(answer.reason.reason).toMatch(/^(not_signed_in|not_a_member|key_not_found|database_unavailable)$/)
      }
      // The account has no owner any more.
      await database.owner.query('delete from billing_accounts where user_id = $1', [userId])
    }
  })
})

describe('a whole secret', () => {
  it('a whole secret is refused as a name of a key and as a search text, because these texts are stored or shown', async () => {
    const { caller, defaultKey } = await provisioned(database)
    const refused = (field: string) => ({ code: 'BAD_REQUEST', message: expect.stringContaining(field) })
    await expect(caller.keys.create({ name: defaultKey.secret })).rejects.toMatchObject(refused('name'))
    await expect(caller.keys.list({ search: defaultKey.secret })).rejects.toMatchObject(refused('search'))
  })
})
