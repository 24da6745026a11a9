import { randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { databaseUrls, grantSupabaseDefaults, letServerIn, withClient } from './database.ts'
import { applyMigrations, migrationVersions } from './testing/apply-migrations.ts'
import { createAuthSchema, createDatabase } from './testing/global-setup.ts'

/** The last migration of the first release. */
const FIRST_RELEASE = '20260218000002'

const { dir, port, secrets } = inject('cluster')
const name = `rollout_${randomBytes(6).toString('hex')}`
const urls = databaseUrls(port, name, secrets)
const cluster = databaseUrls(port, 'postgres', secrets)

beforeAll(async () => {
  await createDatabase(cluster.owner, name)
  await grantSupabaseDefaults(urls)
  await createAuthSchema(join(dir, name), urls.auth, secrets)
  await applyMigrations(urls.owner, (version) => version <= FIRST_RELEASE)
  await letServerIn(urls, secrets)
})
afterAll(async () => {
  await withClient(cluster.superuser, async (client) => await client.query(`drop database ${name} with (force)`))
})

/** Whether a statement waits for a lock in this database. */
async function isWaiting(): Promise<boolean> {
  return await withClient(urls.superuser, async (client) => {
    const { rows } = await client.query(
      'select 1 from pg_locks join pg_stat_activity using (pid) where not granted and datname = current_database()',
    )
    return rows.length > 0
  })
}

it('no migration deadlocks with a provisioning of the first release that it meets halfway', async () => {
  const userId = randomUUID()
  await withClient(urls.owner, async (client) => {
    await client.query('insert into auth.users (id, email) values ($1, $2)', [userId, `${userId}@example.com`])
  })
  const versions = migrationVersions().filter((version) => version > FIRST_RELEASE)
  expect(versions.length).toBeGreaterThan(6)
  for (const version of versions) {
    await withClient(urls.api, async (client) => {
      await client.query('begin')
      await client.query("select set_config('app.user_id', $1, true)", [userId])
      await client.query('insert into billing_accounts (user_id) values ($1) on conflict (user_id) do nothing', [userId])
      await client.query('select user_id from billing_accounts where user_id = $1 for no key update', [userId])
      await client.query('select id from api_keys where user_id = $1 limit 1', [userId])
      let isApplied = false
      const applying = applyMigrations(urls.owner, (one) => one === version).then(() => {
        isApplied = true
      })
      applying.catch(() => {})
      // Either it waits for this transaction, or they have nothing to do with each other.
      await expect.poll(async () => isApplied || (await isWaiting()), { timeout: 10_000 }).toBe(true)
      // The look at the keys before the insert is what a careless migration deadlocks with.
      await client.query(
        "insert into api_keys (user_id, name, key_prefix, key_hash, key_type) values ($1, 'x', 'km_dev_x', $2, 'dev')",
        [userId, randomBytes(32)],
      )
      await client.query('commit')
      await applying
    })
  }
})
