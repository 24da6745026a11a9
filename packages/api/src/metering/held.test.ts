import { disagreements, testDatabase } from '@keymeter/local/testing'
import { pino } from 'pino'
import { expect, it } from 'vitest'
import { provisioned } from '../../test/caller.ts'
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
  expect(await disagreements(database)).toEqual([])
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
  expect(await disagreements(database)).toEqual([])
})
