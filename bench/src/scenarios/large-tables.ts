import { randomUUID } from 'node:crypto'
import { exportUsage } from '@keymeter/api/server'
import { signedIn } from '@keymeter/api/testing'
import type { Cluster, Database } from '../cluster.ts'
import { createEngine } from '../engine.ts'
import { loadEvents } from '../events.ts'
import { explainCall } from '../explain.ts'
import { assertNothingLost } from '../invariants.ts'
import { alternate, closedLoop, type Effort, type Finding, type Ratio, ratio, type Series } from '../measure.ts'

const CALLERS = 64
const TARGET_GROWTH = 1.5
const TARGET_MS = 1
const TARGET_SERIES_MS = 5
const TARGET_PAGE_MS = 5
const TARGET_LOADED = 0.8
const PAGE = 50

/**
 * Measures reads on tables of each size, and compares charges on the largest tables with charges on empty tables.
 *
 * @param sizes are numbers of usage events.
 */
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
  const keyCount = cluster.accounts.large.length
  const label = (size: number) => `${size.toLocaleString('en')} events`
  const callers = await Promise.all(loaded.map(async ({ database }) => await signedIn(database, userId)))
  const byKey = await alternate(
    loaded.map(({ size, database }) => ({
      name: label(size),
      run: async () =>
        await explainCall(
          database,
          userId,
          async (caller) => {
            const { data } = await caller.keys.usage()
            const used = data.filter(({ creditsUsed }) => creditsUsed > 0)
            if (used.length !== keyCount) throw new Error(`${used.length} of ${keyCount} keys have usage`)
          },
          'usage_by_cycle',
        ),
    })),
    'ms',
    effort,
  )
  const overTime = async (unit: 'day' | 'hour') =>
    await alternate(
      loaded.map(({ size, database }) => ({
        name: label(size),
        run: async () =>
          await explainCall(
            database,
            userId,
            async (caller) => {
              const { series, rest } = await caller.usage.timeseries({ unit, by: 'key', timeZone: 'Asia/Kolkata' })
              const used = series.length + (rest?.count ?? 0)
              if (used !== keyCount) throw new Error(`${used} of ${keyCount} keys have usage`)
            },
            'credits',
          ),
      })),
      'ms',
      effort,
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
  )
  const growth = (series: Series[]) =>
    ratio('largest / smallest', series.at(-1), series[0], { at: 'most', value: TARGET_GROWTH })
  const inPostgres = (series: Series[], value: number) =>
    series.map(({ name, values }) => ({
      name,
      values,
      target: { at: 'most' as const, value, unit: 'ms' as const },
    }))
  const what = `An account with ${keyCount} keys and this number of events in its current cycle. 100 other accounts together have half as many.`
  return [
    {
      title: 'Usage by key, inside Postgres',
      what: `${what} The statement of \`keys.usage\` that returns the keys with their usage: planning and execution by EXPLAIN ANALYZE, as the server's role under row level security. A round is the median of 50 runs.`,
      series: byKey,
      ratios: [growth(byKey), ...inPostgres(byKey, TARGET_MS)],
      notes: [],
      headlines: [
        { what: `Usage of ${keyCount} keys in a cycle of ${label(largest.size)}, inside Postgres`, of: byKey.at(-1) },
      ],
    },
    {
      title: 'Usage by day, inside Postgres',
      what: `${what} The statements of \`usage.timeseries\` that find the largest keys and read their usage and the sum of all keys: the days of the cycle in the time zone of India. They are measured like the usage by key.`,
      series: days,
      ratios: inPostgres(days, TARGET_SERIES_MS),
      notes: [],
    },
    {
      title: 'Usage by hour, inside Postgres',
      what: `${what} The statements of \`usage.timeseries\` for the hours of the cycle: 24 figures for each series and day. They are measured like the usage by key.`,
      series: hours,
      ratios: inPostgres(hours, TARGET_SERIES_MS),
      notes: [],
      headlines: [{ what: 'Usage of the same keys by hour, inside Postgres', of: hours.at(-1) }],
    },
    {
      title: 'Other reads, inside Postgres',
      what: `The account with ${keyCount} keys and ${label(largest.size)}. Each figure is the sum of all queries of a call. A page has ${PAGE} events, and a page of an export has 1,000.`,
      series: others,
      ratios: inPostgres(others, TARGET_PAGE_MS),
      notes: [],
    },
    {
      title: 'Usage by key, the whole call',
      what: `${what} \`keys.usage\` through the router, one caller: it verifies the access token, opens a transaction and reads the cycle, the clock and the keys with their usage. The figure is the median latency.`,
      series: called,
      ratios: [growth(called)],
      notes: [],
    },
  ]
}

/** Measures the other reads of the dashboard: pages at several depths of the list of events, and filters. */
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
  const to = middle.at.toISOString()
  const timeZone = 'Asia/Kolkata'
  const limit = PAGE
  const reads: [string, Parameters<typeof explainCall>[2]][] = [
    ['days by operation', ({ usage }) => usage.timeseries({ timeZone, unit: 'day', by: 'operation' })],
    ['hours by operation', ({ usage }) => usage.timeseries({ timeZone, unit: 'hour', by: 'operation' })],
    ['days of an operation, by key', ({ usage }) => usage.timeseries({ timeZone, by: 'key', operation: 'default' })],
    ['hours of a key', ({ usage }) => usage.timeseries({ timeZone, unit: 'hour', by: 'operation', keyId: middle.key })],
    ['events, the newest page', ({ usage }) => usage.events({ limit })],
    ['events, a page in the middle', ({ usage }) => usage.events({ limit, cursor: cursor.middle })],
    ['events, one of the first pages', ({ usage }) => usage.events({ limit, cursor: cursor.early })],
    ['events before a time', ({ usage }) => usage.events({ limit, to })],
    ['events of a key, in the middle', ({ usage }) => usage.events({ limit, cursor: cursor.middle, keyId: middle.key })],
    ['events of an unknown operation', ({ usage }) => usage.events({ limit, operation: 'none' })],
    ['refusals, of which there are none', ({ usage }) => usage.events({ limit, verdicts: ['revoked'] })],
    ['the event of an idempotency key', ({ usage }) => usage.events({ limit, idempotencyKey: randomUUID() })],
    [
      'one page of an export',
      async (_, origin) => {
        const lines = exportUsage(origin, { to })
        // The first part is the header of the CSV file. The second part is the first page of events.
        for (let part = 0; part < 2; part++) await lines.next()
        await lines.return(undefined)
      },
    ],
    [
      'a snapshot of the stream',
      async ({ usage }) => {
        for await (const _ of await usage.watch()) return
      },
    ],
    ['alerts', ({ alerts }) => alerts.list()],
    ['ledger', ({ billing }) => billing.ledger()],
  ]
  return await alternate(
    reads.map(([name, read]) => ({ name, run: async () => await explainCall(database, userId, read) })),
    'ms',
    effort,
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
    ['hot, ordered idempotency keys', inOrder, large],
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
    title: 'Charges with large tables, compared with empty ones',
    what: `${CALLERS} callers. "hot" charges the ${large.length} keys of the account that has most of the events. "spread" charges one key of each account. Random idempotency keys change many pages of a large index, and Postgres logs a whole page at its first change after a checkpoint. Ordered idempotency keys begin with the time, like UUIDv7 and ULID.`,
    series,
    ratios,
    notes: [],
  }
}

function of(databases: Record<string, Database>, name: string): Database {
  const database = databases[name]
  if (database === undefined) throw new Error(`there is no database ${name}`)
  return database
}
