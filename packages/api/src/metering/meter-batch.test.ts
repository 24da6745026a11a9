import { createHash } from 'node:crypto'
import { CHARGES_MAX, HOLD_SECONDS_MAX } from '@keymeter/contract'
import { sql } from 'kysely'
import { beforeEach, describe, expect, it } from 'vitest'
import { charge, provisioned } from '../../test/caller.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { type BatchItem, meterBatch, type WaitsFor } from './meter-batch.ts'

const database = reconciledDatabase()
let account: Awaited<ReturnType<typeof provisioned>>
let requests = 0
beforeEach(async () => {
  account = await provisioned(database)
  await charge(database, account.defaultKey.secret, 5)
})

const item = (fields: Partial<BatchItem> = {}): BatchItem => ({
  action: 'charge',
  userId: account.userId,
  keyHash: createHash('sha256').update(account.defaultKey.secret).digest(),
  refersTo: null,
  credits: 1,
  idempotencyKey: `request-${requests++}`,
  operation: 'default',
  lifetimeSeconds: null,
  ...fields,
})
const itemOfEvent = (fields: Partial<BatchItem>): BatchItem => item({ keyHash: null, operation: null, refersTo: 1, ...fields })
/** The largest number of credits that the database accepts, as text, because JavaScript cannot represent the next one. */
const MAX_CREDITS = '9007199254740991'
const TOO_MANY_CREDITS = '9007199254740992' as unknown as number

/** The rows of the account that a charge changes. */
const state = async () =>
  await Promise.all(
    [
      'billing_accounts',
      'api_key_usage',
      'usage_by_cycle',
      'usage_by_quarter_hour',
      'credit_holds',
      'ledger_entries',
      'operations',
    ].map(async (table) => {
      const { rows } = await database.owner.query(`select * from ${table} where user_id = $1`, [account.userId])
      return rows
    }),
  )

// All tests of this file call the function with the role of the server (`database.db`), like an attacker with its login.
describe('meter_batch', () => {
  it.each<[string, string, () => BatchItem[]]>([
    ['a charge of negative credits', '22023', () => [item({ credits: -1 })]],
    ['a hold of negative credits', '22023', () => [item({ action: 'hold', credits: -1, lifetimeSeconds: 60 })]],
    ['a settle of negative credits', '22023', () => [itemOfEvent({ action: 'settle', credits: -1 })]],
    ['a release of negative credits', '22023', () => [itemOfEvent({ action: 'release', credits: -1 })]],
    ['a refund of negative credits', '22023', () => [itemOfEvent({ action: 'refund', credits: -1 })]],
    ['a refund of 0 credits', '22023', () => [itemOfEvent({ action: 'refund', credits: 0 })]],
    ['a hold of 0 credits', '23514', () => [item({ action: 'hold', credits: 0, lifetimeSeconds: 60 })]],
    ['a charge of null credits', '22023', () => [item({ credits: null as unknown as number })]],
    ['a charge of more than the largest number of credits', '22023', () => [item({ credits: TOO_MANY_CREDITS })]],
    ['a hold with a negative lifetime', '22023', () => [item({ action: 'hold', lifetimeSeconds: -1 })]],
    ['a hold with a lifetime of 0 s', '22023', () => [item({ action: 'hold', lifetimeSeconds: 0 })]],
    [
      'a hold with a lifetime above the limit',
      '22023',
      () => [item({ action: 'hold', lifetimeSeconds: HOLD_SECONDS_MAX + 1 })],
    ],
    ['a hold without a lifetime', '23502', () => [item({ action: 'hold' })]],
    ['an unknown action', '22023', () => [item({ action: 'grant' as 'charge' })]],
    ['a null action', '22023', () => [item({ action: null as unknown as 'charge' })]],
    ['a null account', '22023', () => [item({ userId: null as unknown as string })]],
    ['a batch above the limit', '22023', () => Array.from({ length: CHARGES_MAX + 1 }, () => item())],
    ['an empty batch', '22023', () => []],
  ])('refuses %s with %s, and changes nothing, also for the other items of the batch', async (_, sqlState, items) => {
    const before = await state()
    const bad = items()
    const batch = bad.length === 1 ? [item(), ...bad, item()] : bad
    await expect(meterBatch(database.db, batch, 'nobody')).rejects.toMatchObject({ code: sqlState })
    expect(await state()).toEqual(before)
  })

  it.each(['actions', 'user_ids', 'key_hashes', 'refers_to', 'credits', 'idempotency_keys', 'operations', 'lifetimes'])(
    'refuses a batch whose array %s is null, or longer or shorter than the others, and changes nothing',
    async (changed) => {
      const before = await state()
      const { keyHash, userId } = item()
      const arrays: Record<string, string> = {
        actions: `array['charge', 'charge']`,
        user_ids: `array['${userId}', '${userId}']::uuid[]`,
        key_hashes: `array['\\x${keyHash?.toString('hex')}', '\\x${keyHash?.toString('hex')}']::bytea[]`,
        refers_to: 'array[null, null]::bigint[]',
        credits: 'array[1, 1]::bigint[]',
        idempotency_keys: `array['a', 'b']`,
        operations: `array['default', 'default']`,
        lifetimes: 'array[null, null]::int[]',
      }
      const call = async (expression: (array: string) => string) => {
        const list = Object.entries(arrays).map(([name, array]) => (name === changed ? expression(array) : array))
        await sql.raw(`select * from keymeter.meter_batch('${userId}', ${list.join(', ')}, 'nobody')`).execute(database.db)
      }
      for (const expression of [
        (array: string) => `nullif(${array}, ${array})`,
        (array: string) => `(${array})[1:1]`,
        (array: string) => `(${array}) || (${array})[1:1]`,
        (array: string) => `(${array})[3:]`,
      ])
        await expect(call(expression)).rejects.toMatchObject({ code: '22023' })
      expect(await state()).toEqual(before)
      await call((array) => array)
      expect(await state()).not.toEqual(before)
    },
  )

  it('refuses to wait for an unknown kind of session, and changes nothing', async () => {
    const before = await state()
    for (const waitsFor of ['someone', null])
      await expect(meterBatch(database.db, [item()], waitsFor as WaitsFor)).rejects.toMatchObject({ code: '22023' })
    expect(await state()).toEqual(before)
  })

  it('accepts the largest number of credits, the longest lifetime of a hold, and the largest batch', async () => {
    const largest = item({ credits: Number(MAX_CREDITS) })
    const longest = item({ action: 'hold', lifetimeSeconds: HOLD_SECONDS_MAX })
    expect(await meterBatch(database.db, [largest, longest], 'nobody')).toMatchObject([
      { verdict: 'insufficient_credits' },
      { verdict: 'held' },
    ])
    const batch = await meterBatch(
      database.db,
      Array.from({ length: CHARGES_MAX }, () => item()),
      'nobody',
    )
    expect(batch.map(({ verdict }) => verdict)).toEqual(Array(CHARGES_MAX).fill('charged'))
  })

  it('stores nothing for a charge or a hold without a key, even if it refers to an event', async () => {
    const before = await state()
    for (const fields of [{ credits: 0, idempotencyKey: null }, {}, { action: 'hold', lifetimeSeconds: 60 }] as const)
      for (const refersTo of [null, 1]) {
        const decided = meterBatch(database.db, [item({ keyHash: null, refersTo, ...fields })], 'nobody')
        expect(await decided).toMatchObject([{ verdict: 'not_found', remaining: null }])
      }
    expect(await state()).toEqual(before)
  })
})
