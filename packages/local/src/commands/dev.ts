/**
 * `pnpm dev`: everything that Keymeter needs, on this machine, until Ctrl-C. With a Supabase project in the environment
 * it starts the server alone, and leaves that project's database as it is.
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { launcherEnded } from '../launcher.ts'
import { lock } from '../lock.ts'
import { REPOSITORY } from '../migrate.ts'
import { isPortFree } from '../ports.ts'
import { type ManagedProcess, startProcess } from '../process.ts'
import { type Stack, startStack } from '../stack.ts'
import { DEMO, seed } from './seed.ts'

const HELP = `pnpm dev [--reset] [--seed]

Starts Postgres, Supabase Auth, the API and the dashboard. Ctrl-C stops them all; the data stays in .local/.

  --reset   start over: delete the data first
  --seed    add a demo account with several keys and usage over this and the last billing cycle
`

const SERVER_TIMEOUT_MS = 60_000
const POLL_TIMEOUT_MS = 2_000
const SERVER = join(REPOSITORY, 'apps/server/src')
/** What restarts the server. Not every file that it loads: pnpm touches those of node_modules for other clones too. */
const WATCHED = ['apps/server/src', 'packages/api/src', 'packages/contract/src', 'packages/db/src']
/** Where everything is kept. */
const localDir = () => process.env['KEYMETER_LOCAL_DIR'] || join(REPOSITORY, '.local')
/** With all of these set, a Supabase project is used in place of the embedded stack. */
const REMOTE_VARIABLES = ['DATABASE_URL', 'SUPABASE_URL', 'SUPABASE_PUBLISHABLE_KEY'] as const

const report = (line: string) => console.log(`  ${line}`)

async function dev(): Promise<void> {
  const { values: flags } = parseArgs({
    options: { reset: { type: 'boolean' }, seed: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
  })
  if (flags.help) return console.log(HELP)
  if (existsSync(join(REPOSITORY, '.env'))) process.loadEnvFile(join(REPOSITORY, '.env'))
  const isRemote = usesRemoteProject()
  if (isRemote && (flags.reset || flags.seed))
    throw new Error('--reset and --seed are for the embedded database: a Supabase project is left as it is.')

  mkdirSync(localDir(), { recursive: true })
  requireOwnFolder(localDir())
  lock(join(localDir(), 'dev.pid'))
  const stop = new AbortController()
  const stopped = new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve()))
  const stopBecause = (reason: string) => {
    if (!stop.signal.aborted) report(reason)
    stop.abort()
  }
  const failBecause = (reason: string) => {
    if (!stop.signal.aborted) process.exitCode = 1
    stopBecause(reason)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopBecause('Stopping …'))
  void launcherEnded().then(() => stopBecause('The command that started this was ended. Stopping …'))

  let stack: Stack | null = null
  let server: ManagedProcess | null = null
  try {
    await requireFreePort('PORT', appPort())
    stack = isRemote ? null : await startEmbedded(flags.reset === true, stop.signal)
    report('Starting the API and the dashboard …')
    server = await startServer(stack, stop.signal)
    if (stack !== null && flags.seed) await seed(appUrl(), stack.urls.owner, report)
    stop.signal.throwIfAborted()
    console.log(banner(stack, flags.seed === true))
    void server.exited.then(() => failBecause('The server ended by itself: see above. Stopping the rest …'))
    void stack?.broke.then((name) => failBecause(`${name} ended by itself: see the logs in ${localDir()}. Stopping the rest …`))
    await stopped
  } catch (error) {
    if (!stop.signal.aborted) throw error
  } finally {
    // In this order, so that nothing in flight loses what it stands on.
    await server?.stop()
    await stack?.stop()
  }
}

function requireOwnFolder(dir: string): void {
  try {
    accessSync(dir, constants.W_OK)
  } catch {
    throw new Error(
      `${dir} belongs to another user, who ran this before. Remove it as that user, or set KEYMETER_LOCAL_DIR to a folder of your own.`,
    )
  }
}

function usesRemoteProject(): boolean {
  const missing = REMOTE_VARIABLES.filter((name) => !process.env[name])
  if (missing.length > 0 && missing.length < REMOTE_VARIABLES.length) {
    throw new Error(
      `To use a Supabase project, set ${missing.join(' and ')} too; to use the embedded stack, set none of ${REMOTE_VARIABLES.join(', ')}.`,
    )
  }
  return missing.length === 0
}

async function startEmbedded(reset: boolean, signal: AbortSignal): Promise<Stack> {
  if (new Set([appPort(), supabasePort(), postgresPort()]).size < 3) {
    throw new Error('PORT, SUPABASE_PORT and POSTGRES_PORT must be three different ports.')
  }
  await requireFreePort('SUPABASE_PORT', supabasePort())
  const stack = await startStack({
    dir: localDir(),
    postgresPort: postgresPort(),
    supabasePort: supabasePort(),
    siteUrl: appUrl(),
    google: googleCredentials(),
    report,
    reset,
    signal,
  })
  writeFileSync(join(localDir(), 'env'), envFile(stack), { mode: 0o600 })
  return stack
}

async function startServer(stack: Stack | null, signal: AbortSignal): Promise<ManagedProcess> {
  const embedded = stack && {
    DATABASE_URL: stack.urls.api,
    SUPABASE_URL: stack.supabaseUrl,
    SUPABASE_PUBLISHABLE_KEY: stack.publishableKey,
    SUPABASE_JWT_SECRET: stack.jwtSecret,
    KEYMETER_SERVICE_KEY: process.env['KEYMETER_SERVICE_KEY'] || stack.serviceKey,
    // Offered only where the embedded auth server was given both.
    GOOGLE_OAUTH_CLIENT_ID: googleCredentials()?.clientId ?? '',
  }
  const env = { ...process.env, ...embedded, HOST: '127.0.0.1', PORT: String(appPort()) }
  const check = spawnSync(process.execPath, [join(SERVER, 'check-env.ts')], { env, encoding: 'utf8' })
  if (check.status !== 0) throw new Error(check.stderr.trim())
  return await startProcess({
    name: 'The server',
    command: process.execPath,
    args: [
      ...WATCHED.map((folder) => `--watch-path=${join(REPOSITORY, folder)}`),
      '--watch-preserve-output',
      join(SERVER, 'dev.ts'),
    ],
    cwd: REPOSITORY,
    env,
    isReady: async () =>
      (await fetch(`${appUrl()}/livez`, { signal: AbortSignal.timeout(POLL_TIMEOUT_MS) }).catch(() => null))?.status === 200,
    readyTimeoutMs: SERVER_TIMEOUT_MS,
    signal,
  })
}

async function requireFreePort(variable: string, number: number): Promise<void> {
  if (!(await isPortFree(number)))
    throw new Error(
      `Port ${number} is taken. Stop what listens there, or choose another: ${variable}=${number + 1000} pnpm dev`,
    )
}

function port(variable: string, otherwise: number): number {
  const value = process.env[variable] || String(otherwise)
  if (!/^[1-9]\d{0,4}$/.test(value) || Number(value) > 65_535) throw new Error(`${variable} must be a port number, 1 to 65535.`)
  return Number(value)
}
const appPort = () => port('PORT', 3000)
const supabasePort = () => port('SUPABASE_PORT', 54_321)
const postgresPort = () => port('POSTGRES_PORT', 54_322)
const appUrl = () => `http://127.0.0.1:${appPort()}`

function googleCredentials() {
  const clientId = process.env['GOOGLE_OAUTH_CLIENT_ID'] ?? ''
  const clientSecret = process.env['GOOGLE_OAUTH_CLIENT_SECRET'] ?? ''
  return [clientId, clientSecret].some((value) => value === '' || value.startsWith('your-')) ? null : { clientId, clientSecret }
}

function envFile({ urls, supabaseUrl, publishableKey, jwtSecret, serviceKey }: Stack): string {
  return `# The embedded stack, for tools of yours. Written anew by each \`pnpm dev\`.
DATABASE_URL=${urls.api}
MIGRATION_DATABASE_URL=${urls.owner}
SUPABASE_URL=${supabaseUrl}
SUPABASE_PUBLISHABLE_KEY=${publishableKey}
SUPABASE_JWT_SECRET=${jwtSecret}
KEYMETER_SERVICE_KEY=${process.env['KEYMETER_SERVICE_KEY'] || serviceKey}
`
}

function banner(stack: Stack | null, isSeeded: boolean): string {
  const lines = [
    `Dashboard   ${appUrl()}`,
    `API         ${appUrl()}/trpc`,
    `tRPC panel  ${appUrl()}/panel`,
    `Supabase    ${stack?.supabaseUrl ?? process.env['SUPABASE_URL']}`,
    ...(stack ? [`Postgres    127.0.0.1:${postgresPort()}, its URLs are in ${join(localDir(), 'env')}`] : []),
    '',
    isSeeded
      ? `Next: sign in as ${DEMO.email} with the password ${DEMO.password}.`
      : 'Next: open the dashboard and sign up with any address.',
    stack ? `Ctrl-C stops everything; the data stays in ${localDir()}.` : 'Ctrl-C stops it.',
  ]
  return `\nKeymeter is ready.\n\n${lines.map((line) => `  ${line}`.trimEnd()).join('\n')}\n`
}

try {
  await dev()
  process.exit()
} catch (error) {
  console.error(`\n${error instanceof Error ? error.message : error}`)
  process.exit(1)
}
