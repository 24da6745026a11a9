import type { Db } from '@keymeter/db'
import { sql } from 'kysely'
import { type Finding, fault, listed, ok } from './finding.ts'

/** @param files The versions of the migrations of this release, e.g. `20260501000001`. */
export async function checkMigrations(db: Db, files: readonly string[]): Promise<Finding> {
  const applied = await appliedVersions(db)
  const missing = files.filter((version) => !applied.includes(version))
  const unknown = applied.filter((version) => !files.includes(version))
  if (missing.length > 0) return fault('migrations', `${missing.length} are not applied: ${listed(missing)}.`, 'pnpm migrate')
  if (unknown.length > 0)
    return fault(
      'migrations',
      `The database has migrations that this release does not contain: ${listed(unknown)}.`,
      'Use the release that migrated the database.',
    )
  return ok('migrations', `All ${files.length} are applied.`)
}

async function appliedVersions(db: Db): Promise<string[]> {
  const { rows: tables } = await sql<{ exists: boolean }>`
    select to_regclass('supabase_migrations.schema_migrations') is not null as exists`.execute(db)
  if (tables[0]?.exists !== true) return []
  const { rows } = await sql<{ version: string }>`
    select version from supabase_migrations.schema_migrations order by version`.execute(db)
  return rows.map(({ version }) => version)
}
