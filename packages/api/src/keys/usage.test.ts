import { createDb } from '@keymeter/db'
import { testDatabase } from '@keymeter/local/testing'
import fc from 'fast-check'
import { sql } from 'kysely'
import { describe, expect, it } from 'vitest'
import { provisioned, signedIn } from '../../test/caller.ts'
import { naiveBoundary } from '../../test/naive-cycle.ts'
import { cycleBoundary } from '../billing/cycle.ts'

const database = testDatabase()

async function charge(userId: string, keyId: string, credits: number, at?: Date) {
  // The columns that other tools are promised; all others have their defaults.
  await database.owner.query(
    'insert into api_key_usage (user_id, api_key_id, credits_charged, created_at) values ($1, $2, $3, coalesce($4, now()))',
    [userId, keyId, credits, at],
  )
}

async function setAnchor(userId: string, anchor: Date) {
  await database.owner.query(
    'update billing_accounts set billing_cycle_anchor = $2, billing_cycle_start = $2 where user_id = $1',
    [userId, anchor],
  )
}

async function databaseNow(): Promise<Date> {
  return (await database.owner.query('select now()')).rows[0].now
}

describe('keys.usage', () => {
  it('shows each live key with its credits, a key without usage with 0, newest first', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const prod = await caller.keys.create({ name: 'prod', keyType: 'prod' })
    await charge(userId, defaultKey.id, 3)
    await charge(userId, defaultKey.id, 4)
    const { data, billingCycle } = await caller.keys.usage()
    const { secret: _, requestId: __, ...shown } = prod
    const { secret: ___, ...shownDefault } = defaultKey
    expect(data).toEqual([
      { ...shown, creditsUsed: 0 },
      { ...shownDefault, creditsUsed: 7 },
    ])
    expect(Date.parse(billingCycle?.end ?? '')).toBeGreaterThan(Date.now())
  })

  it('never counts what a revoked key spent; the account’s own total does', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const revoked = await caller.keys.create({ name: 'revoked' })
    await charge(userId, revoked.id, 50)
    await charge(userId, defaultKey.id, 5)
    await caller.keys.revoke({ id: revoked.id })
    expect((await caller.keys.usage()).data.map(({ name, creditsUsed }) => [name, creditsUsed])).toEqual([['default', 5]])
    expect((await caller.billing.get()).account?.creditsUsed).toBe(55)
  })

  it('never counts another account’s usage', async () => {
    const [one, other] = [await provisioned(database), await provisioned(database)]
    await charge(other.userId, other.defaultKey.id, 99)
    await charge(one.userId, one.defaultKey.id, 1)
    expect((await one.caller.keys.usage()).data.map(({ creditsUsed }) => creditsUsed)).toEqual([1])
    expect((await one.caller.billing.get()).account?.creditsUsed).toBe(1)
  })

  it('counts from the start of the current cycle, included, and nothing before or from its end on', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const now = await databaseNow()
    await setAnchor(userId, cycleBoundary(now, -3))
    const cycle = (await caller.keys.usage()).billingCycle
    const [start, end] = [new Date(cycle?.start ?? ''), new Date(cycle?.end ?? '')]
    await charge(userId, defaultKey.id, 1, start)
    await charge(userId, defaultKey.id, 10, new Date(start.getTime() - 1))
    await charge(userId, defaultKey.id, 100, new Date(end.getTime() - 1))
    await charge(userId, defaultKey.id, 1000, end)
    expect((await caller.keys.usage()).data[0]?.creditsUsed).toBe(101)
  })

  it('is right when the stored cycle start is months old, whatever the session’s time zone', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const now = await databaseNow()
    // Ten days into the third cycle; the stored start still is that of the first.
    await setAnchor(userId, new Date(cycleBoundary(now, -2).getTime() - 10 * 86_400_000))
    await charge(userId, defaultKey.id, 7, new Date(now.getTime() - 60_000))
    await charge(userId, defaultKey.id, 500, new Date(now.getTime() - 45 * 86_400_000))
    expect((await caller.keys.usage()).data[0]?.creditsUsed).toBe(7)
    for (const zone of ['Pacific/Kiritimati', 'America/Anchorage']) {
      const db = createDb(`${database.urls.api}?options=-c%20TimeZone%3D${zone}`, () => {})
      expect((await sql<{ TimeZone: string }>`show timezone`.execute(db)).rows).toEqual([{ TimeZone: zone }])
      expect((await (await signedIn({ db }, userId)).keys.usage()).data[0]?.creditsUsed).toBe(7)
      await db.destroy()
    }
  })

  it('is a JSON number up to the largest that JSON carries exactly', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    await charge(userId, defaultKey.id, Number.MAX_SAFE_INTEGER)
    expect((await caller.keys.usage()).data[0]?.creditsUsed).toBe(Number.MAX_SAFE_INTEGER)
    await charge(userId, defaultKey.id, 1)
    await expect(caller.keys.usage()).rejects.toMatchObject({ code: 'INTERNAL_SERVER_ERROR' })
  })

  it('agrees with a plain re-computation, whatever the history', async () => {
    const accounts = [await provisioned(database), await provisioned(database)]
    const keys: { owner: number; id: string; isRevoked: boolean }[] = []
    for (const [owner, { caller, defaultKey }] of accounts.entries()) {
      keys.push({ owner, id: defaultKey.id, isRevoked: false })
      for (const name of ['a', 'b', 'c']) keys.push({ owner, id: (await caller.keys.create({ name })).id, isRevoked: false })
    }
    const event = fc.record({
      key: fc.nat({ max: keys.length - 1 }),
      credits: fc.nat({ max: 1000 }),
      daysAgo: fc.double({ min: -40, max: 100, noNaN: true }),
    })
    const history = fc.record({
      events: fc.array(event, { maxLength: 60 }),
      anchorDaysAgo: fc.tuple(fc.double({ min: 0, max: 120, noNaN: true }), fc.double({ min: 0, max: 120, noNaN: true })),
      revoked: fc.array(fc.nat({ max: keys.length - 1 }), { maxLength: 2 }),
    })
    await fc.assert(
      fc.asyncProperty(history, async ({ events, anchorDaysAgo, revoked }) => {
        const now = await databaseNow()
        const ago = (days: number) => new Date(now.getTime() - days * 86_400_000)
        await database.owner.query('delete from api_key_usage where user_id = any($1)', [accounts.map(({ userId }) => userId)])
        for (const [owner, { userId }] of accounts.entries()) await setAnchor(userId, ago(anchorDaysAgo[owner] ?? 0))
        for (const key of keys) key.isRevoked = false
        for (const index of revoked) if (keys[index]) keys[index].isRevoked = true
        await database.owner.query('update api_keys set revoked_at = case when id = any($1) then now() end', [
          keys.filter(({ isRevoked }) => isRevoked).map(({ id }) => id),
        ])
        for (const { key, credits, daysAgo } of events) {
          const { owner, id } = keys[key] ?? { owner: 0, id: '' }
          await charge(accounts[owner]?.userId ?? '', id, credits, ago(daysAgo))
        }

        for (const [owner, { caller }] of accounts.entries()) {
          const { start, end } = naiveCycle(ago(anchorDaysAgo[owner] ?? 0), now)
          const expected = keys
            .filter((key) => key.owner === owner && !key.isRevoked)
            .map(({ id }) => {
              const own = events.filter(
                ({ key, daysAgo }) => keys[key]?.id === id && ago(daysAgo) >= start && ago(daysAgo) < end,
              )
              return [id, own.reduce((sum, { credits }) => sum + credits, 0)]
            })
          const { data, billingCycle } = await caller.keys.usage()
          expect(new Map(data.map(({ id, creditsUsed }) => [id, creditsUsed]))).toEqual(new Map(expected as [string, number][]))
          expect(billingCycle?.start).toBe(start.toISOString())
        }
      }),
      { numRuns: 40 },
    )
  })
})

/** The cycle that `now` lies in, by counting up from the anchor. */
function naiveCycle(anchor: Date, now: Date): { start: Date; end: Date } {
  let months = 0
  while (naiveBoundary(anchor, months + 1) <= now) months++
  return { start: naiveBoundary(anchor, months), end: naiveBoundary(anchor, months + 1) }
}
