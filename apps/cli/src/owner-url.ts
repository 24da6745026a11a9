import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'

const REPOSITORY = join(import.meta.dirname, '../../..')

/**
 * Returns MIGRATION_DATABASE_URL, the URL of the database's owner. If the environment contains the variable, its value is
 * returned. Otherwise the value in the first file that contains the variable is returned.
 *
 * @param files are `.env` and the settings of the embedded stack by default. A missing file is skipped.
 * @throws Error if neither the environment nor a file contains the variable.
 */
export function readOwnerUrl(env: NodeJS.ProcessEnv, files = defaultFiles(env)): string {
  for (const file of [null, ...files]) {
    const variables = file === null ? env : existsSync(file) ? parseEnv(readFileSync(file, 'utf8')) : {}
    const url = variables['MIGRATION_DATABASE_URL']
    if (url) return url
  }
  throw new Error('Set MIGRATION_DATABASE_URL to the URL of the database’s owner (see .env.example).')
}

function defaultFiles(env: NodeJS.ProcessEnv): string[] {
  return [join(REPOSITORY, '.env'), join(env['KEYMETER_LOCAL_DIR'] || join(REPOSITORY, '.local'), 'env')]
}
