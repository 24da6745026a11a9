import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { packageDir } from './package-dir.ts'

export const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url))

/** The path of the Supabase CLI, a script that Node runs. */
export const SUPABASE_CLI = `${packageDir('supabase')}/dist/supabase.js`

/**
 * Applies the pending migrations of `supabase/migrations` with the Supabase CLI. `ownerUrl` must name the owner of the
 * database.
 */
export async function migrate(ownerUrl: string): Promise<void> {
  const args = [SUPABASE_CLI, 'migration', 'up', '--remote', ownerUrl, '--workdir', REPOSITORY, '--yes']
  try {
    await promisify(execFile)(process.execPath, args, {
      env: { ...process.env, DO_NOT_TRACK: '1', SUPABASE_TELEMETRY_DISABLED: '1' },
    })
  } catch (error) {
    const output =
      error instanceof Error && 'stderr' in error ? String(error.stderr).replaceAll(ownerUrl, '<url>') : String(error)
    throw new Error(`The migrations failed:\n${output}`)
  }
}
