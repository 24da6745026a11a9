import { testDatabase } from '@keymeter/local/testing'
import { beforeAll, describe, expect, it } from 'vitest'
import { backend, charge, provisioned } from '../../test/caller.ts'
import { replaceClock } from '../../test/clock.ts'
import { keepUsageByDaysFrom } from '../../test/usage-days.ts'
import { reconcile } from './reconcile.ts'

const database = testDatabase()
const { ownerDb } = database

const START = new Date('2027-01-31T00:00:00.000Z')
const DAY_MS = 86_400_000
const accounts: Awaited<ReturnType<typeof provisioned>>[] = []

let clock: Awaited<ReturnType<typeof replaceClock>>
beforeAll(async () => {
  clock = await replaceClock(database)
  await keepUsageByDaysFrom(database, 1)
  await clock.set(START)
  for (let i = 0; i < 6; i++) {
    const account = await provisioned(database)
    accounts.push(account)
    await database.owner.query(
      'update billing_accounts set billing_cycle_anchor = $2, billing_cycle_start = $2 where user_id = $1',
      [account.userId, START],
    )
  }
  for (let day = 0; day < 100; day += 9) {
    await clock.set(new Date(START.getTime() + day * DAY_MS))
    for (const [i, { defaultKey }] of accounts.entries()) await charge(database, defaultKey.secret, 1 + ((i * 7 + day) % 120))
  }
  const { metering, operator } = backend(database)
  for (const { userId, defaultKey } of accounts) {
    const hold = async (n: number) =>
      await metering.hold({ key: defaultKey.secret, credits: 5, idempotencyKey: `hold-${n}`, ttlSeconds: 86_400 })
    const [held] = [await hold(1), await hold(2)]
    if (held.verdict !== 'held') throw new Error('nothing is held')
    const settled = await metering.settle({ holdId: held.holdId, credits: 3, idempotencyKey: 'settle' })
    if (settled.verdict !== 'settled') throw new Error('nothing is settled')
    await metering.refund({ chargeId: settled.chargeId, credits: 1, idempotencyKey: 'refund' })
    await operator.grantTopUp({ accountId: userId, credits: 10, idempotencyKey: 'top-up' })
    const takeBack = { accountId: userId, topUpIdempotencyKey: 'top-up', credits: 4, idempotencyKey: 'take-back' }
    await operator.takeBackTopUp(takeBack)
  }
})

/** The names of the checks that have reported a difference in one of the tests. */
const reportingChecks = new Set<string>()
async function differences() {
  const found = await reconcile(ownerDb)
  for (const { what } of found) reportingChecks.add(what)
  return found
}

/** Runs a statement that changes one row to a wrong value. Returns the differences that `reconcile` reports. */
async function plant(statement: string): Promise<{ what: string; userId: string }[]> {
  const { rows } = await database.owner.query(statement)
  expect(rows.length, statement).toBe(1)
  return (await differences()).map(({ what, userId }) => ({ what, userId }))
}

describe('reconcile', () => {
  it('reports nothing if all totals are correct, in closed and idle cycles and for accounts without charges', async () => {
    await provisioned(database)
    expect(await differences()).toEqual([])
  })

  it('cannot be run by a role that is subject to row level security', async () => {
    await expect(reconcile(database.db)).rejects.toThrow('row-level security')
  })

  /**
   * Each entry contains the name of a check of `reconcile`, a statement that makes a value wrong, and a statement that
   * corrects the value again. `$user` stands for the id of the account.
   */
  const PLANTED: [what: string, plant: string, undo: string][] = [
    [
      'balance',
      "update billing_accounts set credits_used = credits_used + 1 where user_id = '$user' returning 1",
      "update billing_accounts set credits_used = credits_used - 1 where user_id = '$user'",
    ],
    [
      'last event',
      "update billing_accounts set last_event_at = last_event_at + interval '1 ms' where user_id = '$user' returning 1",
      "update billing_accounts set last_event_at = last_event_at - interval '1 ms' where user_id = '$user'",
    ],
    [
      'last event',
      "update billing_accounts set last_event_sequence = last_event_sequence + 1 where user_id = '$user' returning 1",
      "update billing_accounts set last_event_sequence = last_event_sequence - 1 where user_id = '$user'",
    ],
    [
      'roll-up by cycle',
      "update usage_by_cycle set credits_charged = credits_charged + 1 where user_id = '$user' and cycle_start = '2027-01-31Z' returning 1",
      "update usage_by_cycle set credits_charged = credits_charged - 1 where user_id = '$user' and cycle_start = '2027-01-31Z'",
    ],
    [
      'roll-up by cycle',
      "update usage_by_cycle set charges = charges + 1 where user_id = '$user' and cycle_start = '2027-02-28Z' returning 1",
      "update usage_by_cycle set charges = charges - 1 where user_id = '$user' and cycle_start = '2027-02-28Z'",
    ],
    [
      'roll-up by cycle',
      "insert into usage_by_cycle select user_id, '2020-01-01Z', api_key_id, 1, 1 from usage_by_cycle where user_id = '$user' limit 1 returning 1",
      "delete from usage_by_cycle where user_id = '$user' and cycle_start = '2020-01-01Z'",
    ],
    [
      'roll-up by quarter hour',
      "update usage_by_quarter_hour set credits_charged = credits_charged + 5 where user_id = '$user' and quarter_hour = '2027-02-09Z' returning 1",
      "update usage_by_quarter_hour set credits_charged = credits_charged - 5 where user_id = '$user' and quarter_hour = '2027-02-09Z'",
    ],
    [
      'closed cycle',
      "update billing_cycles set credits_used = credits_used + 1 where user_id = '$user' and cycle_start = '2027-01-31Z' returning 1",
      "update billing_cycles set credits_used = credits_used - 1 where user_id = '$user' and cycle_start = '2027-01-31Z'",
    ],
    [
      'closed cycle',
      "update billing_cycles set cycle_end = cycle_end + interval '1 day' where user_id = '$user' and cycle_start = '2027-02-28Z' returning 1",
      "update billing_cycles set cycle_end = cycle_end - interval '1 day' where user_id = '$user' and cycle_start = '2027-02-28Z'",
    ],
    [
      'held credits',
      "update billing_accounts set credits_held = credits_held + 1 where user_id = '$user' returning 1",
      "update billing_accounts set credits_held = credits_held - 1 where user_id = '$user'",
    ],
    [
      'next hold to expire',
      "update billing_accounts set holds_expire_at = null where user_id = '$user' returning 1",
      "update billing_accounts set holds_expire_at = (select min(expires_at) from credit_holds where user_id = '$user' and outcome is null) where user_id = '$user'",
    ],
    [
      'ledger entry',
      "update ledger_entries set created_at = created_at + interval '1 month' where user_id = '$user' and kind = 'top_up' and credits = 10 returning 1",
      "update ledger_entries set created_at = created_at - interval '1 month' where user_id = '$user' and kind = 'top_up' and credits = 10",
    ],
    [
      'hold',
      "update credit_holds set credits = credits + 1 where user_id = '$user' and outcome = 'settled' returning 1",
      "update credit_holds set credits = credits - 1 where user_id = '$user' and outcome = 'settled'",
    ],
    [
      'refund',
      "update ledger_entries set credits = credits + 1 where user_id = '$user' and kind = 'refund' returning 1",
      "update ledger_entries set credits = credits - 1 where user_id = '$user' and kind = 'refund'",
    ],
    [
      'top-ups',
      "update billing_accounts set top_up_balance = top_up_balance + 1 where user_id = '$user' returning 1",
      "update billing_accounts set top_up_balance = top_up_balance - 1 where user_id = '$user'",
    ],
    [
      'top-ups of a cycle',
      "update billing_accounts set topped_up_this_cycle = topped_up_this_cycle + 1 where user_id = '$user' returning 1",
      "update billing_accounts set topped_up_this_cycle = topped_up_this_cycle - 1 where user_id = '$user'",
    ],
    [
      'sequence of the ledger',
      "update billing_accounts set last_ledger_sequence = last_ledger_sequence + 1 where user_id = '$user' returning 1",
      "update billing_accounts set last_ledger_sequence = last_ledger_sequence - 1 where user_id = '$user'",
    ],
    [
      'roll-up by quarter hour',
      "update usage_by_quarter_hour set credits_refunded = credits_refunded + 1 where user_id = '$user' and credits_refunded = 1 returning 1",
      "update usage_by_quarter_hour set credits_refunded = credits_refunded - 1 where user_id = '$user' and credits_refunded = 2",
    ],
    [
      'roll-up by day',
      "update usage_by_day set credits_charged[1] = credits_charged[1] + 1 where user_id = '$user' and day = '2027-02-09' and api_key_id is not null and operation is null returning 1",
      "update usage_by_day set credits_charged[1] = credits_charged[1] - 1 where user_id = '$user' and day = '2027-02-09' and api_key_id is not null and operation is null",
    ],
    [
      'roll-up by day',
      "update usage_by_day set charges[1] = charges[1] + 1 where user_id = '$user' and day = '2027-02-18' and api_key_id is null and operation is null returning 1",
      "update usage_by_day set charges[1] = charges[1] - 1 where user_id = '$user' and day = '2027-02-18' and api_key_id is null and operation is null",
    ],
    [
      'roll-up by day',
      "update usage_by_day set credits_refunded = 1 where user_id = '$user' and day = '2027-02-18' and api_key_id is null and operation is not null returning 1",
      "update usage_by_day set credits_refunded = 0 where user_id = '$user' and day = '2027-02-18' and api_key_id is null and operation is not null",
    ],
    [
      'roll-up by day',
      "insert into usage_by_day select user_id, cycle_start, '2020-01-01', api_key_id, operation, '{0}', '{1}', '{1}', 0 from usage_by_day where user_id = '$user' limit 1 returning 1",
      "delete from usage_by_day where user_id = '$user' and day = '2020-01-01'",
    ],
    [
      'overspent',
      "update billing_accounts set credits_per_cycle = 0 where user_id = '$user' returning 1",
      "update billing_accounts set credits_per_cycle = 1000 where user_id = '$user'",
    ],
    [
      'time of events',
      "update api_key_usage set created_at = created_at - interval '1 ms' where user_id = '$user' and idempotency_key = 'hold-2' returning 1",
      "update api_key_usage set created_at = created_at + interval '1 ms' where user_id = '$user' and idempotency_key = 'hold-2'",
    ],
    [
      'audit entry',
      "update audit_log set action = 'account.suspended' where user_id = '$user' and action = 'account.topped_up' returning 1",
      "update audit_log set action = 'account.topped_up' where user_id = '$user' and action = 'account.suspended'",
    ],
    [
      'audit entry',
      "insert into audit_log select user_id, 99, actor, actor_id, action, api_key_id, '{\"credits\":1,\"ledgerSequence\":99}', request_id, client_address, user_agent, created_at, hash from audit_log where user_id = '$user' and action = 'account.topped_up' returning 1",
      "delete from audit_log where user_id = '$user' and sequence = 99",
    ],
    [
      'audit entry',
      "update audit_log set detail = '{\"credits\":11,\"ledgerSequence\":2}' where user_id = '$user' and action = 'account.topped_up' returning 1",
      "update audit_log set detail = '{\"credits\":10,\"ledgerSequence\":2}' where user_id = '$user' and action = 'account.topped_up'",
    ],
    [
      'audit entry',
      "update audit_log set detail = replace(detail::text, '\"credits\" : 4', '\"credits\" : 3')::json where user_id = '$user' and action = 'account.top_up_taken_back' returning 1",
      "update audit_log set detail = replace(detail::text, '\"credits\" : 3', '\"credits\" : 4')::json where user_id = '$user' and action = 'account.top_up_taken_back'",
    ],
    [
      'audit entry',
      "update audit_log set action = 'account.suspended' where user_id = '$user' and action = 'account.top_up_taken_back' returning 1",
      "update audit_log set action = 'account.top_up_taken_back' where user_id = '$user' and action = 'account.suspended'",
    ],
    [
      'free credits',
      "update audit_log set action = 'account.suspended' where user_id = '$user' and action = 'account.free_credits_granted' returning 1",
      "update audit_log set action = 'account.free_credits_granted' where user_id = '$user' and action = 'account.suspended'",
    ],
    [
      'free credits',
      "update billing_accounts set free_credits_refusal = 'mailbox_used' where user_id = '$user' returning 1",
      "update billing_accounts set free_credits_refusal = null where user_id = '$user'",
    ],
    [
      'owner',
      "update account_members set role = 'admin' where user_id = '$user' and role = 'owner' returning 1",
      "update account_members set role = 'owner' where user_id = '$user'",
    ],
    [
      'erased account',
      "update billing_accounts set erased_at = now() where user_id = '$user' returning 1",
      "update billing_accounts set erased_at = null where user_id = '$user'",
    ],
    [
      'operation',
      "insert into operations values ('$user', 'never-used') returning 1",
      "delete from operations where user_id = '$user' and operation = 'never-used'",
    ],
  ]

  it(`reports each of ${PLANTED.length * 3} errors that the test inserts, and nothing else`, async () => {
    for (const { userId } of accounts.slice(0, 3)) {
      for (const [what, statement, undo] of PLANTED) {
        expect(await plant(statement.replaceAll('$user', userId))).toEqual([{ what, userId }])
        await database.owner.query(undo.replaceAll('$user', userId))
      }
    }
    expect(await differences()).toEqual([])
  })

  it('reports a closed cycle that spent more credits than it had, and a settle that charged less than its hold', async () => {
    const { userId } = accounts[0] ?? { userId: '' }
    const reported = async (statement: string) => [
      ...new Set((await plant(statement.replaceAll('$user', userId))).map(({ what }) => what)),
    ]
    const closed = "update billing_cycles set credits_granted = 1000 where user_id = '$user' and cycle_start = '2027-01-31Z'"
    expect(await reported(`${closed.replace('= 1000', '= 0')} returning 1`)).toEqual(['top-ups', 'overspent'])
    await database.owner.query(closed.replaceAll('$user', userId))
    // The settle asked for 3 credits of a hold of 5.
    const asked = "update api_key_usage set credits_requested = 3 where user_id = '$user' and idempotency_key = 'settle'"
    expect(await reported(`${asked.replace('= 3', '= 4')} returning 1`)).toEqual(['hold'])
    expect(await reported(`${asked.replace('= 3', '= 2')} returning 1`)).toEqual(['event itself'])
    await database.owner.query(asked.replaceAll('$user', userId))
    expect(await differences()).toEqual([])
  })

  it('reports a top-up of which more was taken back than it had, and an entry that takes back something else', async () => {
    const { userId } = accounts[0] ?? { userId: '' }
    const change = async (statement: string) => {
      const found = await plant(
        `update ledger_entries set ${statement} where user_id = '${userId}' and kind = 'take_back' returning 1`,
      )
      return [...new Set(found.map(({ what }) => what))].sort()
    }
    expect(await change('credits = -11')).toEqual(['audit entry', 'taken back top-up', 'top-ups', 'top-ups of a cycle'])
    // The first entry of the ledger is the refund.
    expect(await change('credits = -4, refers_to = 1')).toEqual(['audit entry', 'taken back top-up'])
    expect(await change('refers_to = 2')).toEqual([])
  })

  it('reports an event with negative credits, even if it agrees with all totals', async () => {
    const { userId, defaultKey } = accounts[4] ?? { userId: '', defaultKey: { secret: '' } }
    await charge(database, defaultKey.secret, 7)
    // Change the last charge to a charge of -7 credits, and all totals with it. The domain allows no negative credits, so remove
    // its check for this test.
    const change = async (credits: number) =>
      await database.owner.query(
        `with event as (
           update api_key_usage set credits_requested = ${credits}, credits_charged = ${credits}
            where user_id = '${userId}' and sequence = (select max(sequence) from api_key_usage where user_id = '${userId}')
           returning user_id, api_key_id, cycle_start, operation, created_at
         ), account as (
           update billing_accounts set credits_used = credits_used + ${2 * credits} from event where billing_accounts.user_id = event.user_id
         ), by_cycle as (
           update usage_by_cycle as kept set credits_charged = credits_charged + ${2 * credits} from event
            where (kept.user_id, kept.api_key_id, kept.cycle_start) = (event.user_id, event.api_key_id, event.cycle_start)
         )
         update usage_by_quarter_hour as kept set credits_charged = credits_charged + ${2 * credits} from event
          where (kept.user_id, kept.api_key_id, kept.cycle_start, kept.operation, kept.quarter_hour)
              = (event.user_id, event.api_key_id, event.cycle_start, event.operation, date_bin('15 minutes', event.created_at, 'epoch'))`,
      )
    await expect(change(-7)).rejects.toThrow('keymeter.credits')
    const { rows } = await database.owner.query(
      "select pg_get_constraintdef(oid) as text from pg_constraint where conname = 'credits_check'",
    )
    await database.owner.query('alter domain keymeter.credits drop constraint credits_check')
    await change(-7)
    const found = await differences()
    await change(7)
    await database.owner.query(`alter domain keymeter.credits add constraint credits_check ${rows[0].text}`)
    expect(found).toMatchObject([{ what: 'event itself', userId }])
    expect(await differences()).toEqual([])
  })

  it('reports every total that is wrong after an event was lost, changed or repeated', async () => {
    const { userId } = accounts[3] ?? { userId: '' }
    const found = async (statement: string) => {
      await database.owner.query(`create table saved as select * from api_key_usage where user_id = '${userId}'`)
      await database.owner.query(statement)
      const reported = await differences()
      await database.owner.query(
        `delete from api_key_usage where user_id = '${userId}'; insert into api_key_usage select * from saved; drop table saved`,
      )
      expect(new Set(reported.map(({ userId: of }) => of))).toEqual(new Set([userId]))
      return [...new Set(reported.map(({ what }) => what))].sort()
    }
    expect(await found(`delete from api_key_usage where user_id = '${userId}' and sequence = 3`)).toEqual([
      'closed cycle',
      'roll-up by cycle',
      'roll-up by day',
      'roll-up by quarter hour',
      'sequence of events',
    ])
    expect(
      await found(
        `update api_key_usage set credits_charged = credits_charged + 1 where user_id = '${userId}' and sequence = 12`,
      ),
    ).toEqual(['balance', 'event itself', 'roll-up by cycle', 'roll-up by quarter hour'])
    expect(
      await found(
        `update api_key_usage set idempotency_key = (select idempotency_key from api_key_usage where user_id = '${userId}' and sequence = 5)
          where user_id = '${userId}' and sequence = 6`,
      ),
    ).toEqual(['idempotency key'])
    expect(await differences()).toEqual([])
  })

  it('reports ledger entries whose cycle is wrong', async () => {
    const { userId } = accounts[5] ?? { userId: '' }
    const found = async (kind: string) => {
      const move = async (cycle: string) =>
        await database.owner.query('update ledger_entries set cycle_start = $2 where user_id = $1 and kind = $3', [
          userId,
          cycle,
          kind,
        ])
      await move('2027-03-31Z')
      const reported = await differences()
      await move('2027-04-30Z')
      expect(reported.every((difference) => difference.userId === userId)).toBe(true)
      return reported.map(({ what }) => what).sort()
    }
    expect(await found('refund')).toEqual(['ledger entry', 'refund'])
    expect(await found('top_up')).toEqual(['ledger entry', 'top-ups of a cycle', 'top-ups of a cycle'])
    expect(await differences()).toEqual([])
  })

  it('reports a missing cycle, even if the account only got a top-up in that cycle and used nothing', async () => {
    const { operator } = backend(database)
    const { userId } = await provisioned(database)
    await clock.set(new Date(START.getTime() + 100 * DAY_MS))
    await operator.grantTopUp({ accountId: userId, credits: 10, idempotencyKey: 'early' })
    await clock.set(new Date(START.getTime() + 135 * DAY_MS))
    await operator.grantTopUp({ accountId: userId, credits: 10, idempotencyKey: 'late' })
    expect(await differences()).toEqual([])
    await database.owner.query('delete from billing_cycles where user_id = $1', [userId])
    expect((await differences()).map(({ what, userId: of }) => [what, of])).toEqual([
      ['top-ups of a cycle', userId],
      ['cycle that was not closed', userId],
    ])
    await database.owner.query('delete from billing_accounts where user_id = $1', [userId])
  })

  it('reports a cycle that was not closed', async () => {
    const { userId } = accounts[4] ?? { userId: '' }
    await database.owner.query("delete from billing_cycles where user_id = $1 and cycle_start = '2027-02-28Z'", [userId])
    expect(await differences()).toMatchObject([
      { userId, what: 'cycle that was not closed', subject: 'cycle 2027-02-28T00:00:00.000Z' },
    ])
  })

  it('each check of reconcile has reported a difference in one of the tests above', async () => {
    const checks: string[] = []
    await reconcile(ownerDb, { userIds: [], onCheck: (what) => checks.push(what) })
    expect([...reportingChecks].sort()).toEqual(checks.sort())
  })
})
