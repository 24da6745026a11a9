import { createDb, type Db } from '@keymeter/db'
import { type DatabaseUrls, migrate, withClient, withScratchCluster } from '@keymeter/local'
import pg from 'pg'
import { type Accounts, createAccounts } from './accounts.ts'

/** The name of a database that has accounts and no usage. Each scenario works on copies of it. */
const SEEDED = 'bench_seeded'
/**
 * The only setting of Postgres that differs from its default. With the default, checkpoints would slow down some measurements.
 */
const MAX_WAL_SIZE = '4GB'

export interface Database {
  urls: DatabaseUrls
  /** The database handle of the server's role. Row level security applies to it. */
  db: Db
  /** The database handle of the owner, who sees the rows of all accounts. */
  ownerDb: Db
  /** A pool of the owner's connections, for plain SQL. */
  owner: pg.Pool
}

export interface Cluster {
  accounts: Accounts
  /** The version of Postgres, and the settings of Postgres that affect durability and speed. */
  settings: Record<string, string>
  /** Copies the seeded database once for each name, runs `work` on the copies, then drops them. */
  withDatabases<const Name extends string, T>(
    names: Name[],
    work: (databases: Record<Name, Database>) => Promise<T>,
  ): Promise<T>
  /** Creates an empty database, runs `work` on it, then drops it. */
  withEmptyDatabase<T>(work: (url: string) => Promise<T>): Promise<T>
  checkpoint(): Promise<void>
}

/** Starts a new Postgres in a temporary folder, creates the seeded database, runs `work`, then deletes everything. */
export async function withCluster<T>(
  accountCount: number,
  report: (line: string) => void,
  work: (cluster: Cluster) => Promise<T>,
): Promise<T> {
  return await withScratchCluster(async ({ createProject }) => {
    report('Applying the migrations and creating accounts …')
    const seeded = await createProject(SEEDED)
    await runSql(seeded.superuser, `alter system set max_wal_size = '${MAX_WAL_SIZE}'`)
    await runSql(seeded.superuser, 'select pg_reload_conf()')
    return await work({
      accounts: await seed(seeded, accountCount),
      settings: await readSettings(seeded.superuser),
      withDatabases: async (names, work) => await withCopies(seeded, names, work),
      withEmptyDatabase: async (work) => {
        await createDatabase(seeded, 'bench_empty', 'template1')
        try {
          return await work(withDatabase(seeded.owner, 'bench_empty'))
        } finally {
          await dropDatabase(seeded, 'bench_empty')
        }
      },
      checkpoint: async () => await runSql(seeded.superuser, 'checkpoint'),
    })
  })
}

async function seed(urls: DatabaseUrls, accountCount: number): Promise<Accounts> {
  await migrate(urls.owner)
  // A migration creates this role without a login. In a deployment, the operator gives the role its login once.
  await runSql(urls.owner, `alter role keymeter_api login password '${new URL(urls.api).password}'`)
  const database = open(urls)
  try {
    return await createAccounts(database, accountCount)
  } finally {
    await close(database)
  }
}

async function withCopies<Name extends string, T>(
  seeded: DatabaseUrls,
  names: Name[],
  work: (databases: Record<Name, Database>) => Promise<T>,
): Promise<T> {
  const opened: [Name, Database][] = []
  try {
    for (const name of names) {
      await createDatabase(seeded, `bench_${name}`, SEEDED)
      const urls = Object.entries(seeded).map(([role, url]) => [role, withDatabase(url, `bench_${name}`)])
      opened.push([name, open(Object.fromEntries(urls) as DatabaseUrls)])
    }
    return await work(Object.fromEntries(opened) as Record<Name, Database>)
  } finally {
    for (const [name, database] of opened) {
      await close(database)
      await dropDatabase(seeded, `bench_${name}`)
    }
  }
}

/** Returns `url` with another database name. */
function withDatabase(url: string, name: string): string {
  return Object.assign(new URL(url), { pathname: `/${name}` }).href
}

/** Connects to the database `postgres`, because Postgres copies a template only if nobody is connected to the template. */
async function createDatabase({ owner }: DatabaseUrls, name: string, template: string): Promise<void> {
  await runSql(withDatabase(owner, 'postgres'), `create database ${name} template ${template}`)
}

async function dropDatabase({ superuser }: DatabaseUrls, name: string): Promise<void> {
  await runSql(withDatabase(superuser, 'postgres'), `drop database ${name} with (force)`)
}

async function runSql(url: string, statement: string): Promise<void> {
  await withClient(url, async (client) => await client.query(statement))
}

function open(urls: DatabaseUrls): Database {
  const owner = new pg.Pool({ connectionString: urls.owner })
  // `drop database … with (force)` can end a connection while the pool closes it. The connection then emits an error event.
  // These handlers ignore the event, because an error event without a handler would end the process.
  owner.on('error', () => {})
  owner.on('connect', (client) => client.on('error', () => {}))
  const db = createDb(urls.api, () => {}, { connectionsMax: 3 })
  const ownerDb = createDb(urls.owner, () => {}, { queryTimeoutMs: 0 })
  return { urls, owner, db, ownerDb }
}

async function close({ db, ownerDb, owner }: Database): Promise<void> {
  await db.destroy()
  await ownerDb.destroy()
  await owner.end()
}

async function readSettings(url: string): Promise<Record<string, string>> {
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
