import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startAuth } from './auth.ts'
import { createSupabaseRoles, type DatabaseUrls, databaseUrls, grantSupabaseDefaults, withClient } from './database.ts'
import { migrate } from './migrate.ts'
import { freePort } from './ports.ts'
import { startPostgres } from './postgres.ts'
import { schemaSql } from './schemas.ts'
import { loadSecrets, type Secrets } from './secrets.ts'

/** A temporary Postgres with the roles of a Supabase project. */
export interface ScratchCluster {
  /** Creates a database like that of a new Supabase project: it contains the schema `auth` and none of our migrations. */
  createProject(name: string): Promise<DatabaseUrls>
}

/**
 * Starts a new Postgres in a temporary folder, runs `work`, then stops Postgres and deletes the folder.
 *
 * @param options.binaries The folder that contains `bin/postgres`. By default, the embedded Postgres.
 */
export async function withScratchCluster<T>(
  work: (cluster: ScratchCluster) => Promise<T>,
  { binaries = process.env['POSTGRES_BINARIES'] }: { binaries?: string | undefined } = {},
): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'keymeter-scratch-'))
  // When root runs this function, Postgres runs as another user, and this user must be able to enter the folder.
  chmodSync(dir, 0o711)
  const secrets = loadSecrets(join(dir, 'secrets.json'))
  const port = await freePort()
  const postgres = await startPostgres({
    dataDir: join(dir, 'postgres'),
    logFile: join(dir, 'postgres.log'),
    port,
    superuserPassword: secrets.superuserPassword,
    binaries,
    report: () => {},
  })
  try {
    await createSupabaseRoles(databaseUrls(port, 'postgres', secrets), secrets)
    return await work({ createProject: async (name) => await createProject(dir, port, name, secrets) })
  } finally {
    await postgres.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

/**
 * Runs `work` on two databases. One is created by the migrations, the other by the schema files. In both URLs, the role is the
 * owner of the database.
 */
export async function withBothSchemas<T>(work: (urls: { migrated: string; written: string }) => Promise<T>): Promise<T> {
  return await withScratchCluster(async (cluster) => {
    const [migrated, written] = [await cluster.createProject('migrated'), await cluster.createProject('written')]
    await migrate(migrated.owner)
    await withClient(written.owner, async (client) => await client.query(schemaSql()))
    return await work({ migrated: migrated.owner, written: written.owner })
  })
}

async function createProject(dir: string, port: number, name: string, secrets: Secrets): Promise<DatabaseUrls> {
  const urls = databaseUrls(port, name, secrets)
  await withClient(databaseUrls(port, 'postgres', secrets).owner, async (client) => {
    await client.query(`create database ${client.escapeIdentifier(name)}`)
  })
  await grantSupabaseDefaults(urls)
  await createAuthSchema(join(dir, `auth-${name}`), urls.auth, secrets)
  return urls
}

/** Starts the auth server once, which creates the schema `auth`, and stops it. */
export async function createAuthSchema(dir: string, databaseUrl: string, secrets: Secrets): Promise<void> {
  const auth = await startAuth({
    dir,
    logFile: join(dir, 'auth.log'),
    port: await freePort(),
    databaseUrl,
    secrets,
    siteUrl: 'http://127.0.0.1:3000',
  })
  await auth.stop()
}
