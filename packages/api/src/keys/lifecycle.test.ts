import { randomUUID } from 'node:crypto'
import { GRACE_SECONDS_MAX, KEYS_LIVE_MAX } from '@keymeter/contract'
import { testDatabase } from '@keymeter/local/testing'
import { describe, expect, it } from 'vitest'
import { charge, provisioned } from '../../test/caller.ts'
import { hashToken, parseToken } from './token.ts'

const database = testDatabase()

/** Which of these secrets work at this moment: the rule that every charge goes by. */
async function working(userId: string, ...secrets: string[]): Promise<boolean[]> {
  const works = async (secret: string) => {
    const { rows } = await database.owner.query(
      `select 1 from api_key_secrets secrets join api_keys keys on keys.user_id = secrets.user_id and keys.id = secrets.api_key_id
        where secrets.user_id = $1 and secrets.key_hash = $2 and revoked_at is null and disabled_at is null
          and (valid_until is null or valid_until > clock_timestamp()) and (expires_at is null or expires_at > clock_timestamp())`,
      [userId, hashToken(secret)],
    )
    return rows.length === 1
  }
  return await Promise.all(secrets.map(works))
}

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
  it('changes what it names and leaves the rest', async () => {
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

  it('takes an expiry with an offset, and shows it in UTC', async () => {
    const { caller, defaultKey } = await provisioned(database)
    const { expiresAt } = await caller.keys.update({ id: defaultKey.id, expiresAt: '2090-06-01T02:00:00.5+02:00' })
    expect(expiresAt).toBe('2090-06-01T00:00:00.500Z')
  })

  it('renames a key that has expired, without asking for a new expiry', async () => {
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
  ])('refuses %s = %j, names the field, and changes nothing; so does keys.create', async (field, value) => {
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

  it('names the field of an expiry that has passed', async () => {
    const { caller, defaultKey } = await provisioned(database)
    const update = caller.keys.update({ id: defaultKey.id, expiresAt: '2020-01-01T00:00:00Z' })
    await expect(update).rejects.toMatchObject({ reason: 'bad_request', issues: [{ field: 'expiresAt' }] })
  })
})

describe('keys.disable and keys.enable', () => {
  it('switch a key off and on, and keep the moment of the first time', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { id, secret } = defaultKey
    const { disabledAt, status } = await caller.keys.disable({ id })
    expect(status).toBe('disabled')
    expect(await working(userId, secret)).toEqual([false])
    expect(await caller.keys.disable({ id })).toMatchObject({ disabledAt })
    expect(await caller.keys.enable({ id })).toMatchObject({ status: 'active', disabledAt: null })
    expect(await working(userId, secret)).toEqual([true])
  })
})

describe('keys.rotate', () => {
  it('gives the same key another secret; the one before works until its grace period ends', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { id } = defaultKey
    const limited = await caller.keys.update({ id, creditLimit: 500, name: 'mine' })
    await caller.keys.confirmSecretSaved({ id })
    const rotated = await caller.keys.rotate({ id, graceSeconds: 2 })
    expect(rotated).toMatchObject({ id, name: 'mine', creditLimit: 500, createdAt: limited.createdAt, isSecretSaved: false })
    expect(parseToken('km', rotated.secret)).toEqual({ keyType: 'dev', userId })
    expect(rotated.keyPrefix).toBe(rotated.secret.slice(0, 15))
    expect(await working(userId, defaultKey.secret, rotated.secret)).toEqual([true, true])
    expect(Date.parse(rotated.graceEndsAt ?? '') - Date.now()).toBeLessThanOrEqual(2_000)
    await expect
      .poll(async () => await working(userId, defaultKey.secret, rotated.secret), { timeout: 5_000 })
      .toEqual([false, true])
    expect(await caller.keys.get({ id })).toMatchObject({ graceEndsAt: null })
  })

  it('with a grace period of 0 ends the one before at once', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { secret, graceEndsAt } = await caller.keys.rotate({ id: defaultKey.id, graceSeconds: 0 })
    expect(await working(userId, defaultKey.secret, secret)).toEqual([false, true])
    expect(graceEndsAt).toBeNull()
  })

  it('again, ends the oldest at once', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { id } = defaultKey
    const second = await caller.keys.rotate({ id, graceSeconds: GRACE_SECONDS_MAX })
    expect(await working(userId, defaultKey.secret, second.secret)).toEqual([true, true])
    const third = await caller.keys.rotate({ id, graceSeconds: 3600 })
    expect(await working(userId, defaultKey.secret, second.secret, third.secret)).toEqual([false, true, true])
  })

  it.each([-1, GRACE_SECONDS_MAX + 1, 0.5, Number.NaN])(
    'refuses a grace period of %d seconds and names the field',
    async (graceSeconds) => {
      const { userId, caller, defaultKey } = await provisioned(database)
      await expect(caller.keys.rotate({ id: defaultKey.id, graceSeconds })).rejects.toMatchObject({
        code: 'BAD_REQUEST',
        message: expect.stringContaining('graceSeconds'),
      })
      expect(await working(userId, defaultKey.secret)).toEqual([true])
    },
  )

  it('takes over the secret of a key that the release before made meanwhile', async () => {
    const { userId, caller } = await provisioned(database)
    const { rows } = await database.owner.query(
      "insert into api_keys (user_id, name, key_prefix, key_hash) values ($1, 'old', 'km_dev_x', $2) returning id",
      [userId, hashToken('its secret')],
    )
    const { id } = rows[0]
    expect(await caller.keys.get({ id })).toMatchObject({ isSecretSaved: true })
    const { secret } = await caller.keys.rotate({ id, graceSeconds: 60 })
    expect(await working(userId, 'its secret', secret)).toEqual([true, true])
    await caller.keys.rotate({ id, graceSeconds: 0 })
    expect(await working(userId, 'its secret', secret)).toEqual([false, false])
  })
})

describe('keys.endGrace', () => {
  it('ends the older secret now, and leaves the current one', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { id } = defaultKey
    const { secret } = await caller.keys.rotate({ id, graceSeconds: 3600 })
    expect(await caller.keys.endGrace({ id })).toMatchObject({ graceEndsAt: null })
    expect(await working(userId, defaultKey.secret, secret)).toEqual([false, true])
    await caller.keys.endGrace({ id })
    expect(await working(userId, defaultKey.secret, secret)).toEqual([false, true])
  })
})

describe('a lost secret', () => {
  it('is known as such until it is confirmed or used', async () => {
    const { caller, defaultKey } = await provisioned(database)
    const used = await caller.keys.create({ name: 'used' })
    const isSaved = async () => (await caller.keys.list({ sort: 'oldest' })).data.map(({ isSecretSaved }) => isSecretSaved)
    expect(await isSaved()).toEqual([false, false])
    expect(await caller.keys.confirmSecretSaved({ id: defaultKey.id })).toMatchObject({ isSecretSaved: true })
    expect(await isSaved()).toEqual([true, false])
    await charge(database, used.secret, 0)
    expect(await isSaved()).toEqual([true, true])
  })

  it('is replaced at once; the secret before it, which may be in use, keeps its grace period', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { id } = defaultKey
    const lost = await caller.keys.rotate({ id, graceSeconds: 3600 })
    const replaced = await caller.keys.replaceLostSecret({ id })
    expect(await working(userId, defaultKey.secret, lost.secret, replaced.secret)).toEqual([true, false, true])
    expect(replaced).toMatchObject({ id, graceEndsAt: lost.graceEndsAt, isSecretSaved: false })
  })

  it('is not replaced when it was saved after all', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { id } = defaultKey
    await caller.keys.confirmSecretSaved({ id, keyPrefix: defaultKey.keyPrefix })
    await expect(caller.keys.replaceLostSecret({ id })).rejects.toMatchObject({ code: 'CONFLICT', reason: 'secret_saved' })
    expect(await working(userId, defaultKey.secret)).toEqual([true])
  })

  it('is not taken for saved because an older one was', async () => {
    const { caller, defaultKey } = await provisioned(database)
    const { id } = defaultKey
    await caller.keys.rotate({ id })
    expect(await caller.keys.confirmSecretSaved({ id, keyPrefix: defaultKey.keyPrefix })).toMatchObject({
      isSecretSaved: false,
    })
  })
})

describe('a revoked key', () => {
  it('has no secret that works, not in a grace period either, and takes no change', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { id } = defaultKey
    const { secret } = await caller.keys.rotate({ id, graceSeconds: 3600 })
    expect(await caller.keys.revoke({ id })).toMatchObject({ status: 'revoked', graceEndsAt: null })
    expect(await working(userId, defaultKey.secret, secret)).toEqual([false, false])
    const { rotate, replaceLostSecret, enable, disable, endGrace, update, confirmSecretSaved } = caller.keys
    for (const change of [rotate, replaceLostSecret, enable, disable, endGrace, update, confirmSecretSaved]) {
      await expect(change({ id })).rejects.toMatchObject({ code: 'CONFLICT', reason: 'key_revoked' })
    }
    expect(await working(userId, defaultKey.secret, secret)).toEqual([false, false])
  })
})

describe('an account’s live keys', () => {
  it(`are at most ${KEYS_LIVE_MAX}, exactly, of 200 creates at once; one revoked makes room for one`, async () => {
    const { caller, defaultKey } = await provisioned(database)
    const creates = await Promise.allSettled(
      Array.from({ length: 200 }, async (_, i) => await caller.keys.create({ name: `key ${i}` })),
    )
    expect(creates.filter(({ status }) => status === 'fulfilled')).toHaveLength(KEYS_LIVE_MAX - 1)
    for (const create of creates) {
      if (create.status === 'rejected') expect(create.reason).toMatchObject({ code: 'CONFLICT', reason: 'key_limit_reached' })
    }
    expect((await caller.keys.list()).data).toHaveLength(KEYS_LIVE_MAX)
    await caller.keys.revoke({ id: defaultKey.id })
    await caller.keys.create({ name: 'one more' })
    await expect(caller.keys.create({ name: 'one too many' })).rejects.toMatchObject({ reason: 'key_limit_reached' })
  })
})

describe('changes of one key at once', () => {
  it('happen one after the other: of any mix, one current secret remains, or none works', async () => {
    for (let round = 0; round < 15; round++) {
      const { userId, caller, defaultKey } = await provisioned(database)
      const { id } = defaultKey
      const isRevoking = round % 2 === 0
      const answers = await Promise.allSettled([
        ...Array.from({ length: 5 }, async (_, i) => await caller.keys.rotate({ id, graceSeconds: i * 60 })),
        caller.keys.endGrace({ id }),
        caller.keys.disable({ id }),
        caller.keys.enable({ id }),
        caller.keys.replaceLostSecret({ id }),
        caller.keys.update({ id, name: `round ${round}` }),
        ...(isRevoking ? [caller.keys.revoke({ id })] : []),
      ])
      for (const answer of answers) {
        if (answer.status === 'rejected') expect(answer.reason).toMatchObject({ reason: 'key_revoked' })
      }
      const { rows } = await database.owner.query(
        'select count(*) filter (where valid_until is null)::int as current, count(*) filter (where valid_until > now())::int as grace from api_key_secrets where user_id = $1',
        [userId],
      )
      expect(rows[0].current).toBe(1)
      expect(rows[0].grace).toBeLessThanOrEqual(1)
      const secrets = answers.flatMap((answer) =>
        answer.status === 'fulfilled' && 'secret' in answer.value ? [answer.value.secret] : [],
      )
      const { status, keyPrefix } = await caller.keys.get({ id })
      if (isRevoking) {
        expect(status).toBe('revoked')
        expect(await working(userId, defaultKey.secret, ...secrets)).not.toContain(true)
      } else {
        await caller.keys.enable({ id })
        const current = secrets.find((secret) => secret.startsWith(keyPrefix))
        expect(await working(userId, current ?? '')).toEqual([true])
      }
      const { data } = await caller.audit.list()
      expect(data.filter(({ action }) => action === 'key.rotated' || action === 'key.secret_replaced')).toHaveLength(
        secrets.length,
      )
    }
  })
})
