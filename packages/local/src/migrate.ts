import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { packageDir } from './package-dir.ts'

export const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url))

/** The Supabase CLI, to be run by Node. */
export const SUPABASE_CLI = `${packageDir('supabase')}/dist/supabase.js`

/** Applies what is missing of `supabase/migrations`, as the owner of the database, by the Supabase CLI. */
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
