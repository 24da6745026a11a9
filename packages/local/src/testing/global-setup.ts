import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { createSupabaseRoles, databaseUrls, grantSupabaseDefaults, letServerIn, withClient } from '../database.ts'
import { migrate } from '../migrate.ts'
import { freePort } from '../ports.ts'
import { startPostgres } from '../postgres.ts'
import type { ManagedProcess } from '../process.ts'
import { createAuthSchema } from '../scratch.ts'
import { loadSecrets, type Secrets } from '../secrets.ts'

/** A migrated database without users. Each test database is a copy of this database. */
export const TEMPLATE_DATABASE = 'keymeter_template'

declare module 'vitest' {
  interface ProvidedContext {
    /** The Postgres of the whole run. `dir` is deleted when the run ends. */
    cluster: { dir: string; port: number; secrets: Secrets }
    /** True for `pnpm test:soak`. The tests that look for rare faults then run for longer. */
    isSoak: boolean
  }
}

/**
 * Starts Postgres on a free port and in a folder of its own, so that the tests can run at the same time as `pnpm dev`. The
 * folder is deleted at the end. Vitest calls this function for each Vitest project, but only the first call starts Postgres.
 */
export default async function setup({ vitest }: TestProject): Promise<(() => Promise<void>) | undefined> {
  const run = vitest.getRootProject()
  if ('cluster' in run.getProvidedContext()) return
  const dir = mkdtempSync(join(tmpdir(), 'keymeter-test-'))
  // When root runs the tests, Postgres runs as another user, and this user must be able to enter the folder.
  chmodSync(dir, 0o711)
  const secrets = loadSecrets(join(dir, 'secrets.json'))
  const port = await freePort()
  let postgres: ManagedProcess | null = null
  const teardown = async () => {
    await postgres?.stop()
    rmSync(dir, { recursive: true, force: true })
  }
  try {
    postgres = await startCluster(dir, port, secrets)
    await createTemplate(dir, port, secrets)
    run.provide('cluster', { dir, port, secrets })
    run.provide('isSoak', process.env['KEYMETER_SOAK'] === '1')
    return teardown
  } catch (error) {
    await teardown()
    throw error
  }
}

/** Starts Postgres on the data in `dir`, or creates the data first. */
export async function startCluster(dir: string, port: number, secrets: Secrets): Promise<ManagedProcess> {
  return await startPostgres({
    dataDir: join(dir, 'postgres'),
    logFile: join(dir, 'postgres.log'),
    port,
    superuserPassword: secrets.superuserPassword,
    binaries: process.env['POSTGRES_BINARIES'],
    report: () => {},
  })
}

/** Creates the roles and the template database. */
export async function createTemplate(dir: string, port: number, secrets: Secrets): Promise<void> {
  const cluster = databaseUrls(port, 'postgres', secrets)
  await createSupabaseRoles(cluster, secrets)
  await createDatabase(cluster.owner, TEMPLATE_DATABASE)

  const template = databaseUrls(port, TEMPLATE_DATABASE, secrets)
  await grantSupabaseDefaults(template)
  await createAuthSchema(join(dir, 'auth'), template.auth, secrets)
  await migrate(template.owner)
  await letServerIn(template, secrets)
}

export async function createDatabase(ownerUrl: string, name: string, template = 'template1'): Promise<void> {
  await withClient(ownerUrl, async (client) => {
    await client.query(`create database ${client.escapeIdentifier(name)} template ${client.escapeIdentifier(template)}`)
  })
}
