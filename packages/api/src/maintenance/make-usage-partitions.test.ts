import { withClient } from '@keymeter/local'
import { sql } from 'kysely'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { contextOf, provisioned, SERVICE_KEY } from '../../test/caller.ts'
import { replaceClock } from '../../test/clock.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { appRouter } from '../router.ts'
import { makeUsagePartitions } from './make-usage-partitions.ts'

const database = reconciledDatabase()
const { owner, db } = database
const backend = appRouter.createCaller({ ...contextOf(database, null), authorization: `Bearer ${SERVICE_KEY}` })
const DAY_MS = 86_400_000
const DENIED = /permission denied/

let clock: Awaited<ReturnType<typeof replaceClock>>
let account: Awaited<ReturnType<typeof provisioned>>
/** Each test uses another year, because all tests share the partitions. */
let year = 2029
beforeEach(async () => {
  year++
  clock = await replaceClock(database)
  await clock.set(new Date(`${year}-01-15T00:00:00Z`))
  account = await provisioned(database)
  await owner.query('update billing_accounts set credits_per_cycle = 1000000 where user_id = $1', [account.userId])
})

const charge = async (idempotencyKey: string, credits = 1) =>
  await backend.metering.charge({ key: account.defaultKey.secret, credits, idempotencyKey })
/** Returns the partitions that contain events of the account, as `<partition>: <number of events>`. */
const places = async () =>
  (
    await owner.query<{ place: string; events: number }>(
      'select tableoid::regclass::text as place, count(*)::int as events from api_key_usage where user_id = $1 group by 1 order by 1',
      [account.userId],
    )
  ).rows.map(({ place, events }) => `${place}: ${events}`)
const partitions = async () =>
  (
    await owner.query<{ name: string }>(
      "select relid::regclass::text as name from pg_partition_tree('api_key_usage') where isleaf order by 1",
    )
  ).rows.map(({ name }) => name)
/** Runs the PL/pgSQL statements after each CREATE TABLE, until the test ends. The variable `name` is the name of the table. */
const onNewTable = async (statements: string) => {
  await withClient(database.urls.superuser, async (client) => {
    await client.query(`
      create function on_new_table() returns event_trigger language plpgsql as $$
      declare
        name text := (select distinct relname from pg_class join pg_event_trigger_ddl_commands() on objid = pg_class.oid);
      begin ${statements} end $$;
      create event trigger on_new_table on ddl_command_end when tag in ('CREATE TABLE') execute function on_new_table()`)
  })
  onTestFinished(
    async () =>
      await withClient(
        database.urls.superuser,
        async (client) => void (await client.query('drop function on_new_table cascade')),
      ),
  )
}
const months = (...names: string[]) => names.map((month) => `api_key_usage_${year}_${month}`)

describe('makeUsagePartitions', () => {
  it('creates the partitions of this month, the previous two and the next three in UTC, and nothing when it is called again', async () => {
    await clock.set(new Date(`${year}-05-31T23:59:59.999Z`))
    expect(await makeUsagePartitions(db)).toEqual(months('03', '04', '05', '06', '07', '08'))
    expect(await makeUsagePartitions(db)).toEqual([])
    await clock.set(new Date(`${year}-06-01T00:00:00.000Z`))
    expect(await makeUsagePartitions(db)).toEqual(months('09'))
    const before = await partitions()
    await owner.query("set timezone = 'Pacific/Kiritimati'")
    expect(await makeUsagePartitions(db)).toEqual([])
    expect(await partitions()).toEqual(before)
  })

  it('creates the partition of each month once if it is called concurrently', async () => {
    // Open ten connections first. Without them, the first calls would end before the other calls have a connection, and no
    // calls would be concurrent.
    await Promise.all(Array.from({ length: 10 }, async () => await sql`select pg_sleep(0.1)`.execute(db)))
    const made = await Promise.all(Array.from({ length: 20 }, async () => await makeUsagePartitions(db)))
    expect(made.flat().sort()).toEqual([
      `api_key_usage_${year - 1}_11`,
      `api_key_usage_${year - 1}_12`,
      ...months('01', '02', '03', '04'),
    ])
  })

  it('refuses a number of months outside of the allowed range', async () => {
    for (const wrong of [-1, 25])
      await expect(sql`select keymeter.missing_usage_partitions(${wrong})`.execute(db)).rejects.toThrow('between 0 and 24')
  })

  it('the server’s role can create only partitions of months that are needed', async () => {
    const make = async (month: string | null) =>
      (await sql<{ name: string | null }>`select keymeter.make_usage_partition(${month}::timestamptz) as name`.execute(db))
        .rows[0]?.name
    const before = await partitions()
    for (const month of [null, `${year}-02-02`, `${year - 1}-10-01`, `${year + 2}-02-01`, 'infinity'])
      expect(await make(month)).toBe(null)
    expect(await partitions()).toEqual(before)
    expect(await make(`${year + 2}-01-01`)).toBe(`api_key_usage_${year + 2}_01`)
    // The next tests use these years.
    await owner.query(`drop table api_key_usage_${year + 2}_01`)
  })

  it('creates all missing partitions, even if they take longer together than the statement timeout of the server’s role', async () => {
    const { rows } = await sql<{ statement_timeout: string }>`show statement_timeout`.execute(db)
    expect(rows).toEqual([{ statement_timeout: '5s' }])
    // Six partitions, with a second for each.
    await onNewTable('perform pg_sleep(1);')
    expect(await makeUsagePartitions(db)).toHaveLength(6)
  })

  it('creates the other partitions if one partition cannot be created, and then fails with the reason', async () => {
    await onNewTable(`if name = 'api_key_usage_${year}_02' then raise exception 'no such month'; end if;`)
    await expect(makeUsagePartitions(db)).rejects.toThrow('no such month')
    const created = (await partitions()).filter((name) => name.startsWith(`api_key_usage_${year}`))
    expect(created).toEqual(months('01', '03', '04'))
  })

  it('creates the partitions of empty months first, if the events of another month cannot be moved in time', async () => {
    await charge('a')
    await clock.set(new Date(`${year}-11-15T00:00:00Z`))
    await charge('b')
    // A trigger on the default partition makes the move of each event longer than the statement timeout.
    await owner.query(`
      create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(10); return old; end $$;
      create trigger slow before delete on api_key_usage_default for each row execute function slow()`)
    onTestFinished(async () => void (await owner.query('drop function slow cascade')))
    await expect(makeUsagePartitions(db)).rejects.toMatchObject({ code: '57014' })
    expect((await partitions()).filter((name) => name.startsWith(`api_key_usage_${year}`))).toEqual(months('09', '10', '12'))
    expect(await places()).toEqual(['api_key_usage_default: 2'])
  })

  it('creates partitions without grants to any role, even if default privileges grant access to new tables', async () => {
    await makeUsagePartitions(db)
    const names = await partitions()
    expect(names.length).toBeGreaterThan(6)
    const { rows: open } = await owner.query(
      `select relname, grants.* from pg_class, aclexplode(relacl) as grants
        where relname = any($1) and grantee <> relowner`,
      [names],
    )
    expect(open).toEqual([])
    const { rows: bare } = await owner.query('select relname from pg_class where relname = any($1) and not relrowsecurity', [
      names,
    ])
    expect(bare).toEqual([])
  })

  it('creates partitions that neither the server’s role nor the roles of the Data API can read or write', async () => {
    await makeUsagePartitions(db)
    await charge('a')
    const statements = (await partitions()).flatMap((name) => [
      `select from ${name}`,
      `delete from ${name}`,
      `insert into ${name} select * from ${name}`,
      `truncate ${name}`,
    ])
    for (const statement of statements) await expect(sql.raw(statement).execute(db)).rejects.toThrow(DENIED)
    for (const role of ['anon', 'authenticated', 'service_role']) {
      await withClient(database.urls.owner, async (client) => {
        await client.query(`set role ${role}`)
        for (const statement of statements) await expect(client.query(statement)).rejects.toThrow(DENIED)
      })
    }
  })
})

describe('charges in a month without a partition', () => {
  it('the event of a charge is moved by the next make_usage_partitions, and a retry still gets the same verdict', async () => {
    const first = await charge('a', 5)
    await charge('b', 10 ** 7)
    expect(first).toMatchObject({ verdict: 'charged', remaining: 999_995 })
    expect(await places()).toEqual(['api_key_usage_default: 2'])
    expect(await charge('a', 5)).toMatchObject({ verdict: 'charged', remaining: 999_995, replayed: true })
    const { rows: before } = await owner.query('select * from api_key_usage where user_id = $1 order by sequence', [
      account.userId,
    ])
    await makeUsagePartitions(db)
    expect(await places()).toEqual([`api_key_usage_${year}_01: 2`])
    const { rows: after } = await owner.query('select * from api_key_usage where user_id = $1 order by sequence', [
      account.userId,
    ])
    expect(after).toEqual(before)
    expect(await charge('a', 5)).toMatchObject({ verdict: 'charged', remaining: 999_995, replayed: true })
    expect(await charge('a', 6)).toMatchObject({ verdict: 'conflict' })
    expect(await charge('b', 10 ** 7)).toMatchObject({ verdict: 'insufficient_credits', replayed: true })
  })

  it('the event of a charge is moved even if it is many months old', async () => {
    await charge('a')
    await clock.set(new Date(`${year}-11-15T00:00:00Z`))
    expect(await makeUsagePartitions(db)).toContain(`api_key_usage_${year}_01`)
    expect(await places()).toEqual([`api_key_usage_${year}_01: 1`])
  })

  it('each charge is stored exactly once while clients charge and retry and the partition is created', async () => {
    let events = 0
    for (let round = 1; round <= 3; round++) {
      // No partition exists for this month yet.
      await clock.set(new Date(Date.UTC(year, round * 5, 1)))
      let isMade = false
      const clients = Promise.all(
        Array.from({ length: 6 }, async (_, client) => {
          const told: object[] = []
          while (!isMade || told.length < 10) {
            const verdict = await charge(`${round}-${client}-${told.length}`)
            expect(verdict).toMatchObject({ verdict: 'charged', replayed: false })
            told.push(verdict)
            const earlier = Math.floor((told.length - 1) / 2)
            expect(await charge(`${round}-${client}-${earlier}`)).toMatchObject({
              ...told[earlier],
              replayed: true,
              requestId: expect.any(String),
            })
          }
          events += told.length
        }),
      ).catch((error: unknown) => error)
      await expect.poll(async () => (await places()).join()).toContain('default')
      await Promise.all(Array.from({ length: 3 }, async () => await makeUsagePartitions(db))).finally(() => (isMade = true))
      expect(await clients).toHaveLength(6)
      expect((await places()).join()).not.toContain('default')
    }
    const { rows } = await owner.query('select count(*)::int as events from api_key_usage where user_id = $1', [account.userId])
    expect(rows).toEqual([{ events }])
    year += 3
  })

  it('charges succeed while the partition is created and many accounts roll over to a new cycle', async () => {
    const accounts = [account, ...(await Promise.all(Array.from({ length: 7 }, async () => await provisioned(database))))]
    const alone = accounts.map(() =>
      appRouter.createCaller({ ...contextOf(database, null), authorization: `Bearer ${SERVICE_KEY}` }),
    )
    for (let month = 1; month <= 4; month++) {
      await clock.set(new Date(Date.UTC(year, month * 4, 20)))
      const charges = accounts.map(
        async ({ defaultKey }, i) =>
          await alone[i]?.metering.charge({ key: defaultKey.secret, credits: 1, idempotencyKey: `turn-${year}-${month}` }),
      )
      const made = makeUsagePartitions(db)
      for (const verdict of await Promise.all(charges)) expect(verdict).toMatchObject({ verdict: 'charged', replayed: false })
      await made
    }
    year += 3
  })

  it('charges succeed while make_usage_partitions waits for a lock on the default partition and then fails by lock_timeout', async () => {
    await charge('a')
    const reader = await owner.connect()
    onTestFinished(() => reader.release(true))
    await reader.query('begin')
    await reader.query('select from api_key_usage_default')
    // The server’s role has a lock_timeout, so `make_usage_partitions` fails while the reader still holds its lock.
    const made = expect(makeUsagePartitions(db)).rejects.toMatchObject({ code: '55P03' })
    const waiting = async () =>
      (await owner.query('select from pg_locks where not granted and relation is not null')).rows.length
    await expect.poll(waiting, { interval: 5 }).toBeGreaterThan(0)
    expect(await charge('b')).toMatchObject({ verdict: 'charged', replayed: false })
    await made
    expect(await charge('c')).toMatchObject({ verdict: 'charged', replayed: false })
    await reader.query('commit')
    expect(await places()).toEqual(['api_key_usage_default: 3'])
    await makeUsagePartitions(db)
    expect(await places()).toEqual([`api_key_usage_${year}_01: 3`])
  })
})

describe('idempotency keys', () => {
  it('an idempotency key is remembered for exactly 35 days, across months and in months without a partition', async () => {
    const first = new Date(`${year}-01-31T23:59:59.999Z`)
    await clock.set(first)
    await makeUsagePartitions(db)
    // April is the last month with a partition, so May is in the default partition.
    const moments = [
      first,
      new Date(`${year}-02-28T23:59:59.999Z`),
      new Date(`${year}-04-30T23:59:59.999Z`),
      new Date(`${year}-05-01T00:00:00.000Z`),
    ]
    for (const [i, moment] of moments.entries()) {
      await clock.set(moment)
      expect(await charge(`key-${i}`)).toMatchObject({ replayed: false })
      await clock.set(new Date(moment.getTime() + 35 * DAY_MS - 1))
      expect(await charge(`key-${i}`)).toMatchObject({ replayed: true })
      await clock.set(moment)
    }
    expect((await places()).map((place) => place.replace(/:.*/, ''))).toEqual([
      ...months('01', '02', '04'),
      'api_key_usage_default',
    ])
    const last = moments.at(-1) ?? first
    await clock.set(new Date(last.getTime() + 35 * DAY_MS - 1))
    await makeUsagePartitions(db)
    expect(await charge('key-3')).toMatchObject({ replayed: true })
  })

  it('an idempotency key is searched only in the partitions of the last 35 days', async () => {
    await clock.set(new Date(`${year}-01-15T00:00:00Z`))
    await makeUsagePartitions(db)
    await clock.set(new Date(`${year}-05-15T00:00:00Z`))
    await makeUsagePartitions(db)
    await charge('a')
    const notices: string[] = []
    await withClient(database.urls.superuser, async (client) => {
      client.on('notice', ({ message }) => void notices.push(message ?? ''))
      await client.query("load 'auto_explain'")
      await client.query(`
        set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on; set auto_explain.log_analyze = on;
        set client_min_messages = log`)
      await client.query(
        `select keymeter.meter_batch(user_id, '{charge}', array[user_id], array[key_hash], '{null}', '{1}', '{a}', '{default}', '{null}')
           from api_key_secrets where user_id = $1`,
        [account.userId],
      )
    })
    const look = notices.filter((notice) => notice.includes('idempotency_key = given'))
    expect(look).toHaveLength(1)
    const read = (look[0] ?? '')
      .split('\n')
      .filter((line) => / on api_key_usage_\w+ events/.test(line) && !line.includes('never executed'))
    const names = read.map((line) => /on (api_key_usage_\w+)/.exec(line)?.[1])
    expect(names.sort()).toEqual(months('04', '05'))
    for (const line of read) expect(line).toContain('idempotency_key_idx')
  })
})
