/**
 * `pnpm bench charge` measures charges and reads on a new Postgres, and writes docs/performance.md.
 *
 * `--rounds` sets how often each measurement is repeated, and `--seconds` how long it takes. `--full` adds the largest table and the largest account.
 * `--only <text>` runs only the scenarios whose name contains the text. `--quick` makes short measurements, to see if every
 * scenario works. With `--only` or `--quick`, docs/performance.md is not written. `--json` prints the findings.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { withCluster } from './cluster.ts'
import { loadAverage, readMachine } from './machine.ts'
import type { Effort, Finding } from './measure.ts'
import { findPgbench, pgbenchVersion } from './pgbench.ts'
import { describeFinding, type Report, writeReport } from './report.ts'
import { againstBetterAuth } from './scenarios/against-better-auth.ts'
import { costOfRollUps } from './scenarios/cost-of-roll-ups.ts'
import { againstPgbench, hotAgainstSpread, singleCaller } from './scenarios/engine.ts'
import { type LargeAccountSize, largeAccount } from './scenarios/large-account.ts'
import { largeTables } from './scenarios/large-tables.ts'
import { besideEdits, twoProcesses } from './scenarios/locked-accounts.ts'
import { neighbours } from './scenarios/neighbours.ts'

const DOCUMENT = new URL('../../docs/performance.md', import.meta.url)
const USAGE = 'Usage: pnpm bench charge [--rounds 3] [--seconds 3] [--full] [--quick] [--only <text>] [--json]'

const SIZES = [10_000, 100_000, 1_000_000]
const SIZES_FULL = [...SIZES, 10_000_000]
const SIZES_QUICK = [1_000, 10_000]
const LARGE_ACCOUNT: LargeAccountSize = { revokedKeys: 10_000, events: 1_000_000, auditEntries: 1_000_000 }
const LARGE_ACCOUNT_FULL: LargeAccountSize = { ...LARGE_ACCOUNT, events: 10_000_000 }
const LARGE_ACCOUNT_QUICK: LargeAccountSize = { revokedKeys: 1_000, events: 10_000, auditEntries: 10_000 }
const ACCOUNTS = 1000
const ACCOUNTS_QUICK = 100
const QUICK: Effort = { rounds: 1, seconds: 0.5 }

const { values, positionals } = parseArgs({
  args: process.argv.slice(2).filter((arg) => arg !== '--'),
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    full: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})
const effort = values.quick ? QUICK : { rounds: Number(values.rounds), seconds: Number(values.seconds) }
if (positionals.join() !== 'charge' || !(effort.rounds >= 1 && effort.seconds > 0)) {
  console.error(USAGE)
  process.exit(2)
}

const report = (line: string) => console.error(line)
const loadBefore = loadAverage()
const machine = readMachine()
const sizes = values.quick ? SIZES_QUICK : values.full ? SIZES_FULL : SIZES
const largeAccountSize = values.quick ? LARGE_ACCOUNT_QUICK : values.full ? LARGE_ACCOUNT_FULL : LARGE_ACCOUNT

await withCluster(values.quick ? ACCOUNTS_QUICK : ACCOUNTS, report, async (cluster) => {
  const scenarios: Record<string, () => Promise<Finding[]>> = {
    'better-auth': async () => await againstBetterAuth(cluster, effort),
    spread: async () => [await hotAgainstSpread(cluster, effort)],
    pgbench: async () => [await againstPgbench(cluster, effort)],
    edits: async () => [await besideEdits(cluster, effort)],
    processes: async () => [await twoProcesses(cluster, effort)],
    single: async () => [await singleCaller(cluster, effort)],
    'large tables': async () => await largeTables(cluster, sizes, effort, report),
    'large account': async () => await largeAccount(cluster, largeAccountSize, effort, report),
    'roll-ups': async () => [await costOfRollUps(cluster, effort)],
    neighbours: async () => await neighbours(cluster, effort),
  }
  const findings: Finding[] = []
  for (const [name, run] of Object.entries(scenarios)) {
    if (values.only !== undefined && !name.includes(values.only)) continue
    report(`\n${name} (load average ${loadAverage().toFixed(1)})`)
    for (const finding of await run()) {
      findings.push(finding)
      report(describeFinding(finding))
    }
  }
  const pgbench = findPgbench()
  const found: Report = {
    at: new Date().toISOString(),
    command: ['pnpm bench', ...process.argv.slice(2)].join(' '),
    machine,
    load: { before: loadBefore, after: loadAverage() },
    settings: cluster.settings,
    pgbench: pgbench === null ? null : await pgbenchVersion(pgbench),
    effort,
    findings,
  }
  if (values.json) console.log(JSON.stringify(found, null, 2))
  if (!values.quick && values.only === undefined) {
    writeFileSync(DOCUMENT, writeReport(found))
    report('Wrote docs/performance.md. Run `pnpm fix` to format it.')
  }
})
