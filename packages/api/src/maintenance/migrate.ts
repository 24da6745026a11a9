import type { Db } from '@keymeter/db'
import { sql } from 'kysely'

/** One file of supabase/migrations. */
export interface Migration {
  /** The number at the beginning of the file name, e.g. `20260501000001`. */
  version: string
  /** The rest of the file name, e.g. `baseline`. */
  name: string
  sql: string
}

/** If a lock takes longer than this, the migration fails, and nothing of it is applied. Charges wait behind the migration. */
const LOCK_TIMEOUT_MS = 10_000
/** Two processes that migrate the same database at the same time wait for each other with this lock. */
const ADVISORY_LOCK = 4_202_605_010

/**
 * Applies the migrations that the database lacks, each in a transaction of its own. Records them in the table of the Supabase CLI,
 * so that the CLI and Supabase's pages show them, and either of both can continue. `db` must be the handle of the database's owner.
 *
 * @param onApplied is called after the commit of each migration.
 * @throws Error if the database contains migrations that are not in `migrations`.
 */
export async function migrate(
  db: Db,
  migrations: readonly Migration[],
  onApplied: (migration: Migration) => void,
): Promise<void> {
  for (const migration of await pendingMigrations(db, migrations)) {
    const isApplied = await db.transaction().execute(async (transaction) => {
      await sql`select pg_advisory_xact_lock(${sql.lit(ADVISORY_LOCK)})`.execute(transaction)
      await createHistory(transaction)
      if ((await appliedVersions(transaction)).includes(migration.version)) return false
      await sql`set local lock_timeout = ${sql.lit(LOCK_TIMEOUT_MS)}`.execute(transaction)
      await sql`set local statement_timeout = 0`.execute(transaction)
      // The files contain many statements. Postgres accepts this because the text is sent without parameters.
      await sql.raw(migration.sql).execute(transaction)
      await sql`
        insert into supabase_migrations.schema_migrations (version, name, statements)
        values (${migration.version}, ${migration.name}, array[${migration.sql}])`.execute(transaction)
      return true
    })
    if (isApplied) onApplied(migration)
  }
}

/**
 * Returns the migrations that are not applied, in their order.
 *
 * @throws Error if the database contains migrations that are not in `migrations`.
 */
export async function pendingMigrations(db: Db, migrations: readonly Migration[]): Promise<Migration[]> {
  const applied = await appliedVersions(db)
  const unknown = applied.filter((applied) => !migrations.some(({ version }) => version === applied))
  if (unknown.length > 0)
    throw new Error(
      `The database contains ${unknown.length} migrations that this release does not contain. Use the release that migrated the database.`,
    )
  return migrations.filter(({ version }) => !applied.includes(version)).toSorted((a, b) => (a.version < b.version ? -1 : 1))
}

/** Returns the versions of the migrations in the database, in their order. */
export async function appliedVersions(db: Db): Promise<string[]> {
  const { rows: tables } = await sql<{ exists: boolean }>`
    select to_regclass('supabase_migrations.schema_migrations') is not null as exists`.execute(db)
  if (tables[0]?.exists !== true) return []
  const { rows } = await sql<{ version: string }>`
    select version from supabase_migrations.schema_migrations order by version`.execute(db)
  return rows.map(({ version }) => version)
}

/** Creates the table as the Supabase CLI does. The CLI itself adds the columns that it needs for other purposes. */
async function createHistory(db: Db): Promise<void> {
  await sql`create schema if not exists supabase_migrations`.execute(db)
  await sql`
    create table if not exists supabase_migrations.schema_migrations (version text not null primary key, statements text[], name text)
  `.execute(db)
}
