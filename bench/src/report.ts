import { readFileSync } from 'node:fs'
import type { Machine } from './machine.ts'
import { type Effort, type Finding, isMet, median, type Ratio, type Series } from './measure.ts'

/** All results of one run of the benchmark. */
export interface Report {
  at: string
  command: string
  machine: Machine
  /** The one-minute load averages at the start and at the end of the run. */
  load: { before: number; after: number }
  settings: Record<string, string>
  /** The version of pgbench. Null means that it is not installed. */
  pgbench: string | null
  effort: Effort
  findings: Finding[]
}

/** Returns the text of docs/performance.md. */
export function writeReport(report: Report): string {
  const { machine, settings, effort, load, findings } = report
  const ratios = findings.flatMap((finding) => finding.ratios.map((ratio) => ({ finding, ratio })))
  return `# Performance

| in short | median |
| --- | --- |
${findings.flatMap(({ headlines = [] }) => headlines.map(({ what, of }) => `| ${what} | ${middle(of)} |`)).join('\n')}

[Where this is worse](#where-this-is-worse) lists the missed targets and what was not measured.

\`${report.command}\` wrote this page on ${report.at.slice(0, 10)}. The figures are from one machine, which also did other work. Compare
figures only within one table, and measure on your own machine before you rely on a number.

## The machine

| | |
| --- | --- |
| processor | ${machine.cpu}, ${machine.cores} cores, shared by Postgres, the engine and its callers |
| memory | ${machine.memoryGiB} GiB |
| system | ${machine.system} |
| storage | ${machine.fdatasyncsPerSecond.toLocaleString('en')} writes of 8 kB per second by one process, each followed by \`fdatasync\` |
| load average | ${load.before.toFixed(1)} before the run, ${load.after.toFixed(1)} at its end |
| Postgres | ${Object.entries(settings)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')} |
| Node | ${process.version} |
| pgbench | ${report.pgbench ?? 'not found'} |
| packages | ${Object.entries(versions())
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')} |

## How it is measured

\`\`\`
pnpm bench charge            # writes this page
pnpm bench charge --full     # the same, and also an account with 10,000,000 events in a table of 15,000,000 events
pnpm bench charge --quick    # checks that every scenario works; writes nothing
\`\`\`

better-auth is a library for sign-in with a plugin for API keys. Its \`verifyApiKey\` also counts down the remaining uses of a
key.

The benchmark starts an embedded Postgres in the temporary folder. It is as durable as Postgres is by default (\`fsync\` and
\`synchronous_commit\` are on); only \`max_wal_size\` is raised. Each scenario gets new databases, and a checkpoint runs before
each measurement. The compared variants take turns: ${effort.rounds} rounds of ${effort.seconds} s each, and every round begins with a different variant. A
ratio divides two figures of the same round. The tables show the median, the smallest and the largest figure of the rounds.

After each scenario, the run checks that every charge that was answered is in the database exactly once, and that
\`reconcile\`, the operator's own check, finds no difference between the events and the totals. If not, the run fails.

## Results

| what | ratio or time | min … max | target | result |
| --- | --- | --- | --- | --- |
${ratios.map(({ finding, ratio }) => `| ${finding.title}: ${ratio.name} | ${amount(median(ratio.values), ratio)} | ${amount(Math.min(...ratio.values), ratio)} … ${amount(Math.max(...ratio.values), ratio)} | ${targetText(ratio)} | ${verdict(ratio)} |`).join('\n')}

${findings.map(section).join('\n')}
## Where this is worse

${worse(ratios).join('\n')}
`
}

/** Returns the text of a finding for the terminal. */
export function describeFinding({ title, series, ratios }: Finding): string {
  const lines = series.map((one) => `  ${one.name}: ${one.values.map((value) => figure(value, one.unit)).join(' / ')}`)
  const compared = ratios.map((one) => `  ${one.name}: ${amount(median(one.values), one)} ${targetText(one)} ${verdict(one)}`)
  return [title, ...lines, ...compared].join('\n')
}

function section({ title, what, series, notes }: Finding): string {
  return `### ${title}

${what}

| | median | min … max |
| --- | --- | --- |
${series.map((one) => row(one)).join('\n')}
${notes.map((note) => `\n${note}\n`).join('')}`
}

function row({ name, unit, values }: Series): string {
  return `| ${name} | ${figure(median(values), unit)} | ${figure(Math.min(...values), unit)} … ${figure(Math.max(...values), unit)} |`
}

/** Returns a list of the missed targets, and of disadvantages that the figures do not show. */
function worse(ratios: { finding: Finding; ratio: Ratio }[]): string[] {
  const missed = ratios.filter(({ ratio }) => isMet(ratio) === false)
  return [
    ...missed.map(
      ({ finding, ratio }) =>
        `- **Missed**: ${finding.title}, ${ratio.name}: ${amount(median(ratio.values), ratio)}. The target is ${targetText(ratio)}.`,
    ),
    '- A single caller waits for a function that is made for batches. Most of the time of this function does not depend on the number of charges.',
    '- A charge writes an event with two index entries, two roll-ups and a balance. If a batch contains many accounts, these are different rows on different pages. "The cost of the roll-ups" shows how much time this takes.',
    '- better-auth does less in a call: it takes one credit from one key, and it has no events, no balance of an account and no safe retry. It sends four statements for a call. It also works with other databases than Postgres; Keymeter does not.',
    '- Two processes were measured inside one Node process, on one Postgres.',
    '- Postgres is on the same machine, without a network or a pooler in between. The callers run in the process of the engine, without HTTP. Over HTTP, a call costs more than its charge.',
    '- Tables that do not fit into memory were not measured.',
  ]
}

function verdict(ratio: Ratio): string {
  const met = isMet(ratio)
  return met === null ? '' : met ? 'met' : '**missed**'
}

function targetText({ target }: Ratio): string {
  if (target === null) return 'none'
  return `${target.at === 'least' ? '≥' : '≤'} ${target.value}${target.unit === undefined ? '×' : ` ${target.unit}`}`
}

function middle(of: Series | Ratio | undefined): string {
  if (of === undefined) return 'not measured'
  return 'unit' in of ? figure(median(of.values), of.unit) : amount(median(of.values), of)
}

function amount(value: number, { target }: Ratio): string {
  if (target?.unit !== undefined) return figure(value, target.unit)
  // If the rounded value equals the target, show a third digit. It shows whether the value is above or below the target.
  return `${value.toFixed(Number(value.toFixed(2)) === target?.value ? 3 : 2)}×`
}

function figure(value: number, unit: Series['unit']): string {
  return unit === 'ms' ? `${value.toFixed(value < 1 ? 3 : 2)} ms` : `${Math.round(value).toLocaleString('en')} /s`
}

function versions(): Record<string, string> {
  return Object.fromEntries(
    ['better-auth', '@better-auth/api-key', 'pg', 'kysely'].map((name) => {
      const file = new URL(`../node_modules/${name}/package.json`, import.meta.url)
      const { version }: { version: string } = JSON.parse(readFileSync(file, 'utf8'))
      return [name, version]
    }),
  )
}
