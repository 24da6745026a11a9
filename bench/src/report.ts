import { readFileSync } from 'node:fs'
import type { Machine } from './machine.ts'
import { type Effort, type Finding, isMet, median, type Ratio, type Series } from './measure.ts'

/** All that a run found out, and where. */
export interface Report {
  at: string
  command: string
  machine: Machine
  /** Of the last minute, ahead of the run and after it. */
  load: { before: number; after: number }
  settings: Record<string, string>
  pgbench: string | null
  effort: Effort
  findings: Finding[]
}

/** The document. */
export function writeReport(report: Report): string {
  const { machine, settings, effort, load, findings } = report
  const ratios = findings.flatMap((finding) => finding.ratios.map((ratio) => ({ finding, ratio })))
  return `# Performance

Written by \`${report.command}\` on ${report.at.slice(0, 10)}. These are figures of one machine, which had other work to do: compare
what stands in one row of one table, and run it yourself before you rely on a number.

## The machine

| | |
| --- | --- |
| processor | ${machine.cpu}, ${machine.cores} cores: Postgres, the engine and its callers share them |
| memory | ${machine.memoryGiB} GiB |
| system | ${machine.system} |
| storage | ${machine.fdatasyncsPerSecond.toLocaleString('en')} writes of 8 kB a second, each forced to it with \`fdatasync\`, by one process |
| load average | ${load.before.toFixed(1)} ahead of the run, ${load.after.toFixed(1)} at its end |
| Postgres | ${Object.entries(settings)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')} |
| Node | ${process.version} |
| pgbench | ${report.pgbench ?? 'not found: skipped'} |
| packages | ${Object.entries(versions())
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')} |

## How it is measured

\`\`\`
pnpm bench charge            # what stands here
pnpm bench charge --full     # with a table of 10,000,000 events too
pnpm bench charge --quick    # does it still run: writes nothing
\`\`\`

An embedded Postgres of its own in the temporary folder, durable as Postgres comes (\`fsync\` and \`synchronous_commit\` on);
only \`max_wal_size\` is raised. Each scenario has fresh databases, and a checkpoint ahead of each measurement. Rivals take
turns: ${effort.rounds} rounds, ${effort.seconds} s each, and every round begins with another one. A ratio is made of two figures of one
round. What is shown is the median of the rounds, with the smallest and the largest.

After each scenario the run looks whether all that was answered is in the database once, and whether the balance, the
roll-ups and the events agree (\`packages/local/src/testing/totals.ts\`), and ends with an error when they do not.

## Results

| what | ratio | min … max | target | |
| --- | --- | --- | --- | --- |
${ratios.map(({ finding, ratio }) => `| ${finding.title}: ${ratio.name} | ${amount(median(ratio.values), ratio)} | ${amount(Math.min(...ratio.values), ratio)} … ${amount(Math.max(...ratio.values), ratio)} | ${targetText(ratio)} | ${verdict(ratio)} |`).join('\n')}

${findings.map(section).join('\n')}
## Where this is worse

${worse(ratios).join('\n')}
`
}

/** For the terminal. */
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

/** What was missed, and what no figure here can show. */
function worse(ratios: { finding: Finding; ratio: Ratio }[]): string[] {
  const missed = ratios.filter(({ ratio }) => isMet(ratio) === false)
  return [
    ...missed.map(
      ({ finding, ratio }) =>
        `- **Missed**: ${finding.title}, ${ratio.name}: ${amount(median(ratio.values), ratio)}, and the target is ${targetText(ratio)}.`,
    ),
    '- A lone caller waits for a function that is made for batches: most of its time is fixed, whether it decides one charge or 64.',
    '- A charge writes an event, two roll-ups and an index for retries. Spread over many accounts they are different rows and pages, which costs what the table of roll-ups says.',
    '- better-auth does less in a call (one credit, one key, no event, no balance of an account, no safe retry) and sends four statements for it. It also works where there is no Postgres; this does not.',
    '- One process and one batch at a time. Several servers on one Postgres wait for each other at a hot account, and were not measured.',
    '- Postgres is on the same machine, without a network or a pooler in between; the callers are in the process of the engine, without HTTP. Over HTTP each call costs more than its charge.',
    '- Tables that do not fit into memory were not measured.',
  ]
}

function verdict(ratio: Ratio): string {
  const met = isMet(ratio)
  return met === null ? 'stated' : met ? 'met' : '**missed**'
}

function targetText({ target }: Ratio): string {
  if (target === null) return 'none'
  return `${target.at === 'least' ? '≥' : '≤'} ${target.value}${target.unit === undefined ? '×' : ` ${target.unit}`}`
}

function amount(value: number, { target }: Ratio): string {
  if (target?.unit !== undefined) return figure(value, target.unit)
  // Two digits would hide on which side of the target it is.
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
