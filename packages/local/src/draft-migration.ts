import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { compareSchemas } from './catalog.ts'
import { REPOSITORY, SUPABASE_CLI } from './migrate.ts'
import { withBothSchemas } from './scratch.ts'

/**
 * Returns SQL that turns a database of the migrations into a database of the schema files. The Supabase CLI drafts this SQL.
 */
export async function draftMigration(): Promise<string> {
  return await withBothSchemas(async ({ migrated, written }) => await draft(migrated, written))
}

/**
 * Returns the difference between two databases as SQL. The Supabase CLI ignores some differences, e.g. in comments and in
 * storage options of columns. So all differences are also listed at the end, as SQL comments, and a person writes the missing
 * statements.
 */
export async function draft(migrated: string, written: string): Promise<string> {
  const args = [SUPABASE_CLI, 'db', 'diff', '--from', migrated, '--to', written, '--use-pg-delta', '--workdir', REPOSITORY]
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    // Without PGSSLMODE, the CLI prints a warning about TLS between the SQL statements.
    env: { ...process.env, DO_NOT_TRACK: '1', SUPABASE_TELEMETRY_DISABLED: '1', PGSSLMODE: 'disable' },
    maxBuffer: 64 * 1024 * 1024,
  })
  const differences = await compareSchemas({ name: 'migrations', url: migrated }, { name: 'schemas', url: written })
  const notes = differences.map((line) => line.replaceAll(/^/gm, '-- ')).join('\n')
  return `${stdout.trim()}\n\n-- The differences that this migration must remove:\n${notes}\n`
}
