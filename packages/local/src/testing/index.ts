import { randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { createDb, type Db } from '@keymeter/db'
import pg from 'pg'
import { afterAll, beforeAll, inject } from 'vitest'
import { startAuth } from '../auth.ts'
import { type DatabaseUrls, databaseUrls, grantSupabaseDefaults, withClient } from '../database.ts'
import type { Mailbox } from '../mailbox.ts'
import { REPOSITORY } from '../migrate.ts'
import { freePort } from '../ports.ts'
import { type ManagedProcess, startProcess } from '../process.ts'
import { createDatabase, TEMPLATE_DATABASE } from './global-setup.ts'
import { insertUser } from './insert-user.ts'
import { testMailbox } from './test-mailbox.ts'

export { REFUSED_DOMAIN } from '../mailbox.ts'
export { insertSecrets } from './insert-secrets.ts'
export { type OwnPostgres, ownPostgres } from './own-postgres.ts'
export { sendMail } from './send-mail.ts'
export { testMailbox } from './test-mailbox.ts'

/** The limit is long, because a busy machine may start the server slowly. If the start fails, the error comes immediately. */
const SERVER_TIMEOUT_MS = 300_000

export interface TestDatabase {
  name: string
  urls: DatabaseUrls
  /** The database handle of the server's role. Row level security applies to it. */
  db: Db
  /** The database handle of the owner, who sees the rows of all accounts. */
  ownerDb: Db
  /** A pool of the owner's connections, for plain SQL. */
  owner: pg.Pool
  /** Creates a user with a confirmed address in `auth.users` and returns the user's id. The user has no account and no keys. */
  createUser(id?: string): Promise<string>
}

/** Creates a migrated database without accounts for the calling test file, and drops it after the last test of the file. */
export function testDatabase(): TestDatabase {
  const { port, secrets } = inject('cluster')
  const name = `test_${randomBytes(6).toString('hex')}`
  const cluster = databaseUrls(port, 'postgres', secrets)
  const urls = databaseUrls(port, name, secrets)
  beforeAll(async () => {
    await createDatabase(cluster.owner, name, TEMPLATE_DATABASE)
    // `create database` copies the tables and their privileges, but not the privileges on the database itself.
    await grantSupabaseDefaults(urls)
  })
  const owner = new pg.Pool({ connectionString: urls.owner })
  // `drop database … with (force)` can end a connection while the pool closes it. The connection then emits an error event.
  // These handlers ignore the event, because an error event without a handler would end the process.
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
  const createUser = async (id: string = randomUUID()) => await insertUser(owner, id)
  return { name, urls, db, ownerDb, owner, createUser }
}

/** The settings of a test's auth server. Keymeter's server needs them to verify the access tokens of this auth server. */
export interface TestAuth {
  /** Empty until the `beforeAll` hook of `testAuth` has run. */
  supabaseUrl: string
  /** The address of the dashboard, to which the links in mails lead. Empty until the `beforeAll` hook has run. */
  siteUrl: string
  /** Receives the mails of the auth server, and of the server that `testServer` starts. */
  mailbox: Mailbox
  publishableKey: string
  jwtSecret: string
  serviceKey: string
}

/** Starts an auth server on the database for the calling test file, and stops it after the last test of the file. */
export function testAuth(database: TestDatabase, options: { emailConfirmation?: boolean } = {}): TestAuth {
  const { dir, secrets } = inject('cluster')
  const auth = {
    supabaseUrl: '',
    siteUrl: '',
    mailbox: testMailbox(),
    publishableKey: secrets.publishableKey,
    jwtSecret: secrets.jwtSecret,
    serviceKey: secrets.serviceKey,
  }
  let server: ManagedProcess
  beforeAll(async () => {
    const port = await freePort()
    auth.supabaseUrl = `http://127.0.0.1:${port}`
    // Keymeter's server starts later, but the auth server needs its address for the links in mails.
    auth.siteUrl = `http://127.0.0.1:${await freePort()}`
    server = await startAuth({
      ...options,
      mailbox: auth.mailbox,
      dir: join(dir, database.name),
      logFile: join(dir, `${database.name}.auth.log`),
      port,
      databaseUrl: database.urls.auth,
      secrets,
      siteUrl: auth.siteUrl,
      google: null,
    })
  })
  afterAll(async () => await server?.stop())
  return auth
}

/**
 * Starts Keymeter's server at `auth.siteUrl` for the calling test file, and stops it after the last test of the file. The entry
 * `main` is the production server and serves the built dashboard. The entry `dev` is the development server: it serves the
 * dashboard from its sources, and the tRPC panel. `url` is empty until the `beforeAll` hook has run.
 */
export function testServer(database: TestDatabase, auth: TestAuth, entry: 'main' | 'dev' = 'main'): { url: string } {
  const { dir } = inject('cluster')
  const server = { url: '' }
  let running: ManagedProcess
  beforeAll(async () => {
    server.url = auth.siteUrl
    running = await startProcess({
      name: 'The server',
      command: process.execPath,
      args: [join(REPOSITORY, `apps/server/src/${entry}.ts`)],
      cwd: dir,
      env: { ...serverEnv(database, auth, Number(new URL(auth.siteUrl).port)), ...auth.mailbox.serverEnv() },
      logFile: join(dir, `${database.name}.server.log`),
      isReady: async () => (await fetch(`${server.url}/readyz`).catch(() => null))?.status === 200,
      readyTimeoutMs: SERVER_TIMEOUT_MS,
    })
  })
  afterAll(async () => await running?.stop())
  return server
}

/** Returns the environment variables that a deployment of the server has. */
export function serverEnv(
  { urls }: Pick<TestDatabase, 'urls'>,
  auth: Omit<TestAuth, 'siteUrl' | 'mailbox'>,
  port: number,
): Record<string, string> {
  return {
    HOST: '127.0.0.1',
    PORT: String(port),
    DATABASE_URL: urls.api,
    SUPABASE_URL: auth.supabaseUrl,
    SUPABASE_PUBLISHABLE_KEY: auth.publishableKey,
    SUPABASE_JWT_SECRET: auth.jwtSecret,
    KEYMETER_SERVICE_KEY: auth.serviceKey,
    // All calls of a test come from one address.
    SIGN_UPS_PER_ADDRESS_PER_HOUR: '0',
  }
}
