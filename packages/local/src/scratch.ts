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

/** A Postgres that lives as long as one command, with the roles that Supabase has. */
export interface ScratchCluster {
  /** Creates an empty database with the schema `auth`, as a Supabase project has it before any migration. */
  createProject(name: string): Promise<DatabaseUrls>
}

/** Runs `work` on a new Postgres in a temporary folder, then removes it. */
export async function withScratchCluster<T>(work: (cluster: ScratchCluster) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'keymeter-scratch-'))
  // In a root shell, Postgres runs as another user, who must be able to pass.
  chmodSync(dir, 0o711)
  const secrets = loadSecrets(join(dir, 'secrets.json'))
  const port = await freePort()
  const postgres = await startPostgres({
    dataDir: join(dir, 'postgres'),
    logFile: join(dir, 'postgres.log'),
    port,
    superuserPassword: secrets.superuserPassword,
    binaries: process.env['POSTGRES_BINARIES'],
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

/** Runs `work` on two databases: one made by the migrations, the other by the schema files. Both URLs are the owner's. */
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

/** The auth server creates its schema when it starts. */
export async function createAuthSchema(dir: string, databaseUrl: string, secrets: Secrets): Promise<void> {
  const auth = await startAuth({
    dir,
    logFile: join(dir, 'auth.log'),
    port: await freePort(),
    databaseUrl,
    secrets,
    siteUrl: 'http://127.0.0.1:3000',
    google: null,
  })
  await auth.stop()
}
