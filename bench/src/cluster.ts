import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDb, type Db } from '@keymeter/db'
import { freePort, migrate, withClient } from '@keymeter/local'
import pg from 'pg'
import {
  createSupabaseRoles,
  type DatabaseUrls,
  databaseUrls,
  grantSupabaseDefaults,
  letServerIn,
} from '../../packages/local/src/database.ts'
import { startPostgres } from '../../packages/local/src/postgres.ts'
import { loadSecrets, type Secrets } from '../../packages/local/src/secrets.ts'
import { createAuthSchema, createDatabase } from '../../packages/local/src/testing/global-setup.ts'
import { type Accounts, createAccounts } from './accounts.ts'

/** Migrated, with the accounts, and never charged: what each scenario's databases are copied from. */
const SEEDED = 'bench_seeded'
/** The only setting that differs from Postgres' own: a checkpoint in the middle of a measurement would be chance. */
const MAX_WAL_SIZE = '4GB'

/** A database of its own, as the server and as its owner open it. */
export interface Database {
  urls: DatabaseUrls
  db: Db
  owner: pg.Pool
}

export interface Cluster {
  accounts: Accounts
  /** Settings of durability and size, as Postgres itself tells them. */
  settings: Record<string, string>
  /** Runs `work` on copies of the seeded database, one for each of the names, and drops them. */
  withDatabases<const Name extends string, T>(
    names: Name[],
    work: (databases: Record<Name, Database>) => Promise<T>,
  ): Promise<T>
  /** Runs `work` on a database with nothing in it. */
  withEmptyDatabase<T>(work: (url: string) => Promise<T>): Promise<T>
  checkpoint(): Promise<void>
  stop(): Promise<void>
}

/** A Postgres in a temporary folder, gone when it is stopped. `onError` is told of connections that break. */
export async function startCluster(accountCount: number, report: (line: string) => void): Promise<Cluster> {
  const dir = mkdtempSync(join(tmpdir(), 'keymeter-bench-'))
  // A root shell's Postgres runs as another user, who must be able to pass.
  chmodSync(dir, 0o711)
  const secrets = loadSecrets(join(dir, 'secrets.json'))
  const port = await freePort()
  const postgres = await startPostgres({
    dataDir: join(dir, 'postgres'),
    logFile: join(dir, 'postgres.log'),
    port,
    superuserPassword: secrets.superuserPassword,
    report,
  })
  const stop = async () => {
    await postgres.stop()
    rmSync(dir, { recursive: true, force: true })
  }
  try {
    const cluster = databaseUrls(port, 'postgres', secrets)
    const asSuperuser = async (sql: string) => {
      await withClient(cluster.superuser, async (client) => await client.query(sql))
    }
    await asSuperuser(`alter system set max_wal_size = '${MAX_WAL_SIZE}'`)
    await asSuperuser('select pg_reload_conf()')
    await createSupabaseRoles(cluster, secrets)
    report('Applying migrations and making accounts …')
    const accounts = await seed(databaseUrls(port, SEEDED, secrets), cluster.owner, secrets, join(dir, 'auth'), accountCount)
    return {
      accounts,
      settings: await settings(cluster.superuser),
      withDatabases: async (names, work) => await withCopies(names, work, port, secrets),
      withEmptyDatabase: async (work) => {
        await createDatabase(cluster.owner, 'bench_empty')
        try {
          return await work(databaseUrls(port, 'bench_empty', secrets).owner)
        } finally {
          await asSuperuser('drop database bench_empty with (force)')
        }
      },
      checkpoint: async () => await asSuperuser('checkpoint'),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function seed(
  urls: DatabaseUrls,
  ownerUrl: string,
  secrets: Secrets,
  authDir: string,
  accountCount: number,
): Promise<Accounts> {
  await createDatabase(ownerUrl, SEEDED)
  await grantSupabaseDefaults(urls)
  await createAuthSchema(authDir, urls.auth, secrets)
  await migrate(urls.owner)
  await letServerIn(urls, secrets)
  const database = open(urls)
  try {
    return await createAccounts(database, accountCount)
  } finally {
    await close(database)
  }
}

async function withCopies<Name extends string, T>(
  names: Name[],
  work: (databases: Record<Name, Database>) => Promise<T>,
  port: number,
  secrets: Secrets,
): Promise<T> {
  const cluster = databaseUrls(port, 'postgres', secrets)
  const opened: [Name, Database][] = []
  try {
    for (const name of names) {
      await createDatabase(cluster.owner, `bench_${name}`, SEEDED)
      opened.push([name, open(databaseUrls(port, `bench_${name}`, secrets))])
    }
    return await work(Object.fromEntries(opened) as Record<Name, Database>)
  } finally {
    for (const [name, database] of opened) {
      await close(database)
      await withClient(cluster.superuser, async (client) => await client.query(`drop database bench_${name} with (force)`))
    }
  }
}

function open(urls: DatabaseUrls): Database {
  const owner = new pg.Pool({ connectionString: urls.owner })
  // Dropping the database may end a connection that is just being closed.
  owner.on('error', () => {})
  owner.on('connect', (client) => client.on('error', () => {}))
  return { urls, owner, db: createDb(urls.api, () => {}, { connectionsMax: 3 }) }
}

async function close({ db, owner }: Database): Promise<void> {
  await db.destroy()
  await owner.end()
}

async function settings(url: string): Promise<Record<string, string>> {
  const names = [
    'server_version',
    'fsync',
    'synchronous_commit',
    'full_page_writes',
    'wal_sync_method',
    'shared_buffers',
    'max_wal_size',
  ]
  return await withClient(url, async (client) => {
    const { rows } = await client.query<{ name: string; value: string }>(
      'select name, current_setting(name) as value from unnest($1::text[]) as name',
      [names],
    )
    return Object.fromEntries(rows.map(({ name, value }) => [name, value]))
  })
}
