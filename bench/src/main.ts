/**
 * `pnpm bench charge`: measures the charge engine against its rivals on a Postgres of its own, and writes
 * docs/performance.md. `--rounds 3 --seconds 3` say how much, `--full` adds the largest table, `--only <text>` keeps the
 * scenarios whose name holds it, `--json` prints what was found; `--quick` and `--only` write no document.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { startCluster } from './cluster.ts'
import { loadAverage, readMachine } from './machine.ts'
import type { Effort, Finding } from './measure.ts'
import { findPgbench, pgbenchVersion } from './pgbench.ts'
import { describeFinding, type Report, writeReport } from './report.ts'
import { againstBetterAuth } from './scenarios/against-better-auth.ts'
import { againstPgbench, hotAgainstSpread, loneCaller } from './scenarios/engine.ts'
import { largeTables } from './scenarios/large-tables.ts'
import { costOfRollUps, waysOfIdempotency } from './scenarios/variants.ts'

const DOCUMENT = new URL('../../docs/performance.md', import.meta.url)
const USAGE = 'pnpm bench charge [--rounds 3] [--seconds 3] [--full] [--quick] [--only <scenario>] [--json]'

const SIZES = [10_000, 100_000, 1_000_000]
const SIZES_FULL = [...SIZES, 10_000_000]
const SIZES_QUICK = [1_000, 10_000]
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
const cluster = await startCluster(values.quick ? ACCOUNTS_QUICK : ACCOUNTS, report)
const scenarios: Record<string, () => Promise<Finding[]>> = {
  'better-auth': async () => await againstBetterAuth(cluster, effort),
  spread: async () => [await hotAgainstSpread(cluster, effort)],
  pgbench: async () => [await againstPgbench(cluster, effort)],
  lone: async () => [await loneCaller(cluster, effort)],
  large: async () => await largeTables(cluster, sizes, effort, report),
  'roll-ups': async () => [await costOfRollUps(cluster, effort)],
  idempotency: async () => [await waysOfIdempotency(cluster, (values.quick ? SIZES_QUICK : SIZES).at(-1) ?? 0, effort)],
}
try {
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
    report('Wrote docs/performance.md. Format it: pnpm fix.')
  }
} finally {
  await cluster.stop()
}
