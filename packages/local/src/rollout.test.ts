import { randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { databaseUrls, grantSupabaseDefaults, letServerIn, withClient } from './database.ts'
import { applyMigrations } from './testing/apply-migrations.ts'
import { createAuthSchema, createDatabase } from './testing/global-setup.ts'

/** The last migration of the first release. */
const FIRST_RELEASE = '20260218000002'
const CALLERS = 6
const KEYS = 5_000

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

it('every migration applies while the release before it provisions accounts, and fails none of its calls', async () => {
  const users = Array.from({ length: CALLERS }, () => randomUUID())
  await withClient(urls.owner, async (client) => {
    for (const id of users) await client.query('insert into auth.users (id, email) values ($1, $2)', [id, `${id}@example.com`])
    await client.query(
      `insert into api_keys (user_id, name, key_prefix, key_hash)
       select $1, 'key ' || n, 'km_dev_x', sha256(convert_to(n::text, 'utf8')) from generate_series(1, $2) n`,
      [users[0], KEYS],
    )
  })
  let isDone = false
  let calls = 0
  const callers = users.map(async (userId) => {
    await withClient(urls.api, async (client) => {
      while (!isDone) {
        // As it provisions: the look at the keys before the insert is what a careless migration deadlocks with.
        await client.query('begin')
        await client.query("select set_config('app.user_id', $1, true)", [userId])
        await client.query('insert into billing_accounts (user_id) values ($1) on conflict (user_id) do nothing', [userId])
        await client.query('select user_id from billing_accounts where user_id = $1 for no key update', [userId])
        await client.query('select id from api_keys where user_id = $1 limit 1', [userId])
        await client.query(
          "insert into api_keys (user_id, name, key_prefix, key_hash, key_type) values ($1, 'x', 'km_dev_x', $2, 'dev')",
          [userId, randomBytes(32)],
        )
        await client.query('commit')
        calls++
      }
    })
  })
  try {
    await applyMigrations(urls.owner, (version) => version > FIRST_RELEASE)
  } finally {
    isDone = true
  }
  await Promise.all(callers)
  expect(calls).toBeGreaterThan(CALLERS)
})
