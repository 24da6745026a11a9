import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { build } from 'vite'
import { describe, expect, it } from 'vitest'

const DASHBOARD = fileURLToPath(new URL('..', import.meta.url))
const TSC = fileURLToPath(new URL('../../../node_modules/typescript/bin/tsc', import.meta.url))
const INITIAL_SCRIPT_KIB_MAX = 250

/**
 * Runs `work` with a folder that contains `text` as a source file, and the compiler settings of the dashboard. Git and Vite
 * ignore the folder.
 */
async function withSource<T>(text: string, work: (dir: string) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(DASHBOARD, 'node_modules', '.probe-'))
  writeFileSync(join(dir, 'probe.ts'), text)
  writeFileSync(
    join(dir, 'tsconfig.json'),
    JSON.stringify({ extends: '../../tsconfig.json', include: [], files: ['probe.ts'] }),
  )
  try {
    return await work(dir)
  } finally {
    rmSync(dir, { recursive: true })
  }
}

describe('built dashboard', () => {
  const assets = join(DASHBOARD, 'dist', 'assets')
  const scripts = readdirSync(assets).filter((name) => name.endsWith('.js'))
  const code = scripts.map((name) => readFileSync(join(assets, name), 'utf8')).join('\n')

  it('the built dashboard contains no server code', () => {
    for (const trace of [
      'kysely',
      'node-postgres',
      'pg-protocol',
      'PostgresDialect',
      'initTRPC',
      'set_config',
      'key_hash',
      'billing_accounts',
      'createHash',
      'node:crypto',
      // The parts of supabase-js that the dashboard does not use.
      'RealtimeClient',
      'StorageClient',
      'PostgrestClient',
    ]) {
      expect(code).not.toContain(trace)
    }
    expect(code).toContain('keys')
  })

  it(`the built dashboard loads less than ${INITIAL_SCRIPT_KIB_MAX} KiB of compressed script before it starts`, () => {
    const html = readFileSync(join(DASHBOARD, 'dist', 'index.html'), 'utf8')
    const index = scripts.filter((name) => html.includes(name))
    // The first script imports the script `start-…` dynamically, so the HTML does not contain its name.
    const start = scripts.filter((name) => name.startsWith('start-'))
    expect(start).toHaveLength(1)
    const initial = new Set([...index, ...start])
    for (const name of initial) {
      const text = readFileSync(join(assets, name), 'utf8')
      for (const [, imported = ''] of text.matchAll(/(?:from|import)\s*["']\.\/([^"']+\.js)["']/g)) initial.add(imported)
    }
    const bytes = [...initial].reduce((sum, name) => sum + gzipSync(readFileSync(join(assets, name))).length, 0)
    expect(index).not.toEqual([])
    expect(bytes / 1024).toBeLessThan(INITIAL_SCRIPT_KIB_MAX)
  })
})

describe('source code of the dashboard', () => {
  it('the build of the dashboard fails if its code imports a value from the API', async () => {
    await withSource("import { appRouter } from '@keymeter/api'\nconsole.log(appRouter)\n", async (dir) => {
      const building = build({
        root: DASHBOARD,
        logLevel: 'silent',
        build: { write: false, rolldownOptions: { input: join(dir, 'probe.ts') } },
      })
      await expect(building).rejects.toThrow(/@keymeter\/api/)
    })
  })

  it('the dashboard does not compile if its code reads a field that the API does not return', async () => {
    const source = `import type { RouterOutputs } from '@keymeter/api'
type Key = RouterOutputs['keys']['usage']['data'][number]
export const known = (key: Key) => key.creditsUsed
export const unknown = (key: Key) => key.keyHash
`
    const errors = await withSource(
      source,
      async (dir) =>
        await promisify(execFile)(process.execPath, [TSC, '-p', dir]).then(
          () => '',
          (error) => String(error.stdout),
        ),
    )
    expect(errors.match(/error TS.*/g)).toEqual([expect.stringContaining("Property 'keyHash' does not exist")])
  })
})
