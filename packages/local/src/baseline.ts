import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { withClient } from './database.ts'
import { REPOSITORY } from './migrate.ts'
import { BASELINE_VERSION, readBaseline } from './schemas.ts'

/**
 * Returns true if the baseline migration has changed since the database was migrated. Until 1.0, each change of the schema
 * changes the baseline. A database with another baseline cannot be migrated, so it must be deleted and created again.
 */
export async function hasOtherBaseline(ownerUrl: string): Promise<boolean> {
  const applied = await appliedMigrations(ownerUrl)
  const known = new Set(readdirSync(join(REPOSITORY, 'supabase/migrations')).map((file) => file.split('_')[0]))
  if (applied.some(({ version }) => !known.has(version))) return true
  const baseline = applied.find(({ version }) => version === BASELINE_VERSION)
  return baseline !== undefined && withoutSeparators(baseline.statements.join('')) !== withoutSeparators(readBaseline())
}

async function appliedMigrations(ownerUrl: string): Promise<{ version: string; statements: string[] }[]> {
  return await withClient(ownerUrl, async (client) => {
    const { rows } = await client.query<{ exists: boolean }>(
      "select to_regclass('supabase_migrations.schema_migrations') is not null as exists",
    )
    if (rows[0]?.exists !== true) return []
    return (await client.query('select version, statements from supabase_migrations.schema_migrations')).rows
  })
}

/**
 * Removes semicolons and whitespace, because the Supabase CLI stores the statements of a migration without their separators.
 */
function withoutSeparators(sql: string): string {
  return sql.replaceAll(/[\s;]/g, '')
}
