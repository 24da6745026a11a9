import { readdirSync } from 'node:fs'
import * as contract from '@keymeter/contract'
import {
  AuditAction,
  AuditActor,
  HOLDS_OPEN_MAX,
  IDEMPOTENCY_DAYS,
  KEY_NAME_LENGTH_MAX,
  KeyType,
  LedgerKind,
  OPERATIONS_MAX,
  Operation,
  Plan,
  UsageAction,
} from '@keymeter/contract'
import { testDatabase } from '@keymeter/local/testing'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'

const database = testDatabase()

describe('a limit that SQL and the contract both contain', () => {
  it('is the same number in both', async () => {
    const { rows } = await database.owner.query(
      `select keymeter.max_operations() as operations, keymeter.max_open_holds() as "openHolds",
              keymeter.idempotency_window() = $1::int * interval '1 day' as "isSameWindow", keymeter.max_credits()::text as credits`,
      [IDEMPOTENCY_DAYS],
    )
    expect(rows).toEqual([
      {
        operations: OPERATIONS_MAX,
        openHolds: HOLDS_OPEN_MAX,
        isSameWindow: true,
        credits: String(Number.MAX_SAFE_INTEGER),
      },
    ])
  })
})

/** The check constraints of a table that read only this column, as one text. */
async function checksOf(table: string, column: string): Promise<string> {
  const { rows } = await database.owner.query<{ text: string }>(
    `select pg_get_constraintdef(pg_constraint.oid) as text from pg_constraint
       join pg_attribute on attrelid = conrelid and conkey = array[attnum]
      where contype = 'c' and conrelid = $1::regclass and attname = $2`,
    [table, column],
  )
  expect(rows, `check of ${table}.${column}`).toHaveLength(1)
  return rows[0]?.text ?? ''
}
const literalsOf = (text: string) => [...text.matchAll(/'((?:[^']|'')*)'/g)].map(([, literal = '']) => literal)

describe('the values that a check constraint allows', () => {
  it.each([
    ['api_key_usage', 'action', UsageAction.options],
    ['api_keys', 'key_type', KeyType.options],
    ['audit_log', 'actor', AuditActor.options],
  ] as const)('are those of the contract: %s.%s', async (table, column, values) => {
    expect(literalsOf(await checksOf(table, column)).sort()).toEqual([...values].sort())
  })

  it('are kinds of the contract’s ledger, which has further kinds for lines that are computed: ledger_entries.kind', async () => {
    const stored = literalsOf(await checksOf('ledger_entries', 'kind'))
    expect(stored.length).toBeGreaterThan(0)
    expect(LedgerKind.options).toEqual(expect.arrayContaining(stored))
  })

  it.each([
    ['operations', 'operation', Operation],
    ['plans', 'plan', Plan],
  ] as const)('match the pattern of the contract: %s.%s', async (table, column, schema) => {
    expect(literalsOf(await checksOf(table, column))).toEqual([z.toJSONSchema(schema)['pattern']])
  })

  it('contain each action of the contract’s audit log', async () => {
    const [pattern = ''] = literalsOf(await checksOf('audit_log', 'action'))
    for (const action of AuditAction.options) expect(action).toMatch(new RegExp(pattern))
  })

  it('have the contract’s length of the name of a key', async () => {
    expect(await checksOf('api_keys', 'name')).toContain(`<= ${KEY_NAME_LENGTH_MAX}`)
  })
})

/** The values of the field `verdict` of a union of answers. */
function verdictsOf(union: z.ZodDiscriminatedUnion): string[] {
  const Answers = z.object({
    oneOf: z.array(
      z.object({
        properties: z.object({ verdict: z.object({ const: z.string().optional(), enum: z.array(z.string()).optional() }) }),
      }),
    ),
  })
  const { oneOf } = Answers.parse(z.toJSONSchema(union))
  return oneOf.flatMap(({ properties: { verdict } }) => verdict.enum ?? [verdict.const ?? ''])
}

describe('the verdicts of the metering functions', () => {
  /** The verdicts of all answers of the contract. */
  const verdicts = Object.entries(contract).flatMap(([name, schema]) =>
    name.endsWith('Verdict') && schema instanceof z.ZodDiscriminatedUnion ? verdictsOf(schema) : [],
  )
  /** Words of the functions that are not verdicts. */
  const OTHER_WORDS = [...UsageAction.options, ...LedgerKind.options, 'epoch', '-infinity', '15 minutes', '1 minute', '{}']

  const wordsOf = async () => {
    const names = readdirSync(new URL('../../../supabase/schemas/functions/metering', import.meta.url)).map((file) =>
      file.replace('.sql', ''),
    )
    const { rows } = await database.owner.query<{ source: string }>(
      "select prosrc as source from pg_proc where pronamespace = 'keymeter'::regnamespace and proname = any($1)",
      [names],
    )
    expect(rows.length).toBeGreaterThan(15)
    return new Set(rows.flatMap(({ source }) => literalsOf(source.replaceAll(/--.*/g, ''))))
  }

  it('are verdicts of the contract: the functions contain no other word', async () => {
    expect([...(await wordsOf())].filter((word) => !verdicts.includes(word) && !OTHER_WORDS.includes(word))).toEqual([])
  })

  it('include every verdict of the contract except overloaded, which the server decides', async () => {
    const words = await wordsOf()
    expect(new Set(verdicts.filter((verdict) => !words.has(verdict)))).toEqual(new Set(['overloaded']))
  })
})
