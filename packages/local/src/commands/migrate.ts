/**
 * `pnpm migrate` applies the pending migrations to the database at MIGRATION_DATABASE_URL. It runs the Supabase CLI, which
 * prints the database and asks for confirmation. Flags go to the CLI: `pnpm migrate --yes`, `pnpm migrate --dry-run`.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { REPOSITORY, SUPABASE_CLI } from '../migrate.ts'

if (existsSync(join(REPOSITORY, '.env'))) process.loadEnvFile(join(REPOSITORY, '.env'))
const url = process.env['MIGRATION_DATABASE_URL']
if (!url) {
  console.error('MIGRATION_DATABASE_URL is not set. Set it to the URL of the owner of the database (see .env.example).')
  process.exit(1)
}
const args = [SUPABASE_CLI, 'migration', 'up', '--remote', url, '--workdir', REPOSITORY, ...process.argv.slice(2)]
process.exit(spawnSync(process.execPath, args, { stdio: 'inherit' }).status ?? 1)
