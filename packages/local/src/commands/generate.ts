/**
 * `pnpm generate` writes packages/db/src/schema.gen.ts, the types of the tables, from a migrated database. With --check, the
 * command only reads: it fails if schema.gen.ts or a generated migration is not up to date. With and without --check, it fails
 * if the migrations and supabase/schemas create different databases.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { compareSchemas } from '../catalog.ts'
import { REPOSITORY } from '../migrate.ts'
import { generatedMigrations, isBaselineReleased } from '../schemas.ts'
import { withBothSchemas } from '../scratch.ts'

const isCheck = process.argv.includes('--check')
const faults: string[] = []

if (isCheck && !isBaselineReleased()) {
  for (const [file, text] of generatedMigrations()) {
    if (readFileSync(file, 'utf8') !== text)
      faults.push(`${relative(REPOSITORY, file)} does not match supabase/schemas. Run \`pnpm migration\` and commit the file.`)
  }
}
await withBothSchemas(async ({ migrated, written }) => {
  const differences = await compareSchemas({ name: 'migrations', url: migrated }, { name: 'schemas', url: written })
  if (differences.length > 0)
    faults.push(
      `The migrations and supabase/schemas create different databases. Run \`${isBaselineReleased() ? 'pnpm migration <name>' : 'pnpm migration'}\`. The differences:\n${differences.join('\n')}`,
    )
  if (!generateTypes(migrated))
    faults.push('packages/db/src/schema.gen.ts does not match the migrations. Run `pnpm generate` and commit the file.')
})
for (const fault of faults) console.error(fault)
process.exit(faults.length === 0 ? 0 : 1)

/** Writes schema.gen.ts. With --check, only compares the file and returns false if it is not up to date. */
function generateTypes(url: string): boolean {
  const db = join(REPOSITORY, 'packages/db')
  const options = ['--dialect=postgres', '--include-pattern=public.*', '--default-schema=public', '--log-level=error']
  // The types must match packages/db/src/client.ts, which parses credits as numbers. Credits fit exactly into a JSON number.
  const types = [
    '--numeric-parser=number',
    '--type-mapping={"int8":"number","credits":"number","credit_change":"number","thresholds":"number[]"}',
  ]
  const target = [`--out-file=${join(db, 'src/schema.gen.ts')}`, `--url=${url}`, ...(isCheck ? ['--verify'] : [])]
  try {
    execFileSync(process.execPath, [join(db, 'node_modules/kysely-codegen/dist/cli/bin.js'), ...options, ...types, ...target], {
      stdio: 'inherit',
    })
    return true
  } catch {
    return false
  }
}
