import { readdirSync } from 'node:fs'
import * as contract from '@keymeter/contract'
import {
  ALERT_THRESHOLD_PERCENT_MAX,
  ALERT_THRESHOLDS_MAX,
  AlertKind,
  AuditAction,
  AuditActor,
  CHARGES_MAX,
  CREDITS_GIVEN_MAX,
  FreeCreditsRefusal,
  GRACE_SECONDS_MAX,
  HOLD_SECONDS_MAX,
  HOLDS_OPEN_MAX,
  IDEMPOTENCY_DAYS,
  IDEMPOTENCY_KEY_LENGTH_MAX,
  KEY_NAME_LENGTH_MAX,
  KeyType,
  LedgerKind,
  OPERATIONS_MAX,
  Operation,
  Plan,
  TOP_UP_NOTE_LENGTH_MAX,
  UsageAction,
} from '@keymeter/contract'
import { testDatabase } from '@keymeter/local/testing'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { LeftOut, WaitsFor } from './metering/meter-batch.ts'

const database = testDatabase()

describe('limits in SQL and in the contract', () => {
  it('each limit is the same number in SQL and in the contract', async () => {
    const { rows } = await database.owner.query(
      `select keymeter.max_operations() as operations, keymeter.max_open_holds() as "openHolds",
              keymeter.max_batch() as batch, keymeter.max_hold_seconds() as "holdSeconds",
              keymeter.idempotency_window() = $1::int * interval '1 day' as "isSameWindow", keymeter.max_credits()::text as credits,
              keymeter.max_credits_given()::text as given, extract(epoch from keymeter.max_grace())::int as "graceSeconds"`,
      [IDEMPOTENCY_DAYS],
    )
    expect(rows).toEqual([
      {
        operations: OPERATIONS_MAX,
        openHolds: HOLDS_OPEN_MAX,
        batch: CHARGES_MAX,
        holdSeconds: HOLD_SECONDS_MAX,
        isSameWindow: true,
        credits: String(Number.MAX_SAFE_INTEGER),
        given: String(CREDITS_GIVEN_MAX),
        graceSeconds: GRACE_SECONDS_MAX,
      },
    ])
  })
})

/**
 * Returns the definition of the check constraint that reads only this column. The column must have exactly one such
 * constraint.
 */
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

describe('check constraints', () => {
  it.each([
    ['api_key_usage', 'action', UsageAction.options],
    ['api_keys', 'key_type', KeyType.options],
    ['audit_log', 'actor', AuditActor.options],
    ['billing_accounts', 'free_credits_refusal', FreeCreditsRefusal.options],
    ['audit_log', 'action', AuditAction.options],
  ] as const)('%s.%s allows exactly the values of the contract', async (table, column, values) => {
    expect(literalsOf(await checksOf(table, column)).sort()).toEqual([...values].sort())
  })

  it('ledger_entries.kind allows only kinds of the contract, which has more kinds for lines that are computed', async () => {
    const stored = literalsOf(await checksOf('ledger_entries', 'kind'))
    expect(stored.length).toBeGreaterThan(0)
    expect(LedgerKind.options).toEqual(expect.arrayContaining(stored))
  })

  it.each([
    ['operations', 'operation', Operation],
    ['plans', 'plan', Plan],
  ] as const)('%s.%s has the same pattern as the contract', async (table, column, schema) => {
    expect(literalsOf(await checksOf(table, column))).toEqual([z.toJSONSchema(schema)['pattern']])
  })

  it.each([
    ['api_keys', 'name', KEY_NAME_LENGTH_MAX],
    ['ledger_entries', 'note', TOP_UP_NOTE_LENGTH_MAX],
    ['ledger_entries', 'idempotency_key', IDEMPOTENCY_KEY_LENGTH_MAX],
    ['api_key_secrets', 'idempotency_key', IDEMPOTENCY_KEY_LENGTH_MAX],
  ] as const)('%s.%s has the same maximum length as the contract', async (table, column, length) => {
    expect(await checksOf(table, column)).toContain(`<= ${length})`)
  })

  it('the thresholds of an account have the same maximum number and the same range as in the contract', async () => {
    const { rows } = await database.owner.query<{ text: string }>(
      "select pg_get_constraintdef(oid) as text from pg_constraint where contypid = 'keymeter.thresholds'::regtype and contype = 'c'",
    )
    const [{ text } = { text: '' }] = rows
    expect(text).toContain(`cardinality(VALUE) <= ${ALERT_THRESHOLDS_MAX})`)
    expect(text).toContain(`<= ${ALERT_THRESHOLD_PERCENT_MAX})`)
    // One comparison for each pair of neighbours.
    expect(text.match(/\(VALUE\)\[\d+\] < \(VALUE\)\[\d+\]/g)).toHaveLength(ALERT_THRESHOLDS_MAX - 1)
  })

  it('the thresholds of credits left have the same maximum number as in the contract, and can have every number of credits', async () => {
    const { rows } = await database.owner.query<{ text: string }>(
      "select pg_get_constraintdef(oid) as text from pg_constraint where contypid = 'keymeter.credits_left_thresholds'::regtype and contype = 'c'",
    )
    const [{ text } = { text: '' }] = rows
    expect(text).toContain(`cardinality(VALUE) <= ${ALERT_THRESHOLDS_MAX})`)
    expect(text).toContain('<= keymeter.max_credits())')
    expect(text.match(/\(VALUE\)\[\d+\] > \(VALUE\)\[\d+\]/g)).toHaveLength(ALERT_THRESHOLDS_MAX - 1)
  })

  it('the kinds of alerts are the kinds of the contract', async () => {
    expect(literalsOf(await checksOf('alerts', 'kind')).toSorted()).toEqual(AlertKind.options.toSorted())
  })
})

/** Returns all values that the field `verdict` can have in a union of answer schemas. */
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
  const LEFT_OUT: LeftOut[] = ['account_locked', 'account_busy']
  /** All verdicts of the contract. */
  const verdicts = Object.entries(contract).flatMap(([name, schema]) =>
    name.endsWith('Verdict') && schema instanceof z.ZodDiscriminatedUnion ? verdictsOf(schema) : [],
  )
  /** String literals in the source of the functions that are not verdicts. */
  const OTHER_WORDS = [
    ...UsageAction.options,
    ...LedgerKind.options,
    ...(['nobody', 'batches', 'everybody'] satisfies WaitsFor[]),
    ...LEFT_OUT,
    'epoch',
    '-infinity',
    '15 minutes',
    '1 minute',
    '{}',
  ]

  const wordsOf = async () => {
    const names = readdirSync(new URL('../../../supabase/schemas/functions/metering', import.meta.url)).map((file) =>
      file.replace('.sql', ''),
    )
    const { rows } = await database.owner.query<{ source: string }>(
      "select prosrc as source from pg_proc where pronamespace = 'keymeter'::regnamespace and proname = any($1)",
      [names],
    )
    expect(rows.length).toBeGreaterThan(15)
    // The words of errors are not verdicts.
    const sources = rows.map(({ source }) =>
      source.replaceAll(/--.*/g, '').replaceAll(/\b(raise exception|exception when) [^;]*;/g, ''),
    )
    return new Set(sources.flatMap(literalsOf))
  }

  it('every verdict of the metering functions is a verdict of the contract', async () => {
    expect([...(await wordsOf())].filter((word) => !verdicts.includes(word) && !OTHER_WORDS.includes(word))).toEqual([])
  })

  it('the verdicts of items that a batch leaves out are not verdicts of the contract, so a client never gets them', () => {
    expect(verdicts.filter((verdict) => LEFT_OUT.includes(verdict as LeftOut))).toEqual([])
  })

  it('the metering functions contain every verdict of the contract except overloaded, which the server decides', async () => {
    const words = await wordsOf()
    expect(new Set(verdicts.filter((verdict) => !words.has(verdict)))).toEqual(new Set(['overloaded']))
  })
})
