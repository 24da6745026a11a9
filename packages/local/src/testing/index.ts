import { randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { createDb, type Db } from '@keymeter/db'
import pg from 'pg'
import { afterAll, beforeAll, inject } from 'vitest'
import { startAuth } from '../auth.ts'
import { type DatabaseUrls, databaseUrls, grantSupabaseDefaults, withClient } from '../database.ts'
import { REPOSITORY } from '../migrate.ts'
import { freePort } from '../ports.ts'
import { type ManagedProcess, startProcess } from '../process.ts'
import { createDatabase, TEMPLATE_DATABASE } from './global-setup.ts'

export { type OwnPostgres, ownPostgres } from './own-postgres.ts'

/** Generous, because a busy machine is not a fault. A server that ends is reported immediately. */
const SERVER_TIMEOUT_MS = 300_000

/** A database as a test uses it. */
export interface TestDatabase {
  name: string
  urls: DatabaseUrls
  /** The handle of the server's role, under row level security. */
  db: Db
  /** The owner's handle, which sees the rows of all accounts. */
  ownerDb: Db
  /** The owner's connections, for plain SQL. */
  owner: pg.Pool
  /** Creates a user in `auth.users`, without account or keys, and returns the user's id. */
  createUser(): Promise<string>
}

/** Creates a migrated, empty database for the test file that calls this, and drops it after the last test. */
export function testDatabase(): TestDatabase {
  const { port, secrets } = inject('cluster')
  const name = `test_${randomBytes(6).toString('hex')}`
  const cluster = databaseUrls(port, 'postgres', secrets)
  const urls = databaseUrls(port, name, secrets)
  beforeAll(async () => {
    await createDatabase(cluster.owner, name, TEMPLATE_DATABASE)
    // `create database` does not copy the privileges on the database itself.
    await grantSupabaseDefaults(urls)
  })
  const owner = new pg.Pool({ connectionString: urls.owner })
  // Dropping the database may end a connection that the pool is closing.
  owner.on('error', () => {})
  owner.on('connect', (client) => client.on('error', () => {}))
  const db = createDb(urls.api, () => {})
  const ownerDb = createDb(urls.owner, () => {}, { queryTimeoutMs: 0 })
  afterAll(async () => {
    await db.destroy()
    await ownerDb.destroy()
    await owner.end()
    await withClient(cluster.superuser, async (client) => await client.query(`drop database ${name} with (force)`))
  })
  const createUser = async () => {
    const id = randomUUID()
    await owner.query('insert into auth.users (id, email) values ($1, $2)', [id, `${id}@example.com`])
    return id
  }
  return { name, urls, db, ownerDb, owner, createUser }
}

/** What a client of the auth server needs, and the secret that verifies its tokens. `supabaseUrl` is set before the first test. */
export interface TestAuth {
  supabaseUrl: string
  publishableKey: string
  jwtSecret: string
  serviceKey: string
}

/** Starts a real auth server on that database for the test file that calls this. */
export function testAuth(database: TestDatabase, options: { emailConfirmation?: boolean } = {}): TestAuth {
  const { dir, secrets } = inject('cluster')
  const auth = {
    supabaseUrl: '',
    publishableKey: secrets.publishableKey,
    jwtSecret: secrets.jwtSecret,
    serviceKey: secrets.serviceKey,
  }
  let server: ManagedProcess
  beforeAll(async () => {
    const port = await freePort()
    auth.supabaseUrl = `http://127.0.0.1:${port}`
    server = await startAuth({
      ...options,
      dir: join(dir, database.name),
      logFile: join(dir, `${database.name}.auth.log`),
      port,
      databaseUrl: database.urls.auth,
      secrets,
      siteUrl: 'http://127.0.0.1:3000',
      google: null,
    })
  })
  afterAll(async () => await server?.stop())
  return auth
}

/**
 * Starts the server as its own process for the test file that calls this. `main` is production, with the built dashboard.
 * `dev` is development, with the dashboard's sources and the tRPC panel.
 */
export function testServer(database: TestDatabase, auth: TestAuth, entry: 'main' | 'dev' = 'main'): { url: string } {
  const { dir } = inject('cluster')
  const server = { url: '' }
  let running: ManagedProcess
  beforeAll(async () => {
    const port = await freePort()
    server.url = `http://127.0.0.1:${port}`
    running = await startProcess({
      name: 'The server',
      command: process.execPath,
      args: [join(REPOSITORY, `apps/server/src/${entry}.ts`)],
      cwd: dir,
      env: serverEnv(database, auth, port),
      logFile: join(dir, `${database.name}.server.log`),
      isReady: async () => (await fetch(`${server.url}/readyz`).catch(() => null))?.status === 200,
      readyTimeoutMs: SERVER_TIMEOUT_MS,
    })
  })
  afterAll(async () => await running?.stop())
  return server
}

/** Returns the server's environment, as in a deployment. */
export function serverEnv({ urls }: Pick<TestDatabase, 'urls'>, auth: TestAuth, port: number): Record<string, string> {
  return {
    HOST: '127.0.0.1',
    PORT: String(port),
    DATABASE_URL: urls.api,
    SUPABASE_URL: auth.supabaseUrl,
    SUPABASE_PUBLISHABLE_KEY: auth.publishableKey,
    SUPABASE_JWT_SECRET: auth.jwtSecret,
    KEYMETER_SERVICE_KEY: auth.serviceKey,
  }
}
