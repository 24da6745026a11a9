import { randomUUID } from 'node:crypto'
import { insertSecrets } from '@keymeter/local/testing'
import { sql } from 'kysely'
import { beforeEach, describe, expect, it } from 'vitest'
import { backend, contextOf, provisioned } from '../../test/caller.ts'
import { replaceClock, type TestClock } from '../../test/clock.ts'
import { memberOf } from '../../test/members.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { recordPlans, rowsRead } from '../../test/recorded-plans.ts'
import { keepUsageByDaysFrom } from '../../test/usage-days.ts'
import { reconcile } from '../maintenance/reconcile.ts'
import { verifyAudit } from '../maintenance/verify-audit.ts'
import { ERASED_ROWS_MAX, ERASED_TABLES, eraseAccount } from './erase-account.ts'

const database = reconciledDatabase()
const { owner, ownerDb } = database
const { metering, operator } = backend(database)
const START = new Date('2027-01-10T12:00:00.000Z')
const DAY_MS = 86_400_000
const call = (db = ownerDb) => ({ ...contextOf({ db }, null), osUser: 'tester', requestId: randomUUID() })

let clock: TestClock
beforeEach(async () => {
  clock = await replaceClock(database)
  await keepUsageByDaysFrom(database, 1)
  await clock.set(START)
})

let requests = 0
const once = () => `erase-${requests++}`

/** Creates an account with rows in every table, in two cycles. */
async function accountWithEverything() {
  await clock.set(START)
  const { userId, caller, defaultKey } = await provisioned(database)
  await owner.query('update billing_accounts set billing_cycle_anchor = $2, billing_cycle_start = $2 where user_id = $1', [
    userId,
    START,
  ])
  await owner.query('update account_members set email = $2 where user_id = $1', [userId, `${userId}@example.com`])
  await memberOf(database, userId, 'admin')
  await caller.accounts.rename({ name: 'A name' })
  await caller.keys.rotate({ id: defaultKey.id, graceSeconds: 0 })
  const { secret } = await caller.keys.create({ name: 'second' })
  await operator.grantTopUp({ accountId: userId, credits: 5_000, idempotencyKey: once(), note: 'a note' })
  const use = async (credits: number) =>
    await metering.charge({ key: secret, credits, idempotencyKey: once(), operation: 'work' })
  for (let day = 0; day < 3; day++) {
    await clock.set(new Date(START.getTime() + day * DAY_MS))
    for (let n = 0; n < 5; n++) await use(100)
  }
  const charged = await use(10)
  if (charged.verdict !== 'charged' || charged.chargeId === null) throw new Error(charged.verdict)
  await clock.set(new Date(START.getTime() + 40 * DAY_MS))
  await use(700)
  await metering.refund({ chargeId: charged.chargeId, credits: 5, idempotencyKey: once() })
  await metering.hold({ key: secret, credits: 20, idempotencyKey: once(), ttlSeconds: 60 })
  await sql`insert into account_invitations (user_id, token_hash, email, role, created_at, expires_at)
            values (${userId}, sha256(${userId}::text::bytea), 'invited@example.com', 'viewer', keymeter.now(), keymeter.now() + interval '7 days')`.execute(
    ownerDb,
  )
  // A hold is open for a minute.
  const afterHold = async () => await clock.set(new Date(START.getTime() + 41 * DAY_MS))
  return {
    userId,
    caller,
    secret,
    charged: charged.chargeId,
    afterHold,
    close: async () => await caller.accounts.close({ confirmation: 'A name' }),
  }
}

async function rowsOf(userId: string): Promise<Record<string, number>> {
  const tables = [...ERASED_TABLES, 'api_key_usage', 'audit_log', 'billing_accounts']
  const counts: Record<string, number> = {}
  for (const table of tables)
    counts[table] = (await owner.query(`select count(*)::int as n from ${table} where user_id = $1`, [userId])).rows[0].n
  return counts
}
const logOf = async (userId: string) =>
  (
    await owner.query("select command, search, os_user from operator_log where user_id = $1 and command = 'erase-account'", [
      userId,
    ])
  ).rows

describe('the erasure of an account', () => {
  it('an account that is not deleted, or has open holds, is not erased', async () => {
    const account = await accountWithEverything()
    const before = await rowsOf(account.userId)
    await expect(eraseAccount(call(), account.userId)).rejects.toThrow('This account is not deleted')
    await account.close()
    await expect(eraseAccount(call(), account.userId)).rejects.toThrow('open holds until 2027-02-19T12:01:00.000Z')
    expect(await rowsOf(account.userId)).toEqual({ ...before, audit_log: (before['audit_log'] ?? 0) + 1 })
    await expect(eraseAccount(call(), randomUUID())).rejects.toMatchObject({ reason: 'account_not_found' })
  })

  it('every table loses the rows of the account, and the row of the account and the audit chain stay, without changes of others', async () => {
    const [account, other] = [await accountWithEverything(), await accountWithEverything()]
    const before = await rowsOf(account.userId)
    // The account has rows in every table, so the test covers all of them. Only dropped months add a row to usage_retention.
    expect(
      Object.entries(before)
        .filter(([, count]) => count === 0)
        .map(([table]) => table),
    ).toEqual(['usage_retention'])
    const others = await rowsOf(other.userId)
    await account.close()
    await account.afterHold()
    const { rows, audit } = await eraseAccount(call(), account.userId)
    const after = await rowsOf(account.userId)
    const kept = { audit_log: (before['audit_log'] ?? 0) + 2, billing_accounts: 1 }
    expect(after).toEqual({ ...Object.fromEntries(Object.keys(before).map((table) => [table, 0])), ...kept })
    const { audit_log: _, billing_accounts: __, ...erased } = before
    expect(rows).toBe(Object.values(erased).reduce((sum, count) => sum + count, 0))
    expect(await rowsOf(other.userId)).toEqual(others)
    expect((await verifyAudit(ownerDb)).faults).toEqual([])
    expect(audit).toEqual({ entries: kept.audit_log, head: expect.stringMatching(/^[0-9a-f]{64}$/), isErased: false })
    const { rows: row } = await owner.query(
      'select name, credits_used::int, top_up_balance::int, erased_at from billing_accounts where user_id = $1',
      [account.userId],
    )
    expect(row).toEqual([{ name: null, credits_used: 0, top_up_balance: 0, erased_at: expect.any(Date) }])
    expect(await logOf(account.userId)).toEqual([{ command: 'erase-account', search: null, os_user: 'tester' }])
    // A repeat finds nothing, and adds no second entry.
    expect((await eraseAccount(call(), account.userId)).rows).toBe(0)
    expect(await metering.charge({ key: account.secret, credits: 1, idempotencyKey: once() })).toMatchObject({
      verdict: 'not_found',
    })
  })

  it('the table of this feature contains every table with rows of accounts', async () => {
    const { rows } = await owner.query<{ name: string }>(
      `select table_name as name from information_schema.columns join pg_class on relname = table_name and relnamespace = 'public'::regnamespace
        where table_schema = 'public' and column_name = 'user_id' and not relispartition order by 1`,
    )
    const kept = ['api_key_usage', 'audit_log', 'billing_accounts', 'operator_log']
    expect(rows.map(({ name }) => name)).toEqual([...ERASED_TABLES, ...kept].sort())
  })

  it('with the audit log, nothing of the account is left, and the operator’s log keeps the last hash of the chain', async () => {
    const account = await accountWithEverything()
    await account.close()
    await account.afterHold()
    const { audit } = await eraseAccount(call(), account.userId, { withAudit: true, rowsMax: 3 })
    expect(Object.values(await rowsOf(account.userId)).every((count) => count === 0)).toBe(true)
    expect((await verifyAudit(ownerDb)).faults).toEqual([])
    expect(await logOf(account.userId)).toMatchObject([
      { search: `${audit.entries} audit entries, the last one has the hash ${audit.head}` },
    ])
    expect(audit.isErased).toBe(true)
  })

  it('each transaction deletes a bounded number of rows, and the chain and the totals of all others agree after each of them', async () => {
    const account = await accountWithEverything()
    await account.close()
    await account.afterHold()
    const steps: number[] = []
    const faults: unknown[] = []
    for (let interrupted = 1; ; interrupted++) {
      let calls = 0
      const report = (rows: number) => {
        steps.push(rows)
        if (++calls === interrupted * 4) throw new Error('interrupted')
      }
      const outcome = await eraseAccount(call(), account.userId, { withAudit: true, rowsMax: 2, report }).catch(
        (error: Error) => error,
      )
      faults.push(...(await verifyAudit(ownerDb)).faults)
      const found = await reconcile(ownerDb)
      faults.push(...found.filter(({ what }) => what !== 'erased account'))
      if (!(outcome instanceof Error)) break
      expect(outcome.message).toBe('interrupted')
      if (await rowsOf(account.userId).then((rows) => (rows['api_keys'] ?? 0) > 0))
        expect(found.map(({ userId, what }) => [userId, what])).toEqual([[account.userId, 'erased account']])
    }
    expect(faults).toEqual([])
    const growth = steps.map((rows, i) => rows - (steps[i - 1] ?? 0)).filter((more) => more > 0)
    expect(Math.max(...growth)).toBe(2)
    expect(Object.values(await rowsOf(account.userId)).every((count) => count === 0)).toBe(true)
  })

  it('a batch deletes at most 1,000 rows, and reads only rows of the account, although another account has many more', async () => {
    const account = await accountWithEverything()
    const { userId: other } = await provisioned(database)
    const addKeys = async (userId: string, count: number) =>
      await owner.query(
        "insert into api_keys (user_id, name, revoked_at) select $1, 'many', now() from generate_series(1, $2)",
        [userId, count],
      )
    await addKeys(other, 8_000)
    await addKeys(account.userId, ERASED_ROWS_MAX + 1)
    await insertSecrets(owner)
    await owner.query('analyze')
    await account.close()
    await account.afterHold()
    const before = await rowsOf(account.userId)
    const steps: number[] = []
    const report = (rows: number) => void steps.push(rows)
    const statements = await recordPlans(
      database,
      async (db) => await eraseAccount(call(db), account.userId, { report }),
      'postgres',
    )
    expect(ERASED_ROWS_MAX).toBe(1_000)
    expect(Math.max(...steps.map((rows, i) => rows - (steps[i - 1] ?? 0)))).toBe(ERASED_ROWS_MAX)
    // A batch reads each row twice, and the last check looks for one more.
    for (const table of ['api_keys', 'api_key_secrets', 'account_members', 'ledger_entries'] as const)
      expect([table, rowsRead(statements, table)]).toEqual([
        table,
        expect.toSatisfy((read) => read <= 3 * (before[table] ?? 0) + 3),
      ])
  })

  it('a row that is added after its table was erased is erased too', async () => {
    const account = await accountWithEverything()
    await account.close()
    await account.afterHold()
    let isAdded = false
    const report = async () => {
      if (isAdded || (await rowsOf(account.userId))['api_keys'] !== 0) return
      isAdded = true
      await owner.query("insert into operations (user_id, operation) values ($1, 'late')", [account.userId])
    }
    await eraseAccount(call(), account.userId, { report })
    expect([isAdded, (await rowsOf(account.userId))['operations']]).toEqual([true, 0])
  })

  it('charges of the account and refunds while it is erased end in an account without rows', async () => {
    const account = await accountWithEverything()
    await account.close()
    await account.afterHold()
    let isDone = false
    const load = async (meter: () => Promise<unknown>) => {
      while (!isDone) await meter()
    }
    const erasing = eraseAccount(call(), account.userId, { rowsMax: 2 }).finally(() => {
      isDone = true
    })
    await Promise.all([
      erasing,
      load(async () => await metering.charge({ key: account.secret, credits: 1, idempotencyKey: once() })),
      load(async () => await metering.refund({ chargeId: account.charged, credits: 1, idempotencyKey: once() })),
    ])
    const after = await rowsOf(account.userId)
    for (const table of [...ERASED_TABLES, 'api_key_usage']) expect([table, after[table]]).toEqual([table, 0])
  })
})
