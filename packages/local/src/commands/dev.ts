/**
 * `pnpm dev` runs Postgres, Supabase Auth and the server on this machine until Ctrl-C. If the environment names a Supabase
 * project, `pnpm dev` runs only the server, and does not migrate, seed or reset that project's database.
 *
 * If pnpm is killed, this process ends too. If only `npx` is killed, pnpm and this process go on in the background. Then the
 * next `pnpm dev` fails and prints the id of the process to stop.
 */
import { execFile, spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { DEMO } from '../demo.ts'
import { lock } from '../lock.ts'
import { REPOSITORY } from '../migrate.ts'
import { isPortFree } from '../ports.ts'
import { type ManagedProcess, startProcess } from '../process.ts'
import { type Stack, startStack } from '../stack.ts'

const HELP = `pnpm dev [--reset] [--seed] [--confirm-mail]

Starts Postgres, Supabase Auth, the API and the dashboard. Ctrl-C stops all of them. The data stays in .local/.

  --reset          delete the data first
  --seed           add a demo account with seven weeks of history: keys, charges, refusals, holds, refunds and top-ups
  --confirm-mail   new users must follow the link in a mail before they can sign in; the mails are at /dev/mail
`

/** The limit is long, because a busy machine may start the server slowly. If the start fails, the error comes immediately. */
const SERVER_TIMEOUT_MS = 300_000
const POLL_TIMEOUT_MS = 10_000
const SERVER = join(REPOSITORY, 'apps/server/src')
const SEED = join(REPOSITORY, 'packages/api/scripts/seed.ts')
/**
 * A change of a file in these folders restarts the server. node_modules is not watched: the clones of the repository share its
 * files through pnpm, and an install in another clone touches these files.
 */
const WATCHED = ['apps/server/src', 'packages/api/src', 'packages/contract/src', 'packages/db/src']
const localDir = () => process.env['KEYMETER_LOCAL_DIR'] || join(REPOSITORY, '.local')
/** If all these variables are set, `pnpm dev` uses their Supabase project instead of the embedded stack. */
const REMOTE_VARIABLES = ['DATABASE_URL', 'SUPABASE_URL', 'SUPABASE_PUBLISHABLE_KEY'] as const

const report = (line: string) => console.log(`  ${line}`)

async function dev(): Promise<void> {
  const { values: flags } = parseArgs({
    options: {
      reset: { type: 'boolean' },
      seed: { type: 'boolean' },
      'confirm-mail': { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  })
  if (flags.help) return console.log(HELP)
  if (existsSync(join(REPOSITORY, '.env'))) process.loadEnvFile(join(REPOSITORY, '.env'))
  const isRemote = usesRemoteProject()
  const confirmsMail = flags['confirm-mail'] === true
  if (isRemote && (flags.reset || flags.seed || confirmsMail))
    throw new Error(
      '--reset, --seed and --confirm-mail change only the embedded stack. Run pnpm dev without them to use a Supabase project.',
    )
  if (flags.seed && confirmsMail)
    throw new Error('The demo account cannot confirm its address. Run pnpm dev --seed first, and then pnpm dev --confirm-mail.')

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

  let stack: Stack | null = null
  let server: ManagedProcess | null = null
  try {
    await requireFreePort('PORT', appPort())
    checkSettings(isRemote)
    if (!isRemote) stack = await startEmbedded(flags.reset === true, confirmsMail, stop.signal)
    report('Starting the API and the dashboard …')
    server = await startServer(stack, stop.signal)
    if (stack !== null && flags.seed) await seed(stack, stop.signal)
    stop.signal.throwIfAborted()
    console.log(banner(stack, flags.seed === true))
    void server.exited.then(() =>
      failBecause('The server ended by itself. Its last lines are above. Stopping the other parts …'),
    )
    void stack?.broke.then((name) =>
      failBecause(`${name} ended by itself. Its log is in ${localDir()}. Stopping the other parts …`),
    )
    await stopped
  } catch (error) {
    if (!stop.signal.aborted) throw error
  } finally {
    // The server stops first, because its open requests still need the database.
    await server?.stop()
    await stack?.stop()
  }
}

function requireOwnFolder(dir: string): void {
  try {
    accessSync(dir, constants.W_OK)
  } catch {
    throw new Error(
      `${dir} belongs to another user. Delete it as that user, or set KEYMETER_LOCAL_DIR to a folder of your own.`,
    )
  }
}

function usesRemoteProject(): boolean {
  const missing = REMOTE_VARIABLES.filter((name) => !process.env[name])
  if (missing.length > 0 && missing.length < REMOTE_VARIABLES.length) {
    throw new Error(
      `Some variables of a Supabase project are missing. To use one, set ${missing.join(' and ')} too. To use the embedded stack, unset all of ${REMOTE_VARIABLES.join(', ')}.`,
    )
  }
  return missing.length === 0
}

async function startEmbedded(reset: boolean, emailConfirmation: boolean, signal: AbortSignal): Promise<Stack> {
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
    emailConfirmation,
    report,
    reset,
    signal,
  })
  writeFileSync(join(localDir(), 'env'), envFile(stack), { mode: 0o600 })
  return stack
}

/** Valid values for the settings that are known only after the embedded stack has started. Only `checkSettings` uses them. */
const PLACEHOLDERS = {
  DATABASE_URL: 'postgresql://127.0.0.1',
  SUPABASE_URL: 'http://127.0.0.1',
  SUPABASE_PUBLISHABLE_KEY: 'sb_publishable_',
  SUPABASE_JWT_SECRET: '',
}

/**
 * Checks the server's settings before any process starts. The server cannot do this check itself: after a failed start, `node
 * --watch` does not end, but waits for the change of a file.
 */
function checkSettings(isRemote: boolean): void {
  const env = serverEnvironment(isRemote ? {} : PLACEHOLDERS)
  const check = spawnSync(process.execPath, [join(SERVER, 'check-env.ts')], { env, encoding: 'utf8' })
  if (check.status !== 0) throw new Error(check.stderr.trim())
}

function serverEnvironment(settings: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...process.env, ...settings, HOST: '127.0.0.1', PORT: String(appPort()) }
}

async function startServer(stack: Stack | null, signal: AbortSignal): Promise<ManagedProcess> {
  const env = serverEnvironment(
    stack === null
      ? {}
      : {
          DATABASE_URL: stack.urls.api,
          SUPABASE_URL: stack.supabaseUrl,
          SUPABASE_PUBLISHABLE_KEY: stack.publishableKey,
          SUPABASE_JWT_SECRET: stack.jwtSecret,
          KEYMETER_SERVICE_KEY: process.env['KEYMETER_SERVICE_KEY'] || stack.serviceKey,
          // The embedded auth server needs both the client id and the client secret. If one is missing, the dashboard must not
          // offer sign-in with Google.
          GOOGLE_OAUTH_CLIENT_ID: googleCredentials()?.clientId ?? '',
          // Also if `.env` contains a mail server: with invented addresses, a development server must not send mails to anybody.
          ...stack.mailbox.serverEnv(),
        },
  )
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

/** Adds the demo account. The script is a process of its own, because this package must not use the package of the product. */
async function seed(stack: Stack, signal: AbortSignal): Promise<void> {
  const { urls, supabaseUrl, publishableKey, jwtSecret } = stack
  const keyBrand = process.env['KEYMETER_KEY_BRAND'] || 'km'
  const script = promisify(execFile)(process.execPath, [SEED], { signal })
  script.child.stdin?.end(
    JSON.stringify({ ownerUrl: urls.owner, databaseUrl: urls.api, supabaseUrl, publishableKey, jwtSecret, keyBrand }),
  )
  const { stdout } = await script
  report(stdout.trim())
}

async function requireFreePort(variable: string, number: number): Promise<void> {
  if (!(await isPortFree(number)))
    throw new Error(
      `Port ${number} is taken. Stop the program that listens there, or choose another port: ${variable}=${number + 1000} pnpm dev`,
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
  return `# The settings of the embedded stack, for your own tools. Each \`pnpm dev\` overwrites this file.
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
    ...(stack ? [`Mails       ${appUrl()}/dev/mail`] : []),
    `Supabase    ${stack?.supabaseUrl ?? process.env['SUPABASE_URL']}`,
    ...(stack ? [`Postgres    127.0.0.1:${postgresPort()}; its URLs are in ${join(localDir(), 'env')}`] : []),
    '',
    isSeeded
      ? `Next: sign in as ${DEMO.email} with the password ${DEMO.password}.`
      : 'Next: open the dashboard and sign up with any e-mail address.',
    stack ? `Ctrl-C stops everything. The data stays in ${localDir()}.` : 'Ctrl-C stops the server.',
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
