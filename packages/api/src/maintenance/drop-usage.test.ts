import type { ListUsageEvents } from '@keymeter/contract'
import { createDb } from '@keymeter/db'
import { testDatabase } from '@keymeter/local/testing'
import { sql } from 'kysely'
import { pino } from 'pino'
import { afterAll, afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { contextOf, provisioned } from '../../test/caller.ts'
import { replaceClock } from '../../test/clock.ts'
import { keepUsageByDaysFrom } from '../../test/usage-days.ts'
import { Metering } from '../metering/metering.ts'
import { dropUsage } from './drop-usage.ts'
import { makeUsagePartitions } from './make-usage-partitions.ts'
import { reconcile } from './reconcile.ts'

const database = testDatabase()
const { owner } = database
const ownerDb = createDb(database.urls.owner, () => {})
afterAll(async () => await ownerDb.destroy())
const DAY_MS = 86_400_000
const { metering } = contextOf(database, null)

let clock: Awaited<ReturnType<typeof replaceClock>>
let account: Awaited<ReturnType<typeof provisioned>>
/** Each test uses two years that no other test uses, because all tests share the partitions. */
let year = 2030
beforeEach(async () => {
  year += 2
  await owner.query('delete from billing_accounts')
  clock = await replaceClock(database)
  await keepUsageByDaysFrom(database, 1)
  await clock.set(at('01-20'))
  account = await provisioned(database)
  await owner.query(
    'update billing_accounts set credits_per_cycle = 1000000, billing_cycle_anchor = $2, billing_cycle_start = $2 where user_id = $1',
    [account.userId, at('01-20')],
  )
})
afterEach(async () => {
  expect(await reconcile(ownerDb)).toEqual([])
  expect(await reconcile(database.ownerDb)).toEqual([])
})

const at = (day: string) => new Date(`${year}-${day}T12:00:00Z`)
const month = (name: string) => new Date(`${year}-${name}-01T00:00:00Z`)
let requests = 0
const charge = async (credits = 1, { defaultKey } = account) =>
  await metering.charge({ key: defaultKey.secret, credits, idempotencyKey: `drop-${requests++}`, operation: 'default' })
/** Charges the key three times in each month, on the 20th, from January to month number `last`. */
async function chargeUntil(last: number): Promise<void> {
  for (let of = 1; of <= last; of++) {
    await clock.set(new Date(Date.UTC(year, of - 1, 20, 12)))
    for (let n = 0; n < 3; n++) expect(await charge(of)).toMatchObject({ verdict: 'charged' })
    await makeUsagePartitions(database.db)
  }
}
const sequences = async () =>
  (
    await owner.query<{ sequence: number }>('select sequence::int from api_key_usage where user_id = $1 order by sequence', [
      account.userId,
    ])
  ).rows.map(({ sequence }) => sequence)
const partitions = async () =>
  (
    await owner.query<{ name: string }>(
      "select relid::regclass::text as name from pg_partition_tree('api_key_usage') where isleaf",
    )
  ).rows.map(({ name }) => name)
/** Returns the sequences of all events that `usage.events` lists, from all pages, in ascending order. */
async function shown(filters: Partial<ListUsageEvents> = {}): Promise<number[]> {
  const found: number[] = []
  let cursor: string | null = null
  do {
    const page: Awaited<ReturnType<typeof account.caller.usage.events>> = await account.caller.usage.events({
      ...filters,
      cursor,
    })
    found.push(...page.data.map(({ sequence }) => sequence))
    cursor = page.nextCursor
  } while (cursor !== null)
  return found.reverse()
}
/** Returns the rows of all tables whose rows must stay the same when events are dropped. */
const kept = async () =>
  (
    await owner.query(
      `select (select jsonb_agg(c order by cycle_start) from billing_cycles c) as cycles,
              (select jsonb_agg(c order by cycle_start, api_key_id) from usage_by_cycle c) as by_cycle,
              (select jsonb_agg(c order by quarter_hour, api_key_id) from usage_by_quarter_hour c) as by_quarter,
              (select jsonb_agg(c order by day, cycle_start, api_key_id, operation) from usage_by_day c) as by_day,
              (select jsonb_agg(c order by user_id) from billing_accounts c) as accounts`,
    )
  ).rows[0]
const reasons = ({ obstacles }: Awaited<ReturnType<typeof dropUsage>>) => obstacles.map(({ reason }) => reason)

describe('dropping usage events', () => {
  it('drops the months before a date, and changes no totals, roll-ups or later events', async () => {
    await chargeUntil(6)
    const before = await kept()
    const dropped = await dropUsage(ownerDb, month('04'))
    expect(dropped.obstacles).toEqual([])
    expect(dropped.months.slice(-3)).toEqual([`${year}-01`, `${year}-02`, `${year}-03`])
    expect(await sequences()).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18])
    expect(await kept()).toEqual(before)
    expect((await partitions()).filter((name) => name < `api_key_usage_${year}_04`)).toEqual([])
    expect(await shown()).toEqual(await sequences())
    expect(await shown({ keyId: account.defaultKey.id, verdicts: ['revoked'] })).toEqual([])
    expect((await account.caller.usage.timeseries({ cycleStart: `${year}-01-20T12:00:00Z` })).series[0]?.charges).toContain(3)
    // A second call with the same date drops nothing. A call with a later date drops the months before that date.
    expect(await dropUsage(ownerDb, month('04'))).toMatchObject({ obstacles: [] })
    expect(await charge(2)).toMatchObject({ verdict: 'charged' })
    expect(await dropUsage(ownerDb, month('05'))).toEqual({ months: [`${year}-04`], obstacles: [] })
  })

  it('drops only the ended holds whose events are dropped', async () => {
    const other = await provisioned(database)
    const hold = async ({ defaultKey }: typeof account) => {
      const request = { key: defaultKey.secret, credits: 2, idempotencyKey: `hold-${requests++}`, ttlSeconds: 60 }
      const held = await metering.hold({ ...request, operation: 'default' })
      if (held.verdict !== 'held') throw new Error(`the hold is ${held.verdict}`)
      return held.holdId
    }
    const settle = async (holdId: string) =>
      (await metering.settle({ holdId, credits: 1, idempotencyKey: `settle-${requests++}` })).verdict
    const old = await hold(account)
    for (const holdId of [old, await hold(other)]) expect(await settle(holdId)).toBe('settled')
    await metering.release({ holdId: await hold(account), idempotencyKey: 'released' })
    await hold(account)
    await clock.set(at('03-20'))
    const late = await hold(account)
    for (const of of [account, other]) await charge(1, of)
    await clock.set(at('06-20'))
    for (const of of [account, other]) await charge(1, of)
    const sequencesOf = async () => {
      const { rows } = await owner.query(
        'select user_id, sequence::int from credit_holds order by user_id = $1 desc, sequence',
        [account.userId],
      )
      return rows.map(({ user_id, sequence }) => [user_id === account.userId, sequence])
    }
    expect(await sequencesOf()).toHaveLength(5)
    expect(await dropUsage(ownerDb, month('02'), { isDryRun: true })).toMatchObject({ obstacles: [] })
    expect(await sequencesOf()).toHaveLength(5)
    expect(await dropUsage(ownerDb, month('02'))).toMatchObject({ obstacles: [] })
    expect(await sequencesOf()).toEqual([[true, 6]])
    expect([await settle(old), await settle(late)]).toEqual(['not_found', 'hold_expired'])
    // Insert an ended hold of a month whose events are already dropped. The next call deletes this hold.
    await owner.query(
      `insert into credit_holds (user_id, sequence, api_key_id, operation, credits, cycle_start, created_at, expires_at, outcome, ended_at)
       select user_id, 1, api_key_id, operation, credits, cycle_start, created_at, expires_at, 'settled', ended_at
         from credit_holds`,
    )
    expect(await dropUsage(ownerDb, month('02'))).toEqual({ months: [], obstacles: [] })
    expect(await sequencesOf()).toEqual([[true, 6]])
  })

  it('drops all events of an idle account, and reconcile still reports a wrong number of its last event', async () => {
    await chargeUntil(1)
    const other = await provisioned(database)
    await clock.set(at('06-20'))
    await charge(1, other)
    expect(reasons(await dropUsage(ownerDb, month('04')))).toEqual(['open_cycles'])
    expect(await dropUsage(ownerDb, month('04'), { closeCycles: true })).toMatchObject({ obstacles: [] })
    expect(await sequences()).toEqual([])
    expect(await reconcile(ownerDb)).toEqual([])
    expect(await shown()).toEqual([])
    expect(await charge(1)).toMatchObject({ verdict: 'charged' })
    expect(await sequences()).toEqual([4])
    await owner.query('update billing_accounts set last_event_sequence = 5 where user_id = $1', [account.userId])
    expect((await reconcile(ownerDb)).map(({ what }) => what)).toEqual(['last event'])
    await owner.query('update billing_accounts set last_event_sequence = 4 where user_id = $1', [account.userId])
  })

  it('reconcile still reports a missing event after a drop, even if it is the first event that was kept', async () => {
    await chargeUntil(4)
    await dropUsage(ownerDb, month('03'))
    for (const sequence of [7, 8, 12]) {
      await owner.query(`create table saved as select * from api_key_usage where sequence = ${sequence}`)
      await owner.query(`delete from api_key_usage where sequence = ${sequence}`)
      const found = (await reconcile(ownerDb)).map(({ what }) => what)
      expect(found).toContain(sequence === 12 ? 'last event' : 'sequence of events')
      expect(found).toContain('roll-up by quarter hour')
      await owner.query('insert into api_key_usage select * from saved; drop table saved')
    }
  })

  it('changes nothing in a dry run', async () => {
    await chargeUntil(5)
    const before = [await kept(), await sequences(), await partitions()]
    const said = await dropUsage(ownerDb, month('03'), { isDryRun: true, closeCycles: true })
    expect(said.months).toContain(`${year}-02`)
    expect([await kept(), await sequences(), await partitions()]).toEqual(before)
  })

  it('first moves the events of the default partition to their months', async () => {
    await clock.set(at('02-20'))
    await charge()
    await clock.set(at('08-20'))
    await charge()
    expect((await partitions()).filter((name) => name.includes(`${year}`))).toEqual([])
    expect(await dropUsage(ownerDb, month('03'))).toMatchObject({
      months: expect.arrayContaining([`${year}-02`]),
      obstacles: [],
    })
    expect(await sequences()).toEqual([2])
  })
})

describe('the conditions for a drop of usage events', () => {
  const refused = async (before: Date, reason: string, closeCycles = false) => {
    await makeUsagePartitions(database.db)
    const was = [await kept(), await sequences(), (await partitions()).sort()]
    const answer = await dropUsage(ownerDb, before, { closeCycles })
    expect(reasons(answer)).toEqual([reason])
    for (const { message, remedy } of answer.obstacles) expect(message.length * remedy.length).toBeGreaterThan(100)
    expect([await kept(), await sequences(), (await partitions()).sort()]).toEqual(was)
    return answer
  }

  it('events are not dropped while a retry of one of them is possible, to the millisecond', async () => {
    await chargeUntil(4)
    await clock.set(new Date(month('04').getTime() + 35 * DAY_MS - 1))
    await charge()
    await makeUsagePartitions(database.db)
    const { obstacles } = await refused(month('04'), 'idempotency')
    expect(obstacles[0]?.remedy).toContain(`--before ${year}-03`)
    await clock.set(new Date(month('04').getTime() + 35 * DAY_MS))
    await charge()
    expect(reasons(await dropUsage(ownerDb, month('04')))).toEqual([])
  })

  it('events are not dropped while the hold of one of them is open', async () => {
    await chargeUntil(2)
    const key = account.defaultKey.secret
    const held = await metering.hold({ key, credits: 1, idempotencyKey: 'held', operation: 'default', ttlSeconds: 60 })
    if (held.verdict !== 'held') throw new Error(`the hold is ${held.verdict}`)
    // Change the hold so that it expires after a year. The product allows only shorter holds, but the test needs a hold
    // that is still open when its event is old enough to be dropped.
    for (const [table, where] of [
      ['api_key_usage', "action = 'hold'"],
      ['credit_holds', 'true'],
    ] as const)
      await owner.query(`update ${table} set expires_at = created_at + interval '1 year' where ${where}`)
    await owner.query('update billing_accounts set holds_expire_at = (select expires_at from credit_holds)')
    await clock.set(at('06-20'))
    await charge()
    await makeUsagePartitions(database.db)
    await refused(month('03'), 'open_holds')
    expect(await metering.release({ holdId: held.holdId, idempotencyKey: 'released' })).toMatchObject({ verdict: 'released' })
    expect(reasons(await dropUsage(ownerDb, month('03')))).toEqual([])
  })

  it('events are dropped if their hold has expired, even if no call has recorded the end of the hold yet', async () => {
    await chargeUntil(2)
    const key = account.defaultKey.secret
    await metering.hold({ key, credits: 1, idempotencyKey: 'runs-out', operation: 'default', ttlSeconds: 60 })
    await clock.set(at('06-20'))
    expect(reasons(await dropUsage(ownerDb, month('03'), { isDryRun: true }))).toEqual(['open_cycles'])
    expect(reasons(await dropUsage(ownerDb, month('03'), { closeCycles: true }))).toEqual([])
  })

  it('events are not dropped while a cycle in their months has ended but is not closed', async () => {
    await chargeUntil(2)
    await clock.set(at('08-20'))
    const { obstacles } = await refused(month('04'), 'open_cycles')
    expect(obstacles[0]?.message).toContain(account.userId)
    expect(await dropUsage(ownerDb, month('04'), { closeCycles: true })).toMatchObject({ obstacles: [] })
    expect(await account.caller.keys.usage({ cycleStart: `${year}-02-20T12:00:00.000Z` })).toMatchObject({
      data: [{ creditsUsed: 6 }],
    })
  })

  it('events are not dropped while a stored total differs from the sum of the events', async () => {
    await chargeUntil(5)
    await owner.query('update usage_by_cycle set credits_charged = credits_charged + 1 where cycle_start = $1', [at('01-20')])
    const { obstacles } = await refused(month('03'), 'differences')
    expect(obstacles[0]?.message).toContain(account.userId)
    await owner.query('update usage_by_cycle set credits_charged = credits_charged - 1 where cycle_start = $1', [at('01-20')])
  })
})

describe('while accounts are charged,', () => {
  /**
   * Creates a charge engine, like that of another server process, and an array with its warnings. The engine logs a warning
   * if a charge waits a second for a lock.
   */
  const anotherProcess = () => {
    const warnings: string[] = []
    const log = pino({ level: 'warn' }, { write: (line: string) => void warnings.push(line) })
    return { metering: new Metering({ db: database.db, keyBrand: 'km', log }), warnings }
  }

  it('months can be dropped and partitions can be made without an error or a deadlock, and no charge waits long for a lock', async () => {
    await chargeUntil(6)
    const accounts = [account, ...(await Promise.all(Array.from({ length: 3 }, async () => await provisioned(database))))]
    await owner.query('update billing_accounts set credits_per_cycle = 1000000')
    let isDropped = false
    let charged = 0
    const clients = accounts.map(async ({ defaultKey }) => {
      const process = anotherProcess()
      while (!isDropped || charged < 50) {
        const request = {
          key: defaultKey.secret,
          credits: 1,
          idempotencyKey: `load-${year}-${charged++}`,
          operation: 'default',
        }
        expect(await process.metering.charge(request)).toMatchObject({ verdict: 'charged' })
      }
      expect(process.warnings).toEqual([])
    })
    const making = (async () => {
      while (!isDropped) await makeUsagePartitions(database.db)
    })()
    const reading = (async () => {
      while (!isDropped) await account.caller.usage.events({ limit: 100 })
    })()
    const dropping = (async () => {
      for (const name of ['02', '03', '04']) expect(reasons(await dropUsage(ownerDb, month(name)))).toEqual([])
    })().finally(() => (isDropped = true))
    await Promise.all([...clients, making, reading, dropping])
  })

  it('an open transaction that reads the events delays the drop of a month, and no charge waits long for a lock', async () => {
    await chargeUntil(5)
    const reader = await owner.connect()
    onTestFinished(() => reader.release(true))
    await reader.query('begin')
    await reader.query('select from api_key_usage limit 1')
    let isDone = false
    const dropping = dropUsage(ownerDb, month('02')).finally(() => (isDone = true))
    const waitsForReader = async () => {
      const { rows } = await owner.query('select from pg_locks where not granted and relation is not null')
      return rows.length
    }
    const { metering: own, warnings } = anotherProcess()
    const key = account.defaultKey.secret
    for (let n = 0; n < 3; n++) {
      // While `dropUsage` waits for its lock, a new charge waits behind it, because Postgres grants locks in the order of
      // the requests.
      await expect.poll(waitsForReader, { interval: 5 }).toBeGreaterThan(0)
      const request = { key, credits: 1, idempotencyKey: `beside-${year}-${n}`, operation: 'default' }
      expect(await own.charge(request)).toMatchObject({ verdict: 'charged' })
    }
    expect(isDone).toBe(false)
    expect(warnings).toEqual([])
    await reader.query('commit')
    expect(await dropping).toMatchObject({ obstacles: [] })
    expect((await sequences())[0]).toBe(4)
  })

  it('only the owner can drop events', async () => {
    await expect(dropUsage(database.db, month('02'))).rejects.toThrow()
    await expect(sql`delete from usage_retention`.execute(database.db)).rejects.toThrow(/permission denied/)
  })
})
