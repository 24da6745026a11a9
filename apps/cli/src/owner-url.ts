import { existsSync } from 'node:fs'
import { join } from 'node:path'

const REPOSITORY = join(import.meta.dirname, '../../..')

/**
 * Reads MIGRATION_DATABASE_URL from the environment, from `.env`, or from the settings of the embedded stack, in this order.
 *
 * @throws Error when none of them has it.
 */
export function readOwnerUrl(): string {
  const localDir = process.env['KEYMETER_LOCAL_DIR'] || join(REPOSITORY, '.local')
  for (const file of [join(REPOSITORY, '.env'), join(localDir, 'env')]) {
    if (process.env['MIGRATION_DATABASE_URL']) break
    // `loadEnvFile` does not replace an empty variable.
    delete process.env['MIGRATION_DATABASE_URL']
    if (existsSync(file)) process.loadEnvFile(file)
  }
  const url = process.env['MIGRATION_DATABASE_URL']
  if (!url) throw new Error('Set MIGRATION_DATABASE_URL to the URL of the database’s owner (see .env.example).')
  return url
}
