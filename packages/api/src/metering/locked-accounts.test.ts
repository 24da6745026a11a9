import { createDb } from '@keymeter/db'
import { pino } from 'pino'
import { expect, it } from 'vitest'
import { provisioned } from '../../test/caller.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { Metering } from './metering.ts'

/** The deadline of a charge in the tests that wait for it. It is shorter than the deadline of the product. */
const DEADLINE_MS = 4_000

const database = reconciledDatabase()
const log = pino({ level: 'silent' })
type Account = Awaited<ReturnType<typeof provisioned>>
const provisionMany = async (count: number) =>
  await Promise.all(Array.from({ length: count }, async () => await provisioned(database)))

let requests = 0
const charge = async (metering: Metering, { defaultKey }: Account, idempotencyKey = `request-${requests++}`) =>
  await metering.charge({ key: defaultKey.secret, credits: 1, idempotencyKey, operation: 'default' })

/** Locks the accounts in another database session, until `unlock` is called. */
async function lock(accounts: Account[]): Promise<{ unlock(): Promise<void> }> {
  const session = await database.owner.connect()
  await session.query('begin')
  await session.query('select 1 from billing_accounts where user_id = any($1) for update', [
    accounts.map(({ userId }) => userId),
  ])
  return {
    unlock: async () => {
      await session.query('rollback')
      session.release()
    },
  }
}

it('only the calls of an account that another session has locked wait, and all other accounts are charged', async () => {
  const metering = new Metering({ db: database.db, keyBrand: 'km', log, answeredWithinMs: 60_000 })
  const [locked, ...others] = await provisionMany(5)
  if (locked === undefined) throw new Error('no account')
  const { unlock } = await lock([locked])

  let isLocked = true
  const answered: string[] = []
  const waiting = Promise.all(
    Array.from({ length: 10 }, async () => {
      expect(await charge(metering, locked)).toMatchObject({ verdict: 'charged' })
      answered.push(isLocked ? 'while locked' : 'afterwards')
    }),
  )
  for (let round = 0; round < 20; round++) {
    const verdicts = await Promise.all(others.map(async (other) => await charge(metering, other)))
    for (const verdict of verdicts) expect(verdict).toMatchObject({ verdict: 'charged' })
  }
  expect(answered).toEqual([])
  isLocked = false
  await unlock()
  await waiting
  expect(answered).toEqual(Array(10).fill('afterwards'))
  expect(await charge(metering, locked)).toMatchObject({ verdict: 'charged', remaining: 989 })
})

it('accounts are charged one after the other if a batch with all of them takes longer than statement_timeout', async () => {
  const accounts = await provisionMany(8)
  // Make `advance_accounts` slow. The charge engine calls it only for accounts with due work, so it is not called for
  // accounts that were just charged.
  const { owner } = database
  await owner.query('alter function keymeter.advance_accounts(uuid[], timestamptz) rename to fast_advance_accounts')
  await owner.query(
    `create function keymeter.advance_accounts(user_ids uuid[], v_now timestamptz) returns void language plpgsql as
      'begin perform pg_sleep(0.1 * cardinality(user_ids)), keymeter.fast_advance_accounts(user_ids, v_now); end'`,
  )
  const db = createDb(`${database.urls.api}?options=-c%20statement_timeout%3D500`, () => {})
  const metering = new Metering({ db, keyBrand: 'km', log, answeredWithinMs: 60_000 })
  const verdicts = await Promise.all(
    accounts.flatMap((account) => [charge(metering, account, 'slow-1'), charge(metering, account, 'slow-2')]),
  )
  expect(verdicts.map(({ verdict }) => verdict)).toEqual(Array(16).fill('charged'))
  await db.destroy()
  await owner.query(
    'drop function keymeter.advance_accounts; alter function keymeter.fast_advance_accounts rename to advance_accounts',
  )
})

it('accounts can be charged again after another session has locked them for longer than a charge waits', async () => {
  const unhandled: unknown[] = []
  const listener = (reason: unknown) => unhandled.push(reason)
  process.on('unhandledRejection', listener)
  // A new charge engine does not know which accounts are locked, so its first batches contain all of them.
  const metering = new Metering({ db: database.db, keyBrand: 'km', log, answeredWithinMs: DEADLINE_MS })
  const accounts = await provisionMany(12)
  const free = await provisioned(database)
  const { unlock } = await lock(accounts)

  const locked = accounts.map(async (account) => await charge(metering, account, 'locked'))
  expect(await charge(metering, free, 'free')).toMatchObject({ verdict: 'charged' })
  for (const result of await Promise.allSettled(locked))
    expect(result).toMatchObject({ reason: { reason: 'database_unavailable' } })
  await unlock()
  for (const account of accounts) expect(await charge(metering, account, 'again')).toMatchObject({ verdict: 'charged' })
  process.off('unhandledRejection', listener)
  expect(unhandled).toEqual([])
})

it('many locked accounts do not occupy all connections, and do not delay the other accounts', async () => {
  const db = createDb(database.urls.api, () => {}, { connectionsMax: 6 })
  const metering = new Metering({ db, keyBrand: 'km', log, answeredWithinMs: 60_000 })
  const accounts = await provisionMany(40)
  const free = await provisioned(database)
  const { unlock } = await lock(accounts)

  let isLocked = true
  const answered: string[] = []
  const waiting = accounts.map(async (account) => {
    const { verdict } = await charge(metering, account)
    answered.push(isLocked ? 'while locked' : verdict)
  })
  // Only the first charge shares a batch with the locked accounts.
  expect(await charge(metering, free)).toMatchObject({ verdict: 'charged' })
  // If the locked accounts occupied all connections, these charges would wait until a connection is free.
  for (let round = 0; round < 5; round++) expect(await charge(metering, free)).toMatchObject({ verdict: 'charged' })
  expect(answered).toEqual([])
  isLocked = false
  await unlock()
  await Promise.all(waiting)
  expect(answered).toEqual(Array(40).fill('charged'))
  await db.destroy()
})
