import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'

const REPOSITORY = join(import.meta.dirname, '../../..')

/**
 * Returns the value of a setting, e.g. MIGRATION_DATABASE_URL: from the environment, or else from the first file that contains the
 * variable. Null means that none of them contains it, or that it is empty in this file. So a person who has not filled in `.env`
 * yet does not work on the database of `pnpm dev` without noticing.
 *
 * @param files are `.env` and the settings of the embedded stack by default. A missing file is skipped.
 */
export function readSetting(name: string, env: NodeJS.ProcessEnv, files = defaultFiles(env)): string | null {
  const inEnvironment = env[name]
  if (inEnvironment) return inEnvironment
  for (const file of files) {
    const value = existsSync(file) ? parseEnv(readFileSync(file, 'utf8'))[name] : undefined
    if (value !== undefined) return value || null
  }
  return null
}

function defaultFiles(env: NodeJS.ProcessEnv): string[] {
  return [join(REPOSITORY, '.env'), join(env['KEYMETER_LOCAL_DIR'] || join(REPOSITORY, '.local'), 'env')]
}
