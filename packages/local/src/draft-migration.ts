import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { compareSchemas } from './catalog.ts'
import { REPOSITORY, SUPABASE_CLI } from './migrate.ts'
import { withBothSchemas } from './scratch.ts'

/** The SQL that turns the database of the migrations into that of the schema files, as the Supabase CLI drafts it. */
export async function draftMigration(): Promise<string> {
  return await withBothSchemas(async ({ migrated, written }) => await draft(migrated, written))
}

/**
 * The difference between two databases as SQL. Differences that the CLI does not see (comments, storage and statistics of
 * columns) are appended as comments, for a person to write.
 */
export async function draft(migrated: string, written: string): Promise<string> {
  const args = [SUPABASE_CLI, 'db', 'diff', '--from', migrated, '--to', written, '--use-pg-delta', '--workdir', REPOSITORY]
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    // Without PGSSLMODE, the CLI prints a warning about TLS among the statements.
    env: { ...process.env, DO_NOT_TRACK: '1', SUPABASE_TELEMETRY_DISABLED: '1', PGSSLMODE: 'disable' },
    maxBuffer: 64 * 1024 * 1024,
  })
  const differences = await compareSchemas({ name: 'migrations', url: migrated }, { name: 'schemas', url: written })
  const notes = differences.map((line) => line.replaceAll(/^/gm, '-- ')).join('\n')
  return `${stdout.trim()}\n\n-- The differences that this migration must remove:\n${notes}\n`
}
