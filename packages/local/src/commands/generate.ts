/**
 * `pnpm generate`: derives packages/db/src/schema.gen.ts from the migrated database. With --check it writes nothing. It fails
 * when that file is stale, or when the migrations and supabase/schemas disagree.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { compareSchemas } from '../catalog.ts'
import { REPOSITORY } from '../migrate.ts'
import { generatedMigrations } from '../schemas.ts'
import { withBothSchemas } from '../scratch.ts'

const isCheck = process.argv.includes('--check')
const faults: string[] = []

if (isCheck) {
  for (const [file, text] of generatedMigrations()) {
    if (readFileSync(file, 'utf8') !== text)
      faults.push(`${relative(REPOSITORY, file)} is not what supabase/schemas makes. Run \`pnpm migration\` and commit it.`)
  }
}
await withBothSchemas(async ({ migrated, written }) => {
  const differences = await compareSchemas({ name: 'migrations', url: migrated }, { name: 'schemas', url: written })
  if (differences.length > 0)
    faults.push(`The migrations and supabase/schemas make different databases:\n${differences.join('\n')}`)
  if (!generateTypes(migrated))
    faults.push('packages/db/src/schema.gen.ts is not what the migrations make. Run `pnpm generate` and commit it.')
})
for (const fault of faults) console.error(fault)
process.exit(faults.length === 0 ? 0 : 1)

/** Returns false when the committed file is stale; then, without --check, it is written. */
function generateTypes(url: string): boolean {
  const db = join(REPOSITORY, 'packages/db')
  const options = ['--dialect=postgres', '--include-pattern=public.*', '--default-schema=public', '--log-level=error']
  // packages/db/src/client.ts parses credits as numbers: JSON carries them exactly.
  const types = ['--numeric-parser=number', '--type-mapping={"int8":"number","credits":"number","credit_change":"number"}']
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
