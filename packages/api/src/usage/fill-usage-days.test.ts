import { withClient } from '@keymeter/local'
import { disagreements, testDatabase } from '@keymeter/local/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { contextOf, provisioned } from '../../test/caller.ts'
import { replaceClock } from '../../test/clock.ts'
import { keepUsageByDaysFrom } from '../../test/usage-days.ts'
import { fillUsageDays } from './fill-usage-days.ts'

const database = testDatabase()
const { metering } = contextOf(database, null)
const range = { from: '2027-03-08T00:00:00Z', to: '2027-03-10T00:00:00Z', unit: 'hour', timeZone: 'Asia/Kolkata' } as const

let clock: Awaited<ReturnType<typeof replaceClock>>
beforeEach(async () => {
  clock = await replaceClock(database)
  await keepUsageByDaysFrom(database, 1000)
})
afterEach(async () => expect(await disagreements(database)).toEqual([]))

/** An account with usage in some quarters of an hour of two days, none of which its days have, as before there were any. */
async function idleAccount(quarters: number) {
  const account = await provisioned(database)
  for (let n = 0; n < quarters; n++) {
    await clock.set(new Date(Date.UTC(2027, 2, 8, 9 * n)))
    const verdict = await metering.charge({
      key: account.defaultKey.secret,
      credits: 1 + n,
      idempotencyKey: `request-${n}`,
      operation: 'default',
    })
    expect(verdict.verdict).toBe('charged')
  }
  await database.owner.query(
    "update billing_accounts set usage_days_until = '-infinity', usage_days_due_at = '-infinity' where user_id = $1",
    [account.userId],
  )
  return account
}

const filledUntil = async () => {
  const { rows } = await database.owner.query<{ user_id: string; until: string; is_due: boolean }>(
    "select user_id, usage_days_until::text as until, usage_days_due_at = '-infinity' as is_due from billing_accounts",
  )
  return new Map(rows.map(({ user_id, until, is_due }) => [user_id, is_due ? 'not looked at' : until]))
}

describe('the days of usage of accounts that are not charged', () => {
  it('are filled, however many accounts and rows there are, and show what was shown before', async () => {
    const accounts = await Promise.all(Array.from({ length: 25 }, async () => await provisioned(database)))
    const busy = await idleAccount(5)
    const shown = await busy.caller.usage.timeseries(range)
    expect(shown.series[0]?.charges.filter((n) => n > 0)).toEqual([1, 1, 1, 1, 1])

    // Two of its rows in a transaction.
    await keepUsageByDaysFrom(database, 1)
    await clock.set(new Date('2027-03-20T00:00:00Z'))
    await fillUsageDays(database.db)
    const filled = await filledUntil()
    expect(filled.get(busy.userId)).toBe('2027-03-20 00:00:00+00')
    expect([...filled.values()]).not.toContain('not looked at')
    expect(filled.size).toBeGreaterThan(accounts.length)
    const { rows } = await database.owner.query(
      'select sum(cardinality(quarters))::int as n from usage_days where user_id = $1',
      [busy.userId],
    )
    expect(rows[0].n).toBe(4 * 5)
    expect(await busy.caller.usage.timeseries(range)).toEqual(shown)
  })

  it('are left alone when somebody holds the account, without a wait, and filled the next time', async () => {
    const [held, free] = [await idleAccount(3), await idleAccount(3)]
    await keepUsageByDaysFrom(database, 1)
    await clock.set(new Date('2027-03-20T00:00:00Z'))
    await withClient(database.urls.owner, async (client) => {
      await client.query('begin')
      await client.query('select from billing_accounts where user_id = $1 for no key update', [held.userId])
      await fillUsageDays(database.db)
      const filled = await filledUntil()
      expect([filled.get(held.userId), filled.get(free.userId)]).toEqual(['not looked at', '2027-03-20 00:00:00+00'])
      await client.query('rollback')
    })
    await fillUsageDays(database.db)
    expect((await filledUntil()).get(held.userId)).toBe('2027-03-20 00:00:00+00')
  })

  it('are filled by some at once and charged meanwhile, and nothing is counted twice', async () => {
    const accounts = [await idleAccount(5), await idleAccount(5), await idleAccount(5)]
    await keepUsageByDaysFrom(database, 1)
    await clock.set(new Date('2027-03-20T00:00:00Z'))
    const charges = accounts.map(
      async ({ defaultKey }) =>
        await metering.charge({ key: defaultKey.secret, credits: 1, idempotencyKey: 'meanwhile', operation: 'default' }),
    )
    const fills = Array.from({ length: 4 }, async () => await fillUsageDays(database.db))
    expect((await Promise.all(charges)).map(({ verdict }) => verdict)).toEqual(['charged', 'charged', 'charged'])
    await Promise.all(fills)
    for (const { caller } of accounts) {
      const { series } = await caller.usage.timeseries({ ...range, to: '2027-03-21T00:00:00Z' })
      expect(series[0]?.credits.reduce((sum, credits) => sum + credits, 0)).toBe(1 + 2 + 3 + 4 + 5 + 1)
    }
  })

  it('stop being filled when told to, after the step that is under way, and are filled from there the next time', async () => {
    await fillUsageDays(database.db)
    const { userId } = await idleAccount(5)
    await keepUsageByDaysFrom(database, 1)
    await clock.set(new Date('2027-03-20T00:00:00Z'))
    const until = async () => {
      const { rows } = await database.owner.query(
        'select usage_days_until::text as until from billing_accounts where user_id = $1',
        [userId],
      )
      return rows[0].until
    }
    await fillUsageDays(database.db, AbortSignal.abort())
    expect(await until()).toBe('-infinity')
    expect((await filledUntil()).get(userId)).toBe('not looked at')

    const stopping = new AbortController()
    const filling = fillUsageDays(database.db, stopping.signal)
    stopping.abort()
    await filling
    const [first, last] = ['2027-03-08 00:00:00+00', '2027-03-20 00:00:00+00']
    const reached = await until()
    expect(reached > first && reached < last, reached).toBe(true)
    await fillUsageDays(database.db)
    expect((await filledUntil()).get(userId)).toBe(last)
  })
})
