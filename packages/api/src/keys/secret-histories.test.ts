import { GRACE_SECONDS_DEFAULT, type NewKey, type Reason, SECRETS_WORKING_MAX } from '@keymeter/contract'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { charge, provisioned } from '../../test/caller.ts'
import { replaceClock, type TestClock } from '../../test/clock.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { working } from '../../test/working-secrets.ts'

const database = reconciledDatabase()
const START = Date.parse('2027-03-01T00:00:00.000Z')
let clock: TestClock
beforeAll(async () => {
  clock = await replaceClock(database)
})
afterAll(async () => await clock.remove())

type Caller = Awaited<ReturnType<typeof provisioned>>['caller']

/** A key as the model knows it. All times are milliseconds. The last secret is the current one, and its `end` is infinite. */
interface ModelKey {
  id: string
  expiresAt: number
  isRevoked: boolean
  isDisabled: boolean
  secrets: { secret: string; keyPrefix: string; end: number; isSaved: boolean }[]
  /** The call that created the current secret, if it can be repeated. */
  currentCall: ModelCall | null
}

/** A call that created a secret with an idempotency key. */
interface ModelCall {
  key: ModelKey
  repeat: () => Promise<NewKey>
}

interface Model {
  caller: Caller
  now: number
  keys: ModelKey[]
  calls: ModelCall[]
  idempotencyKeys: number
}

/** A step of a history. Numbers choose one of the keys or calls that exist. */
type Step =
  | { type: 'create'; isRepeatable: boolean; ttlSeconds: number | null }
  | {
      type: 'rotate'
      key: number
      graceSeconds: number
      isRepeatable: boolean
      namesSecret: boolean
      ttlSeconds: number | null
    }
  | { type: 'repeat'; call: number }
  | { type: 'replace'; key: number }
  | { type: 'expire'; key: number; ttlSeconds: number | null }
  | { type: 'endGrace' | 'confirm' | 'toggle' | 'revoke'; key: number }
  | { type: 'wait'; seconds: number }

const index = fc.nat({ max: 100 })
const ttlSeconds = fc.option(fc.constantFrom(1, 60, 3_600, 200_000))
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ type: fc.constant('create' as const), isRepeatable: fc.boolean(), ttlSeconds }) },
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('rotate' as const),
      key: index,
      graceSeconds: fc.constantFrom(0, 1, 60, 3_600, 86_400, 604_800),
      isRepeatable: fc.boolean(),
      namesSecret: fc.boolean(),
      ttlSeconds: fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, ttlSeconds),
    }),
  },
  { weight: 6, arbitrary: fc.record({ type: fc.constant('repeat' as const), call: index }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('replace' as const), key: index }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('expire' as const), key: index, ttlSeconds }) },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constantFrom('endGrace' as const, 'confirm', 'toggle', 'revoke'), key: index }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('wait' as const), seconds: fc.constantFrom(1, 59, 3_599, 50_000) }) },
)

/** Returns the reason for which a call is refused, or its answer. */
async function answerOf(call: Promise<NewKey>): Promise<NewKey | { reason: Reason }> {
  return await call.catch((error: unknown) => {
    if (error instanceof Error && 'reason' in error) return { reason: error.reason as Reason }
    throw error
  })
}

/**
 * Adds a new secret to the model, or returns the reason why the key gets none. `end` is the end of the secret that is replaced.
 */
async function expectNewSecret(model: Model, key: ModelKey, end: number, refusal: Reason | null, call: Promise<NewKey>) {
  const current = key.secrets.at(-1)
  if (current === undefined) throw new Error('every key of the model has a secret')
  const previous = key.secrets.slice(0, -1).filter((secret) => secret.end > model.now).length + (end > model.now ? 1 : 0)
  const expected = refusal ?? (previous >= SECRETS_WORKING_MAX ? 'too_many_secrets' : null)
  const answer = await answerOf(call)
  expect('reason' in answer ? answer.reason : null).toBe(expected)
  if ('reason' in answer) return false
  expect(answer.id).toBe(key.id)
  current.end = end
  key.secrets.push({ secret: answer.secret, keyPrefix: answer.keyPrefix, end: Number.POSITIVE_INFINITY, isSaved: false })
  expect(answer.graceEndsAt).toBe(graceEndOf(model, key))
  return true
}

/** Adds a call that created the current secret of the key, and that a later step can repeat. */
function noteCall({ calls }: Model, key: ModelKey, repeat: ModelCall['repeat']): void {
  key.currentCall = { key, repeat }
  calls.push(key.currentCall)
}

function graceEndOf({ now }: Model, key: ModelKey): string | null {
  const ends = key.secrets.slice(0, -1).map(({ end }) => Math.min(end, key.expiresAt))
  const last = Math.max(now, ...ends)
  return last > now ? new Date(last).toISOString() : null
}

const expiryOf = (model: Model, seconds: number | null) =>
  seconds === null ? null : new Date(model.now + seconds * 1000).toISOString()
const timeOf = (expiresAt: string | null) => (expiresAt === null ? Number.POSITIVE_INFINITY : Date.parse(expiresAt))

/** Makes the call of a step, and checks its answer with the model. */
async function perform(model: Model, one: Step): Promise<void> {
  const { caller, keys, calls } = model
  const idempotencyKey = `call-${model.idempotencyKeys++}`
  if (one.type === 'wait') {
    model.now += one.seconds * 1000
    await clock.set(new Date(model.now))
    return
  }
  if (one.type === 'create') {
    const request = {
      name: 'x',
      expiresAt: expiryOf(model, one.ttlSeconds),
      idempotencyKey: one.isRepeatable ? idempotencyKey : null,
    }
    const { id, secret, keyPrefix, expiresAt } = await caller.keys.create(request)
    const secrets = [{ secret, keyPrefix, end: Number.POSITIVE_INFINITY, isSaved: false }]
    const key: ModelKey = { id, expiresAt: timeOf(expiresAt), isRevoked: false, isDisabled: false, secrets, currentCall: null }
    keys.push(key)
    if (one.isRepeatable) noteCall(model, key, async () => await caller.keys.create(request))
    return
  }
  if (one.type === 'repeat') {
    const call = calls[one.call % calls.length]
    if (call === undefined) return
    const refusal = call.key.isRevoked
      ? 'key_revoked'
      : call.key.currentCall !== call
        ? 'secret_changed'
        : call.key.expiresAt <= model.now
          ? 'key_expired'
          : null
    await expectNewSecret(model, call.key, model.now + GRACE_SECONDS_DEFAULT * 1000, refusal, call.repeat())
    return
  }
  const key = keys[one.key % keys.length]
  const current = key?.secrets.at(-1)
  if (key === undefined || current === undefined) return
  const { id } = key
  const isExpired = key.expiresAt <= model.now
  switch (one.type) {
    case 'rotate': {
      const { keyPrefix } = key.secrets[one.key % key.secrets.length] ?? current
      const request = {
        id,
        graceSeconds: one.graceSeconds,
        ...(one.ttlSeconds === null ? {} : { expiresAt: expiryOf(model, one.ttlSeconds) }),
        ...(one.namesSecret ? { keyPrefix } : {}),
        idempotencyKey: one.isRepeatable ? idempotencyKey : null,
      }
      const refusal = key.isRevoked
        ? 'key_revoked'
        : one.namesSecret && keyPrefix !== current.keyPrefix
          ? 'secret_changed'
          : isExpired && one.ttlSeconds === null
            ? 'bad_request'
            : null
      const before = { expiresAt: key.expiresAt, ends: key.secrets.map(({ end }) => end) }
      if (refusal === null) {
        if (isExpired) for (const secret of key.secrets.slice(0, -1)) secret.end = Math.min(secret.end, model.now)
        if (one.ttlSeconds !== null) key.expiresAt = model.now + one.ttlSeconds * 1000
      }
      const end = model.now + (isExpired ? 0 : one.graceSeconds * 1000)
      if (await expectNewSecret(model, key, end, refusal, caller.keys.rotate(request))) {
        key.currentCall = null
        if (one.isRepeatable) noteCall(model, key, async () => await caller.keys.rotate(request))
      } else {
        key.expiresAt = before.expiresAt
        for (const [n, secret] of key.secrets.entries()) secret.end = before.ends[n] ?? 0
      }
      return
    }
    case 'replace': {
      const request = { id, keyPrefix: current.keyPrefix, idempotencyKey }
      const refusal = key.isRevoked ? 'key_revoked' : current.isSaved ? 'secret_not_lost' : isExpired ? 'key_expired' : null
      if (await expectNewSecret(model, key, model.now, refusal, caller.keys.replaceLostSecret(request)))
        noteCall(model, key, async () => await caller.keys.replaceLostSecret(request))
      return
    }
    case 'expire':
      if (key.isRevoked) return
      key.expiresAt = timeOf(expiryOf(model, one.ttlSeconds))
      expect(await caller.keys.update({ id, expiresAt: expiryOf(model, one.ttlSeconds) })).toMatchObject({
        graceEndsAt: graceEndOf(model, key),
      })
      return
    case 'endGrace':
      if (key.isRevoked) return
      await caller.keys.endGrace({ id })
      for (const secret of key.secrets.slice(0, -1)) secret.end = Math.min(secret.end, model.now)
      return
    case 'confirm':
      if (key.isRevoked) return
      await caller.keys.confirmSecretSaved({ id })
      current.isSaved = true
      return
    case 'toggle':
      if (key.isRevoked) return
      await (key.isDisabled ? caller.keys.enable : caller.keys.disable)({ id })
      key.isDisabled = !key.isDisabled
      return
    case 'revoke':
      // Revoke few keys, so that most histories continue.
      if (one.key % 4 !== 0) return
      await caller.keys.revoke({ id })
      key.isRevoked = true
  }
}

/** The steps that may end a working secret, because their names or their inputs say so. */
function mayEnd(one: Step): boolean {
  if (one.type === 'rotate') return one.graceSeconds === 0 || one.ttlSeconds !== null
  return ['wait', 'replace', 'expire', 'endGrace', 'toggle', 'revoke'].includes(one.type)
}

/** A history that reaches the maximum number of working secrets of a key. */
const LONG_HISTORY: Step[] = Array.from({ length: SECRETS_WORKING_MAX + 1 }, () => ({
  type: 'rotate',
  key: 0,
  graceSeconds: 60,
  isRepeatable: true,
  namesSecret: false,
  ttlSeconds: null,
}))

describe('any history of calls that create and end secrets', () => {
  it('leaves exactly the secrets working that the calls promised, and no other call ends a working secret', async () => {
    let secretsWorkingMax = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (history) => {
        await clock.set(new Date(START))
        const { userId, caller, defaultKey } = await provisioned(database)
        const { id, secret, keyPrefix } = defaultKey
        const first = { secret, keyPrefix, end: Number.POSITIVE_INFINITY, isSaved: false }
        const key = {
          id,
          expiresAt: Number.POSITIVE_INFINITY,
          isRevoked: false,
          isDisabled: false,
          secrets: [first],
          currentCall: null,
        }
        const model: Model = { caller, now: START, keys: [key], calls: [], idempotencyKeys: 0 }
        let before: string[] = []
        for (const one of history) {
          await perform(model, one)
          const all = model.keys.flatMap((key) => key.secrets.map((secret) => ({ key, ...secret })))
          const works = await working(database, userId, ...all.map(({ secret }) => secret))
          expect(works).toEqual(
            all.map(({ key, end }) => !key.isRevoked && !key.isDisabled && end > model.now && key.expiresAt > model.now),
          )
          const now = all.flatMap(({ secret }, n) => (works[n] === true ? [secret] : []))
          if (!mayEnd(one)) expect(now).toEqual(expect.arrayContaining(before))
          before = now
          for (const key of model.keys) {
            const count = key.secrets.filter(({ end }) => end > model.now).length
            secretsWorkingMax = Math.max(secretsWorkingMax, count)
          }
        }
        for (const { secrets, isRevoked, isDisabled, expiresAt } of model.keys) {
          for (const { secret, end } of secrets) {
            const verdict = isRevoked
              ? 'revoked'
              : isDisabled
                ? 'disabled'
                : Math.min(end, expiresAt) <= model.now
                  ? 'expired'
                  : 'charged'
            expect(await charge(database, secret, 1)).toMatchObject({ verdict })
          }
        }
        const { data } = await caller.keys.list({ status: 'all' })
        expect(data.map((listed) => listed.id).sort()).toEqual(model.keys.map((key) => key.id).sort())
      }),
      { numRuns: 40, examples: [[LONG_HISTORY]] },
    )
    expect(secretsWorkingMax).toBe(SECRETS_WORKING_MAX)
  })
})
