import { execFile } from 'node:child_process'
import { existsSync, globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import type { Key } from './accounts.ts'
import { hashKey } from './batch-loop.ts'

/** Returns the path of pgbench, or null if it is not installed. Debian installs pgbench in a folder that is not on the PATH. */
export function findPgbench(): string | null {
  const onPath = (process.env['PATH'] ?? '').split(delimiter).map((dir) => join(dir, 'pgbench'))
  return (
    [...onPath, ...globSync('/usr/lib/postgresql/*/bin/pgbench').toSorted().toReversed()].find((file) => existsSync(file)) ??
    null
  )
}

export async function pgbenchVersion(pgbench: string): Promise<string> {
  return (await promisify(execFile)(pgbench, ['--version'])).stdout.trim()
}

/** docs/performance.md contains these arguments, so a reader can repeat the measurement. */
export const PGBENCH_ARGS = ['--no-vacuum', '--protocol=prepared', '--client=1']

/**
 * Runs one pgbench client that charges `key` in batches of `size` charges. It sends the same statement as the charge engine.
 */
export async function runPgbench(
  pgbench: string,
  url: string,
  size: number,
  seconds: number,
  { userId, secret }: Key,
): Promise<{ perSecond: number; charges: number }> {
  const dir = mkdtempSync(join(tmpdir(), 'keymeter-pgbench-'))
  const script = join(dir, 'charge.sql')
  const all = (value: string) => `array_fill(${value}, array[${size}])`
  writeFileSync(
    script,
    `select * from keymeter.meter_batch('${userId}'::uuid, ${all("'charge'::text")}, ${all(`'${userId}'::uuid`)}, ${all(`'\\x${hashKey(secret).toString('hex')}'::bytea`)}, ${all('null::bigint')}, ${all('1::bigint')}, array(select gen_random_uuid()::text from generate_series(1, ${size})), ${all("'default'::text")}, ${all('null::int')});\n`,
  )
  const { hostname, port, username, password, pathname } = new URL(url)
  try {
    const { stdout } = await promisify(execFile)(
      pgbench,
      [
        ...PGBENCH_ARGS,
        `--time=${Math.max(1, Math.round(seconds))}`,
        `--file=${script}`,
        `--host=${hostname}`,
        `--port=${port}`,
        `--username=${username}`,
        pathname.slice(1),
      ],
      { env: { ...process.env, PGPASSWORD: decodeURIComponent(password) } },
    )
    const figure = (pattern: RegExp) => Number(pattern.exec(stdout)?.[1] ?? Number.NaN)
    return {
      perSecond: figure(/tps = ([\d.]+)/) * size,
      charges: figure(/transactions actually processed: (\d+)/) * size,
    }
  } finally {
    rmSync(dir, { recursive: true })
  }
}
