import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { REPOSITORY, SUPABASE_CLI } from './migrate.ts'
import { testDatabase } from './testing/index.ts'

const database = testDatabase()

interface Lint {
  name: string
  level: 'INFO' | 'WARN' | 'ERROR'
  detail: string
}

/** Runs Supabase's database linter, which a Supabase project runs in its dashboard. */
async function lint(): Promise<Lint[]> {
  const args = [SUPABASE_CLI, 'db', 'advisors', '--remote', database.urls.owner, '--level', 'info', '--workdir', REPOSITORY]
  const { stdout } = await promisify(execFile)(process.execPath, [...args, '--output-format', 'json'], {
    env: { ...process.env, DO_NOT_TRACK: '1', SUPABASE_TELEMETRY_DISABLED: '1', PGSSLMODE: 'disable' },
    maxBuffer: 64 * 1024 * 1024,
  })
  return (JSON.parse(stdout) as { results: Lint[] }).results
}
const serious = (lints: Lint[]) =>
  lints.filter(({ level }) => level !== 'INFO').map(({ level, detail }) => `${level} ${detail}`)

describe('Supabase’s database linter', () => {
  it('finds no error and no warning in the migrated database', async () => {
    const lints = await lint()
    expect(serious(lints)).toEqual([])
    // The linter has run: it always reports the partitions, which have row level security and no policies.
    expect(lints.map(({ name }) => name)).toContain('rls_enabled_no_policy')
  })

  it('finds an error and a warning that a test plants', async () => {
    await database.owner.query(
      "create table public.open (id int primary key); create function keymeter.mutable() returns int language sql as 'select 1'",
    )
    expect(serious(await lint())).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^ERROR .*`public\.open`.*RLS/),
        'WARN Function `keymeter.mutable` has a role mutable search_path',
      ]),
    )
  })
})
