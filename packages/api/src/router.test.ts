import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import {
  ChargeVerdict,
  HoldVerdict,
  type KeyWithUsage,
  Reason,
  RefundVerdict,
  ReleaseVerdict,
  SettleVerdict,
} from '@keymeter/contract'
import type { AnyTRPCProcedure } from '@trpc/server'
import { callTRPCProcedure } from '@trpc/server'
import { beforeAll, beforeEach, describe, expect, expectTypeOf, it } from 'vitest'
import { accessToken, backend, contextOf, provisioned, SERVICE_KEY } from '../test/caller.ts'
import { reconciledDatabase } from '../test/reconciled-database.ts'
import type { ErrorData, RouterOutputs } from './index.ts'
import { mintToken, parseToken } from './keys/token.ts'
import { encodeEventId } from './metering/event-id.ts'
import { appRouter } from './router.ts'

const database = reconciledDatabase()
const procedures = Object.entries(appRouter._def.procedures as unknown as Record<string, AnyTRPCProcedure>)
const PUBLIC = ['auth.signup', 'auth.requestPasswordReset', 'auth.resendConfirmation', 'members.readInvitation']
const FOR_THE_BACKEND = [
  'metering.charge',
  'metering.hold',
  'metering.settle',
  'metering.release',
  'metering.refund',
  'operator.grantTopUp',
  'operator.takeBackTopUp',
  'operator.changePlan',
  'operator.suspend',
  'operator.resume',
]

interface InputSchema {
  def: { catchall?: { type: string }; innerType?: InputSchema }
  shape?: Record<string, unknown>
}
/**
 * Returns the input schemas of a procedure. If an object schema is wrapped in `.default(…)`, returns the object schema
 * inside.
 */
function inputsOf(procedure: AnyTRPCProcedure): InputSchema[] {
  const { inputs } = procedure._def as unknown as { inputs: InputSchema[] }
  return inputs.map((input) => input.def.innerType ?? input)
}

/** Returns the output schema of a procedure. For a stream, returns the schema of one event. */
function outputOf(procedure: AnyTRPCProcedure): InputSchema | undefined {
  type Output = { def: { left?: InputSchema }; meta(): { event?: InputSchema } | undefined } & InputSchema
  const { output } = procedure._def as unknown as { output?: Output }
  return output?.meta()?.event ?? output?.def.left ?? output
}

/** Calls a procedure with `token` as bearer token. Returns the answer, or the first event if the procedure is a stream. */
async function call(path: string, token: string | null, input?: unknown): Promise<unknown> {
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
  for await (const event of answer as AsyncIterable<unknown>) return Array.isArray(event) ? event[1] : event
}

/** Returns all fields of an error that a caller sees, except the request id. */
async function refusal(promise: Promise<unknown>): Promise<unknown> {
  const error = await promise.then(
    () => null,
    (error: unknown) => error,
  )
  return error instanceof Error && { ...error, message: error.message, cause: undefined }
}

describe('procedures', () => {
  it.each(procedures)('%s declares an output that contains the request id', (_, procedure) => {
    expect(outputOf(procedure)?.shape).toHaveProperty('requestId')
  })

  it.each(procedures)('%s refuses unknown fields in its input', (_, procedure) => {
    for (const input of inputsOf(procedure)) expect(input.def.catchall?.type).toBe('never')
  })

  it.each(procedures.filter(([path]) => !PUBLIC.includes(path)))('%s refuses a caller without a token', async (path) => {
    const reason = FOR_THE_BACKEND.includes(path) ? 'service_key_invalid' : 'not_signed_in'
    await expect(call(path, null)).rejects.toMatchObject({ code: 'UNAUTHORIZED', reason })
  })

  it('every procedure that takes a secret is a mutation, because the input of a query is in the URL and so in access logs', () => {
    for (const [path, procedure] of procedures) {
      const takesSecret = inputsOf(procedure).some(({ shape = {} }) =>
        // An idempotency key is not a secret.
        Object.keys(shape).some((field) => field !== 'idempotencyKey' && /key$|token|secret|password/i.test(field)),
      )
      if (takesSecret) expect([path, procedure._def.type]).toEqual([path, 'mutation'])
    }
  })
})

type Account = Awaited<ReturnType<typeof provisioned>>

/** Creates an account with two keys, a charge, two open holds, a ledger entry and an audit log. */
async function accountWithData(name: string) {
  const account = await provisioned(database)
  await account.caller.keys.create({ name: `private ${name}`, keyType: 'prod' })
  const { metering, operator } = backend(database)
  const { secret: key } = account.defaultKey
  const charged = await metering.charge({ key, credits: 3, idempotencyKey: 'first' })
  const [toSettle, toRelease] = [
    await metering.hold({ key, credits: 2, idempotencyKey: 'second' }),
    await metering.hold({ key, credits: 2, idempotencyKey: 'third' }),
  ]
  if (charged.verdict !== 'charged' || charged.chargeId === null || toSettle.verdict !== 'held' || toRelease.verdict !== 'held')
    throw new Error('a new account has too few credits')
  await operator.grantTopUp({ accountId: account.userId, credits: 7, idempotencyKey: 'first' })
  const { invitation } = await account.caller.members.invite({ email: 'invited@example.com', role: 'viewer' })
  return {
    ...account,
    invitationId: invitation.id,
    chargeId: charged.chargeId,
    settleId: toSettle.holdId,
    releaseId: toRelease.holdId,
  }
}

/** Returns the rows of an account from all tables. */
async function rowsOf({ userId }: Account): Promise<unknown> {
  const { rows: tables } = await database.owner.query<{ name: string }>(
    `select oid::regclass::text as name from pg_class
      where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
        and relname not in ('plans', 'rate_limits', 'mailbox_allowances', 'operator_log') order by 1`,
  )
  expect(tables.map(({ name }) => name)).toContain('credit_holds')
  const all = []
  for (const { name } of tables) {
    const { rows } = await database.owner.query(
      `select to_jsonb(t) as row from ${name} as t where user_id = $1 order by t::text`,
      [userId],
    )
    all.push({ name, rows })
  }
  return all
}

describe('the data of another account', () => {
  let one: Awaited<ReturnType<typeof accountWithData>>
  let other: Awaited<ReturnType<typeof accountWithData>>
  const createBoth = async () => {
    one = await accountWithData('of one')
    other = await accountWithData('of the other')
  }
  beforeAll(createBoth)

  /**
   * The call of each procedure by a user, with an id of another account if the procedure takes an id. `reason` is the
   * reason of the error, if the call fails. Each new procedure must be added here.
   */
  const attacks: Record<string, { input?: (keyId: string) => unknown; reason?: Reason; code?: string }> = {
    'accounts.close': { input: () => ({ confirmation: 'no' }), code: 'BAD_REQUEST' },
    'accounts.getDeletion': {},
    'accounts.list': {},
    'accounts.open': { reason: 'account_exists', code: 'CONFLICT' },
    'accounts.rename': { input: () => ({ name: 'mine' }) },
    'accounts.requireSecondFactor': { input: () => ({ isRequired: false }) },
    'alerts.list': {},
    'alerts.setThresholds': { input: () => ({ thresholds: [1] }) },
    'audit.list': { input: (keyId) => ({ keyId }) },
    'auth.deleteMe': { input: () => ({ confirmation: 'no', closedAccounts: [other.userId] }), code: 'BAD_REQUEST' },
    'auth.provision': {},
    'billing.get': {},
    'billing.ledger': {},
    'keys.confirmSecretSaved': { input: (id) => ({ id }), reason: 'key_not_found' },
    'keys.create': { input: () => ({ name: 'mine' }) },
    'keys.disable': { input: (id) => ({ id }), reason: 'key_not_found' },
    'keys.enable': { input: (id) => ({ id }), reason: 'key_not_found' },
    'keys.endGrace': { input: (id) => ({ id }), reason: 'key_not_found' },
    'keys.get': { input: (id) => ({ id }), reason: 'key_not_found' },
    'keys.list': {
      input: (id) => ({
        status: 'all',
        cursor: Buffer.from(JSON.stringify(['oldest', 0, id])).toString('base64url'),
        sort: 'oldest',
      }),
    },
    'keys.replaceLostSecret': {
      input: (id) => ({ id, keyPrefix: other.defaultKey.keyPrefix, idempotencyKey: 'x' }),
      reason: 'key_not_found',
    },
    'keys.revoke': { input: (id) => ({ id }), reason: 'key_not_found' },
    'keys.rotate': { input: (id) => ({ id }), reason: 'key_not_found' },
    'keys.update': { input: (id) => ({ id, name: 'taken over', creditLimit: 0 }), reason: 'key_not_found' },
    'keys.usage': {},
    'members.acceptInvitation': { input: () => ({ token: `kminv_${'A'.repeat(43)}` }), reason: 'invitation_not_found' },
    'members.invitations': {},
    'members.invite': { input: () => ({ email: 'somebody@example.com', role: 'viewer' }) },
    'members.leave': { reason: 'last_owner', code: 'CONFLICT' },
    'members.list': {},
    'members.remove': { input: () => ({ memberId: other.userId }), reason: 'member_not_found' },
    'members.revokeInvitation': { input: () => ({ invitationId: other.invitationId }), reason: 'invitation_not_found' },
    'members.setRole': { input: () => ({ memberId: other.userId, role: 'viewer' }), reason: 'member_not_found' },
    'members.transferOwnership': { input: () => ({ memberId: other.userId }), reason: 'member_not_found' },
    'usage.events': { input: (keyId) => ({ keyId }) },
    'usage.timeseries': { input: (keyId) => ({ keyId }) },
    'usage.watch': { input: () => ({ lastEventId: other.userId }) },
  }

  it('this file contains a call of every procedure for people', () => {
    const forPeople = procedures
      .map(([path]) => path)
      .filter((path) => !PUBLIC.includes(path) && !FOR_THE_BACKEND.includes(path))
    expect(Object.keys(attacks).sort()).toEqual(forPeople.sort())
  })

  it.each(Object.entries(attacks))(
    '%s neither shows nor changes the data of another account',
    async (path, { input, reason, code = 'NOT_FOUND' }) => {
      const before = await rowsOf(other)
      const answer = await call(path, await accessToken(one.userId), input?.(other.defaultKey.id)).catch(
        (error: unknown) => error,
      )
      // The call must succeed, or fail with exactly this reason. Otherwise a call that is refused for invalid input would
      // pass the test.
      expect(answer).toMatchObject(
        reason === undefined && code === 'NOT_FOUND' ? { requestId: expect.any(String) } : { code, ...(reason && { reason }) },
      )
      const shown = JSON.stringify(answer)
      for (const foreign of [other.userId, other.defaultKey.keyPrefix, 'of the other']) expect(shown).not.toContain(foreign)
      expect(await rowsOf(other)).toEqual(before)
    },
  )

  it.each(Object.entries(attacks).filter(([, { reason }]) => reason === 'key_not_found'))(
    '%s returns the same error for a key of another account as for a key that does not exist',
    async (path, { input }) => {
      const token = await accessToken(one.userId)
      const foreign = await refusal(call(path, token, input?.(other.defaultKey.id)))
      const unknown = await refusal(call(path, token, input?.(randomUUID())))
      expect(foreign).toMatchObject({ code: 'NOT_FOUND' })
      expect(foreign).toEqual(unknown)
    },
  )

  it('every procedure that takes the id of a key answers key_not_found for a key of another account', () => {
    const takeId = procedures.filter(([, procedure]) => inputsOf(procedure).some(({ shape = {} }) => 'id' in shape))
    expect(takeId.length).toBeGreaterThan(8)
    for (const [path] of takeId) expect(attacks[path]?.reason, path).toBe('key_not_found')
  })

  describe('in procedures of the backend', () => {
    beforeEach(createBoth)

    /** A valid input about an account for each procedure of the backend. */
    const backendCalls: Record<string, (of: typeof one) => unknown> = {
      'metering.charge': ({ defaultKey }) => ({ key: defaultKey.secret, credits: 1, idempotencyKey: 'x' }),
      'metering.hold': ({ defaultKey }) => ({ key: defaultKey.secret, credits: 1, idempotencyKey: 'x' }),
      'metering.settle': ({ settleId }) => ({ holdId: settleId, credits: 1, idempotencyKey: 'x' }),
      'metering.release': ({ releaseId }) => ({ holdId: releaseId, idempotencyKey: 'x' }),
      'metering.refund': ({ chargeId }) => ({ chargeId, credits: 1, idempotencyKey: 'x' }),
      'operator.grantTopUp': ({ userId }) => ({ accountId: userId, credits: 1, idempotencyKey: 'x' }),
      'operator.takeBackTopUp': ({ userId }) => ({ accountId: userId, topUpIdempotencyKey: 'first', idempotencyKey: 'x' }),
      'operator.changePlan': ({ userId }) => ({ accountId: userId, plan: 'small' }),
      'operator.suspend': ({ userId }) => ({ accountId: userId }),
      'operator.resume': ({ userId }) => ({ accountId: userId }),
    }

    it('this file contains a call of every procedure of the backend', () => {
      expect(Object.keys(backendCalls).sort()).toEqual([...FOR_THE_BACKEND].sort())
    })

    it.each(FOR_THE_BACKEND)('%s refuses people, even for their own account', async (path) => {
      const before = await rowsOf(one)
      await expect(call(path, await accessToken(one.userId), backendCalls[path]?.(one))).rejects.toMatchObject({
        code: 'UNAUTHORIZED',
        reason: 'service_key_invalid',
      })
      expect(await rowsOf(one)).toEqual(before)
    })

    it.each(FOR_THE_BACKEND)('%s shows and changes only the account that the backend names', async (path) => {
      if (path === 'operator.resume') await backend(database).operator.suspend({ accountId: one.userId })
      await database.owner.query("insert into plans (plan, credits_per_cycle) values ('small', 500) on conflict do nothing")
      const [ofOne, ofOther] = [await rowsOf(one), await rowsOf(other)]
      const answer = JSON.stringify(await call(path, SERVICE_KEY, backendCalls[path]?.(one)))
      for (const foreign of [other.userId, other.defaultKey.id, 'of the other']) expect(answer).not.toContain(foreign)
      expect(await rowsOf(one)).not.toEqual(ofOne)
      expect(await rowsOf(other)).toEqual(ofOther)
    })

    it('an id or a key that combines one account with an event or a secret of another account gets not_found', async () => {
      // Events 4 and 5 exist only in the account `other`. In the account `one`, event 1 is a charge and event 2 is a hold.
      const { metering } = backend(database)
      const key = other.defaultKey.secret
      const extra = await metering.hold({ key, credits: 1, idempotencyKey: 'fourth' })
      expect(extra).toMatchObject({ verdict: 'held', holdId: encodeEventId('hold', other.userId, 4) })
      expect(await metering.charge({ key, credits: 1, idempotencyKey: 'fifth' })).toMatchObject({
        chargeId: encodeEventId('charge', other.userId, 5),
      })
      const [ofOne, ofOther] = [await rowsOf(one), await rowsOf(other)]
      for (const holdId of [encodeEventId('hold', one.userId, 4), encodeEventId('hold', one.userId, 1)]) {
        expect(await metering.settle({ holdId, credits: 0, idempotencyKey: 'x' })).toMatchObject({ verdict: 'not_found' })
        expect(await metering.release({ holdId, idempotencyKey: 'x' })).toMatchObject({ verdict: 'not_found' })
      }
      for (const chargeId of [encodeEventId('charge', one.userId, 5), encodeEventId('charge', one.userId, 2)])
        expect(await metering.refund({ chargeId, credits: 1, idempotencyKey: 'x' })).toMatchObject({ verdict: 'not_found' })
      const combined = tokenOf(one.userId, key)
      expect(parseToken('km', combined)).toEqual({ keyType: 'dev', userId: one.userId })
      expect(await metering.charge({ key: combined, credits: 1, idempotencyKey: 'x' })).toMatchObject({ verdict: 'not_found' })
      expect(await metering.hold({ key: combined, credits: 1, idempotencyKey: 'x' })).toMatchObject({ verdict: 'not_found' })
      expect([await rowsOf(one), await rowsOf(other)]).toEqual([ofOne, ofOther])
    })
  })
})

/**
 * Returns a token for the account `userId` with the random characters of `secret`, which belongs to another account. The
 * checksum is correct.
 */
function tokenOf(userId: string, secret: string): string {
  const random = secret.slice('km_dev_'.length, 'km_dev_'.length + 27)
  const unchecked = `km_dev_${random}${mintToken('km', 'dev', userId).slice('km_dev_'.length + 27, -6)}`
  const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
  let checksum = ''
  for (let rest = crc32(unchecked); rest > 0; rest = Math.floor(rest / 62)) checksum = BASE62[rest % 62] + checksum
  return unchecked + checksum.padStart(6, '0')
}

describe('the router’s types', () => {
  it('contain no hash of a key, and contain credits as numbers', () => {
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

  it('describes every reason, and no other reason', () => {
    expect(documented(errors)).toEqual([...Reason.options].sort())
  })

  it('describes every verdict, and no other verdict', () => {
    const answers = [ChargeVerdict, HoldVerdict, SettleVerdict, ReleaseVerdict, RefundVerdict]
    const all = answers.flatMap(({ options }) => options.flatMap(({ shape: { verdict } }) => [...verdict.values]))
    expect(documented(verdicts)).toEqual([...new Set<string>(all)].sort())
  })
})
