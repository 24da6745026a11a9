import { randomUUID } from 'node:crypto'
import { type AccountUsage, REPORT_REFUSALS_MAX, REPORT_ROWS_MAX } from '@keymeter/contract'
import { describe, expect, it } from 'vitest'
import { backend, charge, contextOf, provisioned } from '../../test/caller.ts'
import { replaceClock } from '../../test/clock.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { getAccountUsage } from './get-account-usage.ts'
import { readAsOperator } from './read-as-operator.ts'

const database = reconciledDatabase()

async function usageOf(userId: string, cycleStart?: string): Promise<AccountUsage> {
  const call = { ...contextOf({ db: database.ownerDb }, null), osUser: 'tester' }
  return await readAsOperator(call, 'usage', async (_, scopeOf) => ({
    result: await getAccountUsage(scopeOf(userId), { cycleStart }),
    account: userId,
    search: null,
  }))
}

const sum = (rows: { credits: number }[]) => rows.reduce((total, { credits }) => total + credits, 0)

describe('the operator’s report about an account', () => {
  it('the report explains all credits of the current cycle: by key, by operation, refused requests and open holds', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { metering, operator } = backend(database)
    await operator.grantTopUp({ accountId: userId, credits: 100, idempotencyKey: 'top-up' })
    const gone = await caller.keys.create({ name: 'gone', keyType: 'prod' })
    const once = () => ({ idempotencyKey: randomUUID() })
    await metering.charge({ key: gone.secret, credits: 300, operation: 'image', ...once() })
    await metering.charge({ key: defaultKey.secret, credits: 40, operation: 'search', ...once() })
    await metering.charge({ key: defaultKey.secret, credits: 5000, operation: 'image', ...once() })
    await metering.hold({ key: defaultKey.secret, credits: 60, operation: 'image', ...once() })
    await metering.hold({ key: gone.secret, credits: 7, operation: 'search', ...once() })
    await caller.keys.revoke({ id: gone.id })
    await metering.charge({ key: gone.secret, credits: 1, operation: 'search', ...once() })
    const usage = await usageOf(userId)
    const { account } = await caller.billing.get()
    expect(usage).toMatchObject({
      accountId: userId,
      email: `${userId}@example.com`,
      billingCycle: account?.billingCycle,
      isCurrent: true,
      previousCycleStart: null,
      plan: 'free',
      creditsCarried: 0,
      creditsGranted: 1000,
      creditsToppedUp: 100,
      creditsUsed: 340,
      creditsHeld: 67,
      creditsRemaining: 693,
      suspendedAt: null,
      keys: [
        {
          keyId: gone.id,
          name: 'gone',
          keyPrefix: gone.keyPrefix,
          status: 'revoked',
          credits: 300,
          charges: 1,
          creditsHeld: 7,
        },
        { keyId: defaultKey.id, name: 'default', status: 'active', credits: 40, charges: 1, creditsHeld: 60 },
      ],
      restOfKeys: null,
      operations: [
        { operation: 'image', credits: 300, charges: 1 },
        { operation: 'search', credits: 40, charges: 1 },
      ],
      restOfOperations: null,
      refusals: [
        { verdict: 'revoked', keyId: gone.id, creditsRequested: 1 },
        { verdict: 'insufficient_credits', keyId: defaultKey.id, creditsRequested: 5000, remaining: 760 },
      ],
      holds: [
        { keyId: defaultKey.id, operation: 'image', credits: 60 },
        { keyId: gone.id, operation: 'search', credits: 7 },
      ],
      restOfHolds: null,
    })
    expect(usage.creditsRemaining).toBe(account?.creditsRemaining)
  })

  it('the report lists the largest keys, operations and holds, and sums the others', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const { metering } = backend(database)
    for (let n = 1; n <= REPORT_ROWS_MAX + 2; n++) {
      const key = n === 1 ? defaultKey.secret : (await caller.keys.create({ name: `key ${n}` })).secret
      const request = { key, credits: n, operation: `operation-${n}` }
      await metering.charge({ ...request, idempotencyKey: `charge-${n}` })
      await metering.hold({ ...request, idempotencyKey: `hold-${n}` })
    }
    for (let n = 0; n < REPORT_REFUSALS_MAX + 1; n++)
      await metering.charge({ key: defaultKey.secret, credits: 10_000, idempotencyKey: `refused-${n}` })
    const usage = await usageOf(userId)
    const largest = Array.from({ length: REPORT_ROWS_MAX }, (_, i) => REPORT_ROWS_MAX + 2 - i)
    for (const rows of [usage.keys, usage.operations, usage.holds]) expect(rows.map(({ credits }) => credits)).toEqual(largest)
    expect(usage.restOfKeys).toEqual({ count: 2, credits: 3, charges: 2 })
    expect(usage.restOfOperations).toEqual({ count: 2, credits: 3, charges: 2 })
    expect(usage.restOfHolds).toEqual({ count: 2, credits: 3 })
    expect(sum(usage.keys) + (usage.restOfKeys?.credits ?? 0)).toBe(usage.creditsUsed)
    expect(sum(usage.holds) + (usage.restOfHolds?.credits ?? 0)).toBe(usage.creditsHeld)
    expect(usage.refusals).toHaveLength(REPORT_REFUSALS_MAX)
  })

  it('the report contains no expired hold, neither in the sum of the account nor in the sums of its keys', async () => {
    const { userId, defaultKey } = await provisioned(database)
    const hold = { key: defaultKey.secret, operation: 'image' }
    const clock = await replaceClock(database)
    try {
      await charge(database, defaultKey.secret, 25)
      await backend(database).metering.hold({ ...hold, credits: 60, ttlSeconds: 60, idempotencyKey: 'expires' })
      await backend(database).metering.hold({ ...hold, credits: 7, ttlSeconds: 3600, idempotencyKey: 'stays' })
      const before = await usageOf(userId)
      expect(before).toMatchObject({ creditsHeld: 67, keys: [{ creditsHeld: 67 }], holds: [{ credits: 60 }, { credits: 7 }] })
      await clock.set(new Date(Date.parse(before.holds[0]?.expiresAt ?? '')))
      expect(await usageOf(userId)).toMatchObject({
        creditsHeld: 7,
        creditsRemaining: 968,
        keys: [{ creditsHeld: 7 }],
        holds: [{ credits: 7 }],
        restOfHolds: null,
      })
      // The account has a future that the real clock does not know.
      await database.owner.query('delete from billing_accounts where user_id = $1', [userId])
    } finally {
      await clock.remove()
    }
  })

  it('the report about an earlier cycle contains its open holds, and a time at which no cycle starts is refused', async () => {
    const { userId, defaultKey } = await provisioned(database)
    const { start, end } = (await usageOf(userId)).billingCycle
    await charge(database, defaultKey.secret, 25)
    const clock = await replaceClock(database)
    try {
      await clock.set(new Date(Date.parse(end) - 3_600_000))
      const hold = { key: defaultKey.secret, credits: 60, ttlSeconds: 86_400 }
      await backend(database).metering.hold({ ...hold, idempotencyKey: 'earlier' })
      await clock.set(new Date(Date.parse(end) + 3_600_000))
      await backend(database).metering.hold({ ...hold, credits: 7, idempotencyKey: 'current' })
      expect(await usageOf(userId)).toMatchObject({
        isCurrent: true,
        billingCycle: { start: end },
        previousCycleStart: start,
        creditsUsed: 0,
        creditsHeld: 7,
        creditsRemaining: 993,
        keys: [],
        holds: [{ credits: 7 }],
        restOfHolds: null,
      })
      expect(await usageOf(userId, start)).toMatchObject({
        isCurrent: false,
        billingCycle: { start, end },
        creditsUsed: 25,
        creditsHeld: 60,
        creditsRemaining: 915,
        keys: [{ name: 'default', credits: 25, creditsHeld: 60 }],
        holds: [{ credits: 60 }],
        restOfHolds: null,
      })
      await expect(usageOf(userId, '2020-01-01T00:00:00Z')).rejects.toMatchObject({
        reason: 'bad_request',
        issues: [{ field: 'cycleStart' }],
      })
      // The account has a future that the real clock does not know.
      await database.owner.query('delete from billing_accounts where user_id = $1', [userId])
    } finally {
      await clock.remove()
    }
  })

  it('the report fails for a user without an account', async () => {
    await expect(usageOf(await database.createUser())).rejects.toMatchObject({ reason: 'account_not_found' })
  })
})
