import { signedIn } from '@keymeter/api/testing'
import { addAuditEntries } from '../audit-entries.ts'
import type { Cluster } from '../cluster.ts'
import { loadEvents } from '../events.ts'
import { explainCall } from '../explain.ts'
import { assertNothingLost } from '../invariants.ts'
import { longestBlock } from '../longest-block.ts'
import { alternate, type Effort, type Finding } from '../measure.ts'
import { addRevokedKeys } from '../revoked-keys.ts'

const TARGET_AUDIT_MS = 5
const TARGET_BLOCK_MS = 50
const HOUR_MS = 3_600_000
const PAGE = 100

export interface LargeAccountSize {
  /** The number of revoked keys that were used in the current cycle. */
  revokedKeys: number
  events: number
  auditEntries: number
}

/** Measures the reads whose cost could grow with the number of keys or audit entries that an account ever had. */
export async function largeAccount(
  cluster: Cluster,
  { revokedKeys, events, auditEntries }: LargeAccountSize,
  effort: Effort,
  report: (line: string) => void,
): Promise<Finding[]> {
  const userId = cluster.accounts.large[0]?.userId ?? ''
  return await cluster.withDatabases(['large_account'], async ({ large_account: database }) => {
    report('Loading an account with many revoked keys and audit entries …')
    await addRevokedKeys(database, userId, revokedKeys)
    const loaded = await loadEvents(database, cluster.accounts, events)
    await addAuditEntries(database, userId, auditEntries)
    const { rows } = await database.owner.query<{ id: string; middle: Date }>(
      `select api_key_id as id, created_at as middle from audit_log
        where user_id = $1 and sequence = (select audit_length - $2::int / 2 from billing_accounts where user_id = $1)`,
      [userId, auditEntries],
    )
    const { id: keyId = '', middle = new Date() } = rows[0] ?? {}
    const end = Math.ceil(Date.now() / HOUR_MS) * HOUR_MS
    const range = (days: number) => ({
      from: new Date(end - days * 24 * HOUR_MS).toISOString(),
      to: new Date(end).toISOString(),
    })
    const limit = PAGE

    const series: [string, Call][] = [
      ['series by key, days of the cycle', ({ usage }) => usage.timeseries({ unit: 'day' })],
      ['series by key, hours of 31 days', ({ usage }) => usage.timeseries({ unit: 'hour', ...range(31) })],
      ['series by key, 400 days', ({ usage }) => usage.timeseries({ unit: 'day', ...range(400) })],
      ['series of an operation, by key', ({ usage }) => usage.timeseries({ operation: 'default' })],
      ['keys and their usage', ({ keys }) => keys.usage()],
      ['all keys, by name', ({ keys }) => keys.list({ status: 'all', sort: 'name' })],
      ['all keys, by last use', ({ keys }) => keys.list({ status: 'all', sort: 'lastUsed' })],
      ['a search that finds no key', ({ keys }) => keys.list({ status: 'all', search: 'nothing' })],
      ['events of a rare operation', ({ usage }) => usage.events({ limit, operation: 'none' })],
    ]
    const audit: [string, Call][] = [
      ['the newest entries', ({ audit }) => audit.list({ limit })],
      ['an action that no entry has', ({ audit }) => audit.list({ limit, action: 'account.suspended' })],
      ['a key and an action that it does not have', ({ audit }) => audit.list({ limit, keyId, action: 'key.revoked' })],
      ['entries before all others', ({ audit }) => audit.list({ limit, to: '2001-01-01T00:00:00Z' })],
      ['entries after all others', ({ audit }) => audit.list({ limit, from: '2999-01-01T00:00:00Z' })],
      [
        'entries of an action before a time',
        ({ audit }) => audit.list({ limit, action: 'key.rotated', to: middle.toISOString() }),
      ],
    ]
    // An HTTP batch has at most ten calls, and the server starts all of them concurrently.
    const batch: [string, Call] = [
      'ten concurrent series by key, hours of 31 days',
      async ({ usage }) =>
        await Promise.all(Array.from({ length: 10 }, async () => await usage.timeseries({ unit: 'hour', ...range(31) }))),
    ]
    const inPostgres = async (calls: [string, Call][]) =>
      await alternate(
        calls.map(([name, call]) => ({ name, run: async () => await explainCall(database, userId, call) })),
        'ms',
        effort,
      )
    const caller = await signedIn(database, userId)
    const [reads, pages] = [await inPostgres(series), await inPostgres(audit)]
    const blocks = await alternate(
      [...series, batch, ...audit].map(([name, call]) => ({
        name,
        run: async () => await longestBlock(async () => await call(caller)),
      })),
      'ms',
      effort,
    )
    await assertNothingLost(database, loaded)
    const atMost = (value: number) => ({ at: 'most' as const, value, unit: 'ms' as const })
    const what = `An account with ${cluster.accounts.large.length} live keys, ${revokedKeys.toLocaleString('en')} revoked keys that were used in the current cycle, and ${events.toLocaleString('en')} events.`
    return [
      {
        title: 'Reads of an account with many revoked keys, inside Postgres',
        what: `${what} Each figure is the sum of all queries of a call.`,
        series: reads,
        ratios: [],
        notes: [],
      },
      {
        title: 'Pages of the audit log, inside Postgres',
        what: `An account with ${auditEntries.toLocaleString('en')} audit entries. A page has ${PAGE} entries. Each figure is the sum of all queries of a call.`,
        series: pages,
        ratios: pages.map(({ name, values }) => ({ name, values, target: atMost(TARGET_AUDIT_MS) })),
        notes: [],
      },
      {
        title: 'The longest block of the event loop',
        what: `${what} The longest time in which the process could not do anything else while it answered the call and wrote the answer as JSON. The figures include the time in which other programs used the processor.`,
        series: blocks,
        ratios: blocks.map(({ name, values }) => ({ name, values, target: atMost(TARGET_BLOCK_MS) })),
        notes: [],
      },
    ]
  })
}

type Call = (caller: Awaited<ReturnType<typeof signedIn>>) => Promise<unknown>
