import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'

const REPOSITORY = join(import.meta.dirname, '../../..')

/**
 * Returns the value of a setting, e.g. MIGRATION_DATABASE_URL. If the environment contains the variable, its value is returned.
 * Otherwise the value in the first file that contains the variable is returned. Null means that none of them contains it.
 *
 * @param files are `.env` and the settings of the embedded stack by default. A missing file is skipped.
 */
export function readSetting(name: string, env: NodeJS.ProcessEnv, files = defaultFiles(env)): string | null {
  for (const file of [null, ...files]) {
    const variables = file === null ? env : existsSync(file) ? parseEnv(readFileSync(file, 'utf8')) : {}
    const value = variables[name]
    if (value) return value
  }
  return null
}

function defaultFiles(env: NodeJS.ProcessEnv): string[] {
  return [join(REPOSITORY, '.env'), join(env['KEYMETER_LOCAL_DIR'] || join(REPOSITORY, '.local'), 'env')]
}
