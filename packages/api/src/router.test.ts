import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import {
  ChargeVerdict,
  HoldVerdict,
  type KeyWithUsage,
  Reason,
  RefundVerdict,
  ReleaseVerdict,
  SettleVerdict,
} from '@keymeter/contract'
import { testDatabase } from '@keymeter/local/testing'
import type { AnyTRPCProcedure } from '@trpc/server'
import { callTRPCProcedure } from '@trpc/server'
import { beforeAll, describe, expect, expectTypeOf, it } from 'vitest'
import { accessToken, contextOf, provisioned } from '../test/caller.ts'
import type { ErrorData, RouterOutputs } from './index.ts'
import { encodeEventId } from './metering/event-id.ts'
import { appRouter } from './router.ts'

const database = testDatabase()
const procedures = Object.entries(appRouter._def.procedures as unknown as Record<string, AnyTRPCProcedure>)
const PUBLIC = ['auth.signup']
const FOR_THE_BACKEND = [
  'metering.charge',
  'metering.hold',
  'metering.settle',
  'metering.release',
  'metering.refund',
  'operator.grantTopUp',
  'operator.changePlan',
  'operator.suspend',
  'operator.resume',
]

interface InputSchema {
  def: { catchall?: { type: string }; innerType?: InputSchema }
  shape?: Record<string, unknown>
}
/** The objects that a procedure takes, behind the defaults that may stand around them. */
function inputsOf(procedure: AnyTRPCProcedure): InputSchema[] {
  const { inputs } = procedure._def as unknown as { inputs: InputSchema[] }
  return inputs.map((input) => input.def.innerType ?? input)
}

/** What a procedure puts out, or, of a stream, each of its events. */
function outputOf(procedure: AnyTRPCProcedure): InputSchema | undefined {
  type Output = { def: { left?: InputSchema }; meta(): { event?: InputSchema } | undefined } & InputSchema
  const { output } = procedure._def as unknown as { output?: Output }
  return output?.meta()?.event ?? output?.def.left ?? output
}

/** Of a stream, its first event. */
async function call(path: string, userId: string | null, input?: unknown): Promise<unknown> {
  const token = userId === null ? null : await accessToken(userId)
  const [, procedure] = procedures.find(([name]) => name === path) ?? []
  const answer = await callTRPCProcedure({
    router: appRouter,
    path,
    getRawInput: async () => input,
    ctx: contextOf(database, token),
    type: procedure?._def.type ?? 'query',
    signal: undefined,
    batchIndex: 0,
  })
  if (procedure?._def.type !== 'subscription') return answer
  for await (const event of answer as AsyncIterable<unknown>) return event
}

/** Everything about an error that its caller sees, but for the request id. */
async function refusal(promise: Promise<unknown>): Promise<unknown> {
  const error = await promise.then(
    () => null,
    (error: unknown) => error,
  )
  return error instanceof Error && { ...error, message: error.message, cause: undefined }
}

describe('every procedure', () => {
  it.each(procedures)('%s declares its output, with the request id', (_, procedure) => {
    expect(outputOf(procedure)?.shape).toHaveProperty('requestId')
  })

  it.each(procedures)('%s refuses input that it does not know', (_, procedure) => {
    for (const input of inputsOf(procedure)) expect(input.def.catchall?.type).toBe('never')
  })

  it.each(procedures.filter(([path]) => !PUBLIC.includes(path)))('%s wants a caller who proves who they are', async (path) => {
    const reason = FOR_THE_BACKEND.includes(path) ? 'service_key_invalid' : 'not_signed_in'
    await expect(call(path, null)).rejects.toMatchObject({ code: 'UNAUTHORIZED', reason })
  })

  it.each(FOR_THE_BACKEND)('%s is not for people, however well they are signed in', async (path) => {
    const { userId } = await provisioned(database)
    await expect(call(path, userId)).rejects.toMatchObject({ code: 'UNAUTHORIZED', reason: 'service_key_invalid' })
  })

  it('that takes a secret is a mutation: a query’s input stands in the URL, and so in every access log', () => {
    for (const [path, procedure] of procedures) {
      const takesSecret = inputsOf(procedure).some(({ shape = {} }) =>
        // An idempotency key names a request, and proves nothing.
        Object.keys(shape).some((field) => field !== 'idempotencyKey' && /key$|token|secret|password/i.test(field)),
      )
      if (takesSecret) expect([path, procedure._def.type]).toEqual([path, 'mutation'])
    }
  })
})

describe('another account’s data', () => {
  let one: Awaited<ReturnType<typeof provisioned>>
  let other: Awaited<ReturnType<typeof provisioned>>
  beforeAll(async () => {
    one = await provisioned(database)
    other = await provisioned(database)
    await other.caller.keys.create({ name: 'private', keyType: 'prod' })
  })

  const snapshot = async (userId: string) =>
    (
      await database.owner.query(
        'select (select jsonb_agg(k order by id) from api_keys k where user_id = $1) as keys, (select to_jsonb(a) from billing_accounts a where user_id = $1) as account, (select jsonb_agg(s order by key_hash) from api_key_secrets s where user_id = $1) as secrets',
        [userId],
      )
    ).rows[0]

  /** How each procedure is called with something of another account. A new procedure must be added here. */
  const attacks: Record<string, (foreignKeyId: string) => unknown> = {
    'alerts.list': () => undefined,
    'alerts.setThresholds': () => ({ thresholds: [1] }),
    'audit.list': (keyId) => ({ keyId }),
    'auth.signup': () => undefined,
    'auth.provision': () => undefined,
    'billing.get': () => undefined,
    'billing.ledger': () => undefined,
    'keys.confirmSecretSaved': (id) => ({ id }),
    'keys.create': () => ({ name: 'mine' }),
    'keys.disable': (id) => ({ id }),
    'keys.enable': (id) => ({ id }),
    'keys.endGrace': (id) => ({ id }),
    'keys.get': (id) => ({ id }),
    'keys.list': (id) => ({
      status: 'all',
      cursor: Buffer.from(JSON.stringify(['oldest', 0, id])).toString('base64url'),
      sort: 'oldest',
    }),
    'keys.replaceLostSecret': (id) => ({ id, keyPrefix: other.defaultKey.keyPrefix }),
    'keys.revoke': (id) => ({ id }),
    'keys.rotate': (id) => ({ id }),
    'keys.update': (id) => ({ id, name: 'taken over', creditLimit: 0 }),
    'keys.usage': () => undefined,
    'usage.events': (keyId) => ({ keyId }),
    'usage.timeseries': (keyId) => ({ keyId }),
    'usage.watch': () => ({ lastEventId: other.userId }),
    'metering.charge': () => ({ key: other.defaultKey.secret, credits: 1, idempotencyKey: 'x' }),
    'metering.hold': () => ({ key: other.defaultKey.secret, credits: 1, idempotencyKey: 'x' }),
    'metering.settle': () => ({ holdId: encodeEventId('hold', other.userId, 1), credits: 0, idempotencyKey: 'x' }),
    'metering.release': () => ({ holdId: encodeEventId('hold', other.userId, 1), idempotencyKey: 'x' }),
    'metering.refund': () => ({ chargeId: encodeEventId('charge', other.userId, 1), credits: 1, idempotencyKey: 'x' }),
    'operator.grantTopUp': () => ({ accountId: other.userId, credits: 1, idempotencyKey: 'x' }),
    'operator.changePlan': () => ({ accountId: other.userId, plan: 'free' }),
    'operator.suspend': () => ({ accountId: other.userId }),
    'operator.resume': () => ({ accountId: other.userId }),
  }

  it('has an attack for every procedure', () => {
    expect(Object.keys(attacks).sort()).toEqual(procedures.map(([path]) => path).sort())
  })

  it.each(procedures.filter(([path]) => !PUBLIC.includes(path)).map(([path]) => path))(
    'is neither shown nor changed by %s',
    async (path) => {
      const before = await snapshot(other.userId)
      const answer = await call(path, one.userId, attacks[path]?.(other.defaultKey.id)).catch((error: unknown) => error)
      expect(JSON.stringify(answer)).not.toContain(other.userId)
      expect(JSON.stringify(answer)).not.toContain('private')
      expect(await snapshot(other.userId)).toEqual(before)
    },
  )

  it('answers like what does not exist, from every procedure that takes a key’s id', async () => {
    const takeId = procedures.filter(([, procedure]) => inputsOf(procedure).some(({ shape = {} }) => 'id' in shape))
    expect(takeId.length).toBeGreaterThan(8)
    for (const [path] of takeId) {
      const foreign = await refusal(call(path, one.userId, attacks[path]?.(other.defaultKey.id)))
      const unknown = await refusal(call(path, one.userId, attacks[path]?.(randomUUID())))
      expect(foreign, path).toMatchObject({ code: 'NOT_FOUND', reason: 'key_not_found' })
      expect(foreign, path).toEqual(unknown)
    }
  })
})

describe('the router’s types', () => {
  it('show a key without its hash, and credits as numbers', () => {
    expectTypeOf<keyof RouterOutputs['keys']['list']['data'][number]>().toEqualTypeOf<keyof KeyWithUsage>()
    expectTypeOf<(keyof KeyWithUsage & 'secret') | 'keyHash'>().toEqualTypeOf<'keyHash'>()
    expectTypeOf<RouterOutputs['keys']['usage']['data'][number]['creditsUsed']>().toEqualTypeOf<number>()
    expectTypeOf<ErrorData['reason']>().toEqualTypeOf<Reason>()
  })
})

describe('docs/errors.md', () => {
  const [errors = '', verdicts = ''] = readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8').split(
    '## Verdicts',
  )
  const documented = (text: string) => [...text.matchAll(/^\| `([a-z_]+)` +\|/gm)].map(([, name]) => name).sort()

  it('describes every reason, and no other', () => {
    expect(documented(errors)).toEqual([...Reason.options].sort())
  })

  it('describes every verdict, and no other', () => {
    const answers = [ChargeVerdict, HoldVerdict, SettleVerdict, ReleaseVerdict, RefundVerdict]
    const all = answers.flatMap(({ options }) => options.flatMap(({ shape: { verdict } }) => [...verdict.values]))
    expect(documented(verdicts)).toEqual([...new Set<string>(all)].sort())
  })
})
