import { createDb } from '@keymeter/db'
import { testDatabase } from '@keymeter/local/testing'
import { pino } from 'pino'
import { expect, it } from 'vitest'
import { provisioned } from '../../test/caller.ts'
import { reconcile } from '../maintenance/reconcile.ts'
import { createMetering } from './metering.ts'

const database = testDatabase()
const metering = createMetering({ db: database.db, keyBrand: 'km', log: pino({ level: 'silent' }) })
let requests = 0
const charge = async (key: string) =>
  await metering.charge({ key, credits: 1, idempotencyKey: `request-${requests++}`, operation: 'default' })

it('an account that somebody else holds the lock of waits by itself; all others are charged meanwhile', async () => {
  const [held, ...others] = await Promise.all(Array.from({ length: 5 }, async () => await provisioned(database)))
  if (held === undefined) throw new Error('no account')
  const holder = await database.owner.connect()
  await holder.query('begin')
  await holder.query('select 1 from billing_accounts where user_id = $1 for update', [held.userId])

  let isHeld = true
  const answered: string[] = []
  const waiting = Promise.all(
    Array.from({ length: 10 }, async () => {
      expect(await charge(held.defaultKey.secret)).toMatchObject({ verdict: 'charged' })
      answered.push(isHeld ? 'while held' : 'afterwards')
    }),
  )
  for (let round = 0; round < 20; round++) {
    const verdicts = await Promise.all(others.map(async ({ defaultKey }) => await charge(defaultKey.secret)))
    for (const verdict of verdicts) expect(verdict).toMatchObject({ verdict: 'charged' })
  }
  expect(answered).toEqual([])
  isHeld = false
  await holder.query('rollback')
  holder.release()
  await waiting
  expect(answered).toEqual(Array(10).fill('afterwards'))
  expect(await charge(held.defaultKey.secret)).toMatchObject({ verdict: 'charged', remaining: 989 })
  expect(await reconcile(database.ownerDb)).toEqual([])
})

it('accounts that together take longer than a statement may are charged one after the other', async () => {
  const accounts = await Promise.all(Array.from({ length: 8 }, async () => await provisioned(database)))
  // What time does to each takes a while; nothing is due of an account that was charged just now.
  const { owner } = database
  await owner.query('alter function keymeter.advance_accounts(uuid[], timestamptz) rename to advance_accounts_of_one_batch')
  await owner.query(
    `create function keymeter.advance_accounts(user_ids uuid[], v_now timestamptz) returns void language plpgsql as
      'begin perform pg_sleep(0.3 * cardinality(user_ids)), keymeter.advance_accounts_of_one_batch(user_ids, v_now); end'`,
  )
  const db = createDb(`${database.urls.api}?options=-c%20statement_timeout%3D1500`, () => {})
  const slow = createMetering({ db, keyBrand: 'km', log: pino({ level: 'silent' }) })
  const ask = ({ defaultKey }: (typeof accounts)[number], n: number) =>
    slow.charge({ key: defaultKey.secret, credits: 1, idempotencyKey: `slow-${n}`, operation: 'default' })
  // The first goes alone, and the others form a batch behind it.
  const verdicts = await Promise.all(accounts.flatMap((account) => [ask(account, 1), ask(account, 2)]))
  expect(verdicts.map(({ verdict }) => verdict)).toEqual(Array(16).fill('charged'))
  await db.destroy()
  await owner.query(
    'drop function keymeter.advance_accounts; alter function keymeter.advance_accounts_of_one_batch rename to advance_accounts',
  )
  expect(await reconcile(database.ownerDb)).toEqual([])
})

it('accounts that were held for too long, many at once, are charged again when nobody holds them', async () => {
  const accounts = await Promise.all(Array.from({ length: 6 }, async () => await provisioned(database)))
  const holder = await database.owner.connect()
  await holder.query('begin')
  await holder.query('select 1 from billing_accounts where user_id = any($1) for update', [
    accounts.map(({ userId }) => userId),
  ])
  for (const result of await Promise.allSettled(accounts.map(async ({ defaultKey }) => await charge(defaultKey.secret))))
    expect(result).toMatchObject({ reason: { reason: 'database_unavailable' } })
  await holder.query('rollback')
  holder.release()
  for (const { defaultKey } of accounts) expect(await charge(defaultKey.secret)).toMatchObject({ verdict: 'charged' })
  expect(await reconcile(database.ownerDb)).toEqual([])
})

it('twelve accounts that another session locks for longer than a charge waits leave no rejection unhandled', async () => {
  const unhandled: unknown[] = []
  const listener = (reason: unknown) => unhandled.push(reason)
  process.on('unhandledRejection', listener)
  // A new process knows of no locked account yet: all of them are in the first batches.
  const fresh = createMetering({ db: database.db, keyBrand: 'km', log: pino({ level: 'silent' }) })
  const accounts = await Promise.all(Array.from({ length: 12 }, async () => await provisioned(database)))
  const free = await provisioned(database)
  const holder = await database.owner.connect()
  await holder.query('begin')
  await holder.query('select 1 from billing_accounts where user_id = any($1) for update', [
    accounts.map(({ userId }) => userId),
  ])
  const ask = async ({ defaultKey }: typeof free, idempotencyKey: string) =>
    await fresh.charge({ key: defaultKey.secret, credits: 1, idempotencyKey, operation: 'default' })

  const locked = accounts.map(async (account) => await ask(account, 'locked'))
  expect(await ask(free, 'free')).toMatchObject({ verdict: 'charged' })
  for (const result of await Promise.allSettled(locked))
    expect(result).toMatchObject({ reason: { reason: 'database_unavailable' } })
  await holder.query('rollback')
  holder.release()
  for (const account of accounts) expect(await ask(account, 'again')).toMatchObject({ verdict: 'charged' })
  process.off('unhandledRejection', listener)
  expect(unhandled).toEqual([])
  expect(await reconcile(database.ownerDb)).toEqual([])
})
