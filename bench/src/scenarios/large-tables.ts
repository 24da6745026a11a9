import { randomUUID } from 'node:crypto'
import type { CompiledQuery, KyselyPlugin } from 'kysely'
import { pino } from 'pino'
import { listAlerts } from '../../../packages/api/src/alerts/list.ts'
import { getLedger } from '../../../packages/api/src/billing/ledger.ts'
import { creditsUsed } from '../../../packages/api/src/keys/credits-used.ts'
import { inAccount, type Scope } from '../../../packages/api/src/scope.ts'
import { listUsageEvents } from '../../../packages/api/src/usage/events/page.ts'
import { usageSnapshot } from '../../../packages/api/src/usage/snapshot.ts'
import { usageTimeseries } from '../../../packages/api/src/usage/timeseries.ts'
import { signedIn } from '../../../packages/api/test/caller.ts'
import type { Cluster, Database } from '../cluster.ts'
import { createEngine } from '../engine.ts'
import { loadEvents } from '../events.ts'
import { assertNothingLost } from '../invariants.ts'
import { alternate, closedLoop, type Effort, type Finding, median, type Ratio, ratio, type Series } from '../measure.ts'

const CALLERS = 64
/** Runs of the explained query in one round: it takes a fraction of a millisecond. */
const EXPLAINED = 50
const TARGET_GROWTH = 1.5
const TARGET_MS = 1
const TARGET_SERIES_MS = 5
const TARGET_PAGE_MS = 5
const TARGET_LOADED = 0.8
const PAGE = 50
const PAGE_OF_EXPORT = 1000

/** The same reads and charges on tables of each of these numbers of events, and on empty ones. */
export async function largeTables(
  cluster: Cluster,
  sizes: number[],
  effort: Effort,
  report: (line: string) => void,
): Promise<Finding[]> {
  const names = ['empty', ...sizes.map((size) => `events_${size}`)]
  return await cluster.withDatabases(names, async (databases) => {
    const loaded: { size: number; database: Database; events: number }[] = []
    for (const size of sizes) {
      report(`Loading ${size.toLocaleString('en')} events …`)
      const database = of(databases, `events_${size}`)
      loaded.push({ size, database, events: await loadEvents(database, cluster.accounts, size) })
    }
    const findings = await reads(cluster, loaded, effort)
    const largest = loaded.at(-1)
    if (largest !== undefined) findings.push(await charges(cluster, of(databases, 'empty'), largest, effort))
    return findings
  })
}

async function reads(cluster: Cluster, loaded: { size: number; database: Database }[], effort: Effort): Promise<Finding[]> {
  const userId = cluster.accounts.large[0]?.userId ?? ''
  const label = (size: number) => `${size.toLocaleString('en')} events`
  const callers = await Promise.all(loaded.map(async ({ database }) => await signedIn(database, userId)))
  const explained = await alternate(
    loaded.map(({ size, database }) => ({
      name: label(size),
      run: async () => await explain(database, userId, 'usage_by_cycle', readUsageByKey),
    })),
    'ms',
    effort,
    async () => {},
  )
  const overTime = async (unit: 'day' | 'hour') =>
    await alternate(
      loaded.map(({ size, database }) => ({
        name: label(size),
        run: async () =>
          await explain(database, userId, 'usage_by_day', async (scope) => {
            const { series } = await usageTimeseries(scope, { unit, by: 'key', timeZone: 'Asia/Kolkata' })
            if (series.length !== cluster.accounts.large.length) throw new Error(`${series.length} keys have usage`)
          }),
      })),
      'ms',
      effort,
      async () => {},
    )
  const [days, hours] = [await overTime('day'), await overTime('hour')]
  const largest = loaded.at(-1)
  if (largest === undefined) throw new Error('there are no tables to read')
  const others = await otherReads(largest.database, userId, effort)
  const called = await alternate(
    loaded.map(({ size }, i) => ({
      name: label(size),
      run: async (seconds) => (await closedLoop(1, Math.min(1, seconds), async () => await callers[i]?.keys.usage())).p50Ms,
    })),
    'ms',
    effort,
    async () => {},
  )
  const growth = (series: Series[]) =>
    ratio('largest / smallest', series.at(-1), series[0], { at: 'most', value: TARGET_GROWTH })
  const inPostgres = (series: Series[], value: number) =>
    series.map(({ name, values }) => ({
      name,
      values,
      target: { at: 'most' as const, value, unit: 'ms' as const },
    }))
  const what = 'An account with 100 keys and so many events in its current cycle; half as many again are of 100 others.'
  return [
    {
      title: 'Usage by key, inside Postgres',
      what: `${what} The roll-up query of \`keys.usage\`: planning and execution by EXPLAIN ANALYZE, as the server's role under row level security, median of ${EXPLAINED} runs a round.`,
      series: explained,
      ratios: [growth(explained), ...inPostgres(explained, TARGET_MS)],
      notes: [],
    },
    {
      title: 'Usage over time, inside Postgres',
      what: `${what} The query of \`usage.timeseries\` by key, the cycle's days in the time zone of India, explained in the same way.`,
      series: days,
      ratios: inPostgres(days, TARGET_SERIES_MS),
      notes: [],
    },
    {
      title: 'Usage by the hour, inside Postgres',
      what: `${what} The same of the cycle's hours: 24 figures of each key for each of its days.`,
      series: hours,
      ratios: inPostgres(hours, TARGET_SERIES_MS),
      notes: [],
    },
    {
      title: 'The other reads, inside Postgres',
      what: `The same account with ${label(largest.size)}, all queries of a call together. Pages of ${PAGE} events, and those of an export with ${PAGE_OF_EXPORT.toLocaleString('en')}.`,
      series: others,
      ratios: inPostgres(others, TARGET_PAGE_MS),
      notes: [],
    },
    {
      title: 'Usage by key, the whole call',
      what: `${what} \`keys.usage\` through the router, one caller: verifies the token, opens the transaction, reads clock, cycle, keys and roll-ups; median latency.`,
      series: called,
      ratios: [growth(called)],
      notes: [],
    },
  ]
}

/** Usage over time by other names and filters, pages of events at any depth and with filters, and what an account has. */
async function otherReads(database: Database, userId: string, effort: Effort): Promise<Series[]> {
  const { rows } = await database.owner.query<{ sequence: string; at: Date; key: string }>(
    `select sequence, created_at as at, api_key_id as key from api_key_usage
      where user_id = $1 and sequence in (select (last_event_sequence * part)::bigint from billing_accounts, unnest('{0.5,0.001}'::float8[]) as part where user_id = $1)
      order by sequence desc`,
    [userId],
  )
  const [middle, early] = rows
  if (middle === undefined || early === undefined) throw new Error('the account has no events')
  const cursor = { middle: `${middle.sequence}.${middle.at.getTime()}`, early: `${early.sequence}.${early.at.getTime()}` }
  const page = (input: Parameters<typeof listUsageEvents>[1]) => async (scope: Scope) => {
    await listUsageEvents(scope, input)
  }
  const overTime = (input: Omit<Parameters<typeof usageTimeseries>[1], 'timeZone'>) => async (scope: Scope) => {
    const { series } = await usageTimeseries(scope, { timeZone: 'Asia/Kolkata', ...input })
    if (series.length === 0) throw new Error('there is no usage to show')
  }
  const reads: [string, (scope: Scope) => Promise<void>][] = [
    ['days by operation', overTime({ unit: 'day', by: 'operation' })],
    ['hours by operation', overTime({ unit: 'hour', by: 'operation' })],
    ['days of an operation, by key', overTime({ unit: 'day', by: 'key', operation: 'default' })],
    ['hours of a key', overTime({ unit: 'hour', by: 'operation', keyId: middle.key })],
    ['events, the newest', page({ limit: PAGE })],
    ['events, from the middle', page({ limit: PAGE, cursor: cursor.middle })],
    ['events, near the first', page({ limit: PAGE, cursor: cursor.early })],
    ['events of a time', page({ limit: PAGE, to: middle.at.toISOString() })],
    ['events of a key, from the middle', page({ limit: PAGE, cursor: cursor.middle, keyId: middle.key })],
    ['events of an operation that there is not', page({ limit: PAGE, operation: 'none' })],
    ['refusals, where there are none', page({ limit: PAGE, verdicts: ['revoked'] })],
    ['the event of an idempotency key', page({ limit: PAGE, idempotencyKey: randomUUID() })],
    ['events, as exported', page({ limit: PAGE_OF_EXPORT, cursor: cursor.middle })],
    ['what a stream carries', async (scope) => void (await usageSnapshot(scope))],
    ['the alerts', async (scope) => void (await listAlerts(scope))],
    ['the ledger', async (scope) => void (await getLedger(scope, {}))],
  ]
  return await alternate(
    reads.map(([name, read]) => ({ name, run: async () => await explain(database, userId, null, read) })),
    'ms',
    effort,
    async () => {},
  )
}

async function charges(
  cluster: Cluster,
  empty: Database,
  largest: { size: number; database: Database; events: number },
  effort: Effort,
): Promise<Finding> {
  const { large, keys } = cluster.accounts
  const databases = [largest.database, empty] as const
  const random = databases.map(({ db }) => createEngine(db))
  const inOrder = databases.map(({ db }) => createEngine(db, () => `${Date.now().toString(16)}-${randomUUID()}`))
  const names = [`${largest.events.toLocaleString('en')} events`, 'empty']
  const series: Series[] = []
  const ratios: Ratio[] = []
  for (const [what, engines, charged] of [
    ['hot', random, large],
    ['hot, keys in the order of time', inOrder, large],
    ['spread', random, keys],
  ] as const) {
    const pair = await alternate(
      engines.map((engine, i) => ({
        name: `${what}, ${names[i]}`,
        run: async (seconds) => (await engine.charge(CALLERS, seconds, charged)).perSecond,
      })),
      '/s',
      effort,
      cluster.checkpoint,
    )
    series.push(...pair)
    ratios.push(ratio(`${what}: loaded / empty`, pair[0], pair[1], { at: 'least', value: TARGET_LOADED }))
  }
  for (const [i, database] of databases.entries())
    await assertNothingLost(
      database,
      (i === 0 ? largest.events : 0) + (random[i]?.charges ?? Number.NaN) + (inOrder[i]?.charges ?? Number.NaN),
    )
  return {
    title: 'Charging with large tables, against empty ones',
    what: `${CALLERS} callers. Hot: the 100 keys of the account that has most of the events. Spread: one key of each account. Idempotency keys are random, each on another page of a large index, which Postgres writes whole the first time after a checkpoint; or they begin with the time, as UUIDv7 and ULIDs do.`,
    series,
    ratios,
    notes: [],
  }
}

/** Reads what every key used in the cycle. */
async function readUsageByKey(scope: Scope): Promise<void> {
  const keys = await scope.db.selectFrom('api_keys').select('id').where('user_id', '=', scope.userId).execute()
  const account = await scope.db.selectFrom('billing_accounts').select('billing_cycle_start').executeTakeFirstOrThrow()
  const used = await creditsUsed(
    scope,
    account.billing_cycle_start,
    keys.map(({ id }) => id),
  )
  if (used.size !== keys.length) throw new Error(`${used.size} of ${keys.length} keys have usage`)
}

/**
 * Milliseconds, planning included, as the median of some runs of what the product sends when it does `read`: of its query on
 * `table`, or of all its queries together.
 */
async function explain(
  database: Database,
  userId: string,
  table: string | null,
  read: (scope: Scope) => Promise<void>,
): Promise<number> {
  const queries: CompiledQuery[] = []
  const captures: KyselyPlugin = {
    transformQuery: ({ node, queryId }) => {
      queries.push(database.db.getExecutor().compileQuery(node, queryId))
      return node
    },
    transformResult: async ({ result }) => result,
  }
  const db = database.db.withPlugin(captures)
  const call = {
    userId,
    db,
    log: pino({ level: 'silent' }),
    keyBrand: 'km',
    requestId: 'bench',
    clientAddress: null,
    userAgent: null,
  }
  return await inAccount(call, 'read only', async (scope) => {
    queries.length = 0
    await read(scope)
    const measured = table === null ? [...queries] : queries.filter(({ sql }) => sql.includes(table)).slice(-1)
    if (measured.length === 0) throw new Error(`no query on ${table} was seen`)
    const times: number[] = []
    for (let n = 0; n < EXPLAINED; n++) {
      let total = 0
      for (const query of measured) total += await explainOnce(scope, query)
      times.push(total)
    }
    return median(times)
  })
}

async function explainOnce({ db }: Scope, query: CompiledQuery): Promise<number> {
  const { rows } = await db.executeQuery<{ 'QUERY PLAN': { 'Planning Time': number; 'Execution Time': number }[] }>({
    ...query,
    sql: `explain (analyze, format json) ${query.sql}`,
  })
  const plan = rows[0]?.['QUERY PLAN'][0]
  return (plan?.['Planning Time'] ?? Number.NaN) + (plan?.['Execution Time'] ?? Number.NaN)
}

function of(databases: Record<string, Database>, name: string): Database {
  const database = databases[name]
  if (database === undefined) throw new Error(`there is no database ${name}`)
  return database
}
