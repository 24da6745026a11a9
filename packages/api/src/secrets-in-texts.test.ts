import { randomUUID } from 'node:crypto'
import { Operation, Plan } from '@keymeter/contract'
import { type AnyTRPCProcedure, callTRPCProcedure, getTRPCErrorFromUnknown } from '@trpc/server'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { accessToken, backend, contextOf, provisioned, SERVICE_KEY } from '../test/caller.ts'
import { reconciledDatabase } from '../test/reconciled-database.ts'
import { describeError } from './errors.ts'
import { mintToken } from './keys/token.ts'
import { appRouter } from './router.ts'

const database = reconciledDatabase()

/**
 * The columns of all tables that can contain a text, and the inputs that the text comes from. The list is empty if only the
 * product's own words are in the column. For a new column, add the column here. If a client chooses its text, the schema of the
 * input must refuse a whole secret (`hasNoWholeSecret`), or the text must pass `cutSecrets`.
 */
const COLUMNS: Record<string, string[]> = {
  'account_invitations.email': ['members.invite email'],
  'account_invitations.role': [],
  // The auth server has accepted the address. The constraint of the column refuses most of a secret.
  'account_members.email': [],
  'account_members.role': [],
  'alerts.kind': [],
  'alerts.plan': ['operator.changePlan plan'],
  'api_keys.key_type': [],
  'api_keys.name': ['keys.create name', 'keys.update name'],
  'api_keys.sort_name': ['keys.create name', 'keys.update name'],
  'api_key_secrets.idempotency_key': [
    'keys.create idempotencyKey',
    'keys.replaceLostSecret idempotencyKey',
    'keys.rotate idempotencyKey',
  ],
  'api_key_secrets.key_prefix': [],
  'api_key_usage.action': [],
  'api_key_usage.idempotency_key': [
    'metering.charge idempotencyKey',
    'metering.hold idempotencyKey',
    'metering.refund idempotencyKey',
    'metering.release idempotencyKey',
    'metering.settle idempotencyKey',
  ],
  'api_key_usage.operation': ['metering.charge operation', 'metering.hold operation'],
  'api_key_usage.verdict': [],
  'audit_log.action': [],
  'audit_log.actor': [],
  'audit_log.client_address': ['the origin of the call'],
  'audit_log.detail': [
    'members.invite email',
    'accounts.rename name',
    'keys.create name',
    'keys.update name',
    'operator.changePlan plan',
    'operator.grantTopUp note',
    'operator.takeBackTopUp note',
  ],
  'audit_log.request_id': ['the origin of the call'],
  'audit_log.user_agent': ['the origin of the call'],
  'billing_accounts.free_credits_refusal': [],
  'billing_accounts.name': ['accounts.rename name'],
  'billing_accounts.next_plan': ['operator.changePlan plan'],
  'billing_accounts.plan': ['operator.changePlan plan'],
  'billing_cycles.plan': ['operator.changePlan plan'],
  'credit_holds.operation': ['metering.hold operation'],
  'credit_holds.outcome': [],
  'ledger_entries.idempotency_key': ['operator.grantTopUp idempotencyKey', 'operator.takeBackTopUp idempotencyKey'],
  'ledger_entries.kind': [],
  'ledger_entries.note': ['operator.grantTopUp note', 'operator.takeBackTopUp note'],
  'ledger_entries.plan': ['operator.changePlan plan'],
  'operations.operation': ['metering.charge operation', 'metering.hold operation'],
  // Only the operator's commands write this table. They refuse a whole secret in every argument.
  'operator_log.command': [],
  'operator_log.database_user': [],
  'operator_log.os_user': [],
  'operator_log.request_id': [],
  'operator_log.search': [],
  'plans.plan': ['operator.changePlan plan'],
  // Each key is the name of a limit, and an address, a hash or an id.
  'rate_limits.key': [],
  'usage_by_day.operation': ['metering.charge operation', 'metering.hold operation'],
  'usage_by_quarter_hour.operation': ['metering.charge operation', 'metering.hold operation'],
}

/** The inputs that may be a secret: the database stores only a hash of them. */
const HASHED = [
  'auth.signup password',
  'auth.signup invitation',
  'members.acceptInvitation token',
  'members.readInvitation token',
  'metering.charge key',
  'metering.hold key',
]

interface Input {
  path: string
  field: string
  procedure: AnyTRPCProcedure
  isList: boolean
}

/** Returns every field of the input of every procedure that accepts a text, or a list of texts. */
function textInputs(): Input[] {
  const procedures = Object.entries(appRouter._def.procedures as unknown as Record<string, AnyTRPCProcedure>)
  return procedures.flatMap(([path, procedure]) => {
    const { inputs } = procedure._def as unknown as { inputs: z.ZodType[] }
    return inputs.flatMap((schema) => {
      const { properties = {} } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
      return Object.entries(properties).flatMap(([field, json]) => {
        if (typeof json === 'boolean' || json.enum !== undefined || json.const !== undefined) return []
        const types = [json, ...(json.anyOf ?? [])].map((one) => (typeof one === 'boolean' ? undefined : one.type))
        const isList = types.includes('array') && JSON.stringify(json.items).includes('"string"')
        return types.includes('string') || isList ? [{ path, field, procedure, isList }] : []
      })
    })
  })
}
const INPUTS = textInputs().filter(({ path, field }) => !HASHED.includes(`${path} ${field}`))
const nameOf = ({ path, field }: Input) => `${path} ${field}`

/** A secret of each type and of several brands. */
const SECRETS = (['dev', 'prod'] as const).flatMap((type) =>
  ['km', 'a', 'acme0123456789ab'].map((brand) => mintToken(brand, type, randomUUID())),
)
/** The forms of texts that contain a secret. */
const FORMS = [
  (secret: string) => secret,
  (secret: string) => `x${secret}y`,
  (secret: string) => `9${secret}`,
  (secret: string) => `https://api.example.com/v1?key=${secret}&page=2`,
  (secret: string) => `Bearer.${secret}.`,
  // The checksum and the id of the account are not secret, so most of the random characters are enough to guess the secret.
  (secret: string) => secret.slice(0, -35),
]
const TEXTS = SECRETS.flatMap((secret, n) =>
  FORMS.filter((_, form) => n === 0 || form === n % FORMS.length).map((form) => form(secret)),
)

async function refusalOf({ path, field, procedure, isList }: Input, text: string, token: string) {
  const refusal = await callTRPCProcedure({
    router: appRouter,
    path,
    getRawInput: async () => ({ [field]: isList ? [text] : text }),
    ctx: contextOf(database, token),
    type: procedure._def.type,
    signal: undefined,
    batchIndex: 0,
  }).catch((error: unknown) => error)
  return describeError(getTRPCErrorFromUnknown(refusal))
}

/** Returns all rows of all tables as one text. */
async function everything(): Promise<string> {
  const { rows } = await database.owner.query<{ name: string }>(
    "select oid::regclass::text as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition",
  )
  const tables = await Promise.all(
    rows.map(async ({ name }) => await database.owner.query(`select string_agg(t::text, ' ') as text from ${name} as t`)),
  )
  return tables.map((table) => String(table.rows[0].text)).join('\n')
}

describe('a whole secret', () => {
  it('the list of this file contains every column that can contain a text', async () => {
    const { rows } = await database.owner.query<{ name: string }>(
      `select relname || '.' || attname as name
         from pg_attribute join pg_class on pg_class.oid = attrelid join pg_type on pg_type.oid = atttypid
         left join pg_type as element on element.oid = pg_type.typelem
         left join pg_type as base on base.oid = pg_type.typbasetype
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition and attnum > 0 and not attisdropped
          and ('S' in (pg_type.typcategory, element.typcategory, base.typcategory)
               or pg_type.typname in ('json', 'jsonb', 'xml') or base.typname in ('json', 'jsonb', 'xml') or pg_type.typtype = 'c')`,
    )
    expect(rows.map(({ name }) => name).sort()).toEqual(Object.keys(COLUMNS).sort())
  })

  it('every input that the list names is an input of a procedure that takes a text', () => {
    const named = new Set(Object.values(COLUMNS).flat())
    named.delete('the origin of the call')
    expect([...named].filter((name) => !INPUTS.some((input) => nameOf(input) === name))).toEqual([])
    expect(INPUTS.length).toBeGreaterThan(40)
  })

  it.each(INPUTS.map((input) => [nameOf(input), input] as const))(
    'is refused by %s, also inside of a longer text',
    async (_, input) => {
      const { userId } = await provisioned(database)
      const token = /^(operator|metering)\./.test(input.path) ? SERVICE_KEY : await accessToken(userId)
      for (const text of input.field === 'email' ? SECRETS.map((secret) => `${secret}@example.com`) : TEXTS) {
        const { reason, issues, message } = await refusalOf(input, text, token)
        expect(reason, text).toBe('bad_request')
        expect(
          issues.map(({ field }) => field.split('.')[0]),
          text,
        ).toContain(input.field)
        for (const secret of SECRETS) expect(message).not.toContain(secret.slice(-20))
      }
    },
  )

  it('is cut to its key prefix in the user agent, in the address and in the request id of the audit log', async () => {
    const { userId } = await provisioned(database)
    const token = await accessToken(userId)
    for (const secret of SECRETS) {
      const prefix = secret.slice(0, secret.lastIndexOf('_') + 9)
      for (const [userAgent, stored] of [
        [secret, prefix],
        [`curl/8 (https://x.example/?key=${secret}&y) z`, `curl/8 (https://x.example/?key=${prefix}&y) z`],
        [`${secret} ${secret}`, `${prefix} ${prefix}`],
        // Two secrets that are glued together, and a secret in a URL that was encoded once or twice.
        [`${secret}${secret}`, `${prefix}${prefix.slice(prefix.search(/_(dev|prod)_/))}`],
        [`x ${encodeURIComponent(secret).replaceAll('_', '%5F')}`, `x ${prefix.replaceAll('_', '%5F')}`],
        [`x ${secret.replaceAll('_', '%255f')}`, `x ${prefix.replaceAll('_', '%255f')}`],
        // A client sends a zero-width space as UTF-8, and Node decodes headers as Latin-1.
        [`x ${secret.slice(0, 9)}\u00e2\u0080\u008b${secret.slice(9)}`, `x ${prefix}`],
        // A reader does not see the soft hyphen.
        [`x ${[...secret].join('\u00ad')}`, `x ${prefix}`],
        [`x ${secret.slice(0, -9)}\u00ad${secret.slice(-9)}`, `x ${prefix}`],
        // The end of a long user agent was cut off.
        [`x ${secret.slice(0, -1)}`, `x ${prefix}`],
      ]) {
        const origin = { userAgent: userAgent ?? '', clientAddress: secret, requestId: secret }
        const caller = appRouter.createCaller(contextOf(database, token, origin))
        await caller.keys.create({ name: 'x' }).then(async ({ id }) => await caller.keys.revoke({ id }))
        const [entry] = (await caller.audit.list()).data
        expect(entry).toMatchObject({ userAgent: stored, clientAddress: prefix, requestId: prefix })
      }
    }
    const stored = await everything()
    for (const secret of SECRETS) expect(stored).not.toContain(secret.slice(secret.lastIndexOf('_') + 9))
  })

  it('is not in an error about unknown fields', async () => {
    const { caller } = await provisioned(database)
    const [secret = ''] = SECRETS
    const refused = await caller.keys.create({ name: 'x', [secret]: 1 }).catch((error: unknown) => error)
    const { message } = describeError(getTRPCErrorFromUnknown(refused))
    expect(message).toContain(`leave out ${secret.slice(0, 15)}`)
    expect(message).not.toContain(secret.slice(0, 16))
  })

  it('is found in a text with invisible characters or with characters that become letters when the text is normalised', async () => {
    const { caller, userId } = await provisioned(database)
    const secret = SECRETS.find((one) => one.startsWith('km_dev')) ?? ''
    // U+212A, the Kelvin sign, is normalised to the letter K.
    const kelvin = `${secret.slice(0, 7)}K${secret.slice(8)}`.replace('K', '\u212a')
    for (const text of [
      `${secret.slice(0, 20)}\u200b${secret.slice(20)}`,
      `${secret.slice(0, 20)}\u3164${secret.slice(20)}`,
      kelvin,
    ]) {
      await expect(caller.keys.create({ name: text })).rejects.toMatchObject({ message: expect.stringContaining('secret') })
      const grant = { accountId: userId, credits: 1, idempotencyKey: 'x', note: text }
      await expect(backend(database).operator.grantTopUp(grant)).rejects.toMatchObject({
        message: expect.stringContaining('secret'),
      })
      await expect(caller.keys.list({ search: text.slice(0, 64) })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    }
  })

  it('is longer than the name of a plan and contains characters that no operation has', () => {
    for (const secret of SECRETS)
      expect([Plan, Operation].map((schema) => schema.safeParse(secret).success)).toEqual([false, false])
  })

  it('is the only text that is refused: its key prefix and a text that resembles a secret are accepted', async () => {
    const { caller, defaultKey, userId } = await provisioned(database)
    const { secret, keyPrefix } = defaultKey
    for (const text of [
      keyPrefix,
      // 19 of the random characters.
      secret.slice(0, -36),
      'my_dev_environment',
      `km_test_${'x'.repeat(55)}`,
      `km_dev-${'x'.repeat(55)}`,
      `KM_dev_${'x'.repeat(55)}`,
    ]) {
      const { id, name } = await caller.keys.create({ name: text, idempotencyKey: text })
      expect(name).toBe(text)
      await caller.keys.revoke({ id })
      await caller.keys.list({ search: text })
      await backend(database).operator.grantTopUp({ accountId: userId, credits: 1, idempotencyKey: text, note: text })
    }
  })
})
