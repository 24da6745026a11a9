/**
 * `pnpm generate`: derives packages/db/src/schema.gen.ts from a migrated database, an embedded one of its own.
 * With --check it writes nothing, and fails when the committed file is not what the migrations make.
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { REPOSITORY } from '../migrate.ts'
import { freePort } from '../ports.ts'
import { type Stack, startStack } from '../stack.ts'

const isCheck = process.argv.includes('--check')
const dir = mkdtempSync(join(tmpdir(), 'keymeter-generate-'))
// A root shell's Postgres runs as another user, who must be able to pass.
chmodSync(dir, 0o711)
let stack: Stack | null = null
try {
  stack = await startStack({
    dir,
    postgresPort: await freePort(),
    supabasePort: await freePort(),
    siteUrl: 'http://127.0.0.1:3000',
    google: null,
    report: () => {},
  })
  const db = join(REPOSITORY, 'packages/db')
  const options = ['--dialect=postgres', '--include-pattern=public.*', '--default-schema=public', '--log-level=error']
  // As packages/db/src/client.ts parses them: credits are numbers that JSON carries exactly.
  const types = ['--numeric-parser=number', '--type-mapping={"int8":"number"}']
  const target = [`--out-file=${join(db, 'src/schema.gen.ts')}`, `--url=${stack.urls.owner}`, ...(isCheck ? ['--verify'] : [])]
  execFileSync(process.execPath, [join(db, 'node_modules/kysely-codegen/dist/cli/bin.js'), ...options, ...types, ...target], {
    stdio: 'inherit',
  })
} catch (error) {
  if (stack === null) console.error(error)
  else if (isCheck)
    console.error('packages/db/src/schema.gen.ts is not what the migrations make. Run `pnpm generate` and commit it.')
  process.exitCode = 1
} finally {
  await stack?.stop()
  rmSync(dir, { recursive: true, force: true })
}
