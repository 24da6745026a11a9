/**
 * Until 1.0, `pnpm migration` writes the baseline migration from the files in supabase/schemas. From 1.0 on, the baseline is
 * released and never changes. Then `pnpm migration <name>` drafts a new migration: the SQL that turns the database of the
 * existing migrations into the database of the schema files.
 */
import { writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { draftMigration } from '../draft-migration.ts'
import { REPOSITORY } from '../migrate.ts'
import { generatedMigrations, isBaselineReleased } from '../schemas.ts'

const USAGE = `Until 1.0: pnpm migration          writes the baseline from supabase/schemas
From 1.0:  pnpm migration <name>   drafts the next migration. Example of a name: add_key_description`

const [name, ...rest] = process.argv.slice(2)

if (rest.length > 0 || isBaselineReleased() !== (name !== undefined) || (name !== undefined && !/^[a-z0-9_]+$/.test(name))) {
  console.error(USAGE)
  process.exit(1)
}
if (name === undefined) {
  for (const [file, text] of generatedMigrations()) {
    writeFileSync(file, text)
    console.log(relative(REPOSITORY, file))
  }
} else {
  const version = new Date().toISOString().replaceAll(/\D/g, '').slice(0, 14)
  const file = join(REPOSITORY, 'supabase/migrations', `${version}_${name}.sql`)
  writeFileSync(file, await draftMigration())
  console.log(`${relative(REPOSITORY, file)}

Read the draft before you commit it:
- The draft does not change rows. Does a new column need a value in existing rows?
- Which locks does the draft take, and for how long? While a table is locked, charges wait.
- The migration must work while the previous release is still running, and on Postgres 15 (no GRANT … MAINTAIN).`)
}
