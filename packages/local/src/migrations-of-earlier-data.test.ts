import { randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { databaseUrls, grantSupabaseDefaults, letServerIn, withClient } from './database.ts'
import { applyMigrations } from './testing/apply-migrations.ts'
import { createAuthSchema, createDatabase } from './testing/global-setup.ts'
import { disagreements } from './testing/index.ts'

/** The last migration of the release before the charge engine. */
const EARLIER = '20260301000004'
const HASH = randomBytes(32)
const OLD_HASH = randomBytes(32)

const { dir, port, secrets } = inject('cluster')
const name = `earlier_${randomBytes(6).toString('hex')}`
const urls = databaseUrls(port, name, secrets)
const cluster = databaseUrls(port, 'postgres', secrets)
const owner = new pg.Pool({ connectionString: urls.owner })
owner.on('error', () => {})
owner.on('connect', (client) => client.on('error', () => {}))

interface EarlierAccount {
  userId: string
  anchor: string
  /** Moments with the credits that each of two keys was charged then. */
  usage: [moment: string, first: number, second: number][]
}

/** Every moment is in the past of any day that this runs on. The third key is never used. */
const ACCOUNTS: EarlierAccount[] = [
  {
    userId: randomUUID(),
    anchor: '2025-10-31T10:20:30.456Z',
    usage: [
      ['2025-10-31T10:20:30.456Z', 1, 2],
      ['2025-10-31T10:20:30.456001Z', 1, 2],
      // To the microsecond, before and at the boundaries of cycles that are clipped to the month.
      ['2025-11-30T10:20:30.455999Z', 10, 20],
      ['2025-11-30T10:20:30.456Z', 100, 200],
      ['2025-12-31T10:20:30.4555Z', 3, 4],
      ['2025-12-31T10:20:30.4564999Z', 5, 6],
      // Then a cycle without any.
      ['2026-02-28T10:20:30.455Z', 7, 0],
      ['2026-02-28T10:20:30.456Z', 8, 0],
      ['2026-02-28T10:20:30.456Z', 8, 0],
    ],
  },
  { userId: randomUUID(), anchor: '2026-01-15T00:00:00Z', usage: [['2026-02-14T23:59:59.9999Z', 0, 999]] },
  { userId: randomUUID(), anchor: '2026-01-01T00:00:00Z', usage: [] },
]

const keyIds = new Map<string, string[]>()

/** What the former release answers: its own join, with the cycle's boundaries as parameters. */
const SPECIFIED_JOIN = `
  select keys.id, coalesce(sum(usage.credits_charged), 0)::int as used
    from api_keys keys left join api_key_usage usage
      on usage.user_id = keys.user_id and usage.api_key_id = keys.id and usage.created_at >= $2 and usage.created_at < $3
   where keys.user_id = $1
   group by keys.id order by keys.id`
const CYCLES_TOLD = 14

/** By the specified join, for each account, cycle and key. */
async function usedPerCycle() {
  const answers: unknown[] = []
  for (const { userId, anchor } of ACCOUNTS) {
    for (let k = 0; k < CYCLES_TOLD; k++) {
      const boundaries = await owner.query(
        `select (($1::timestamptz at time zone 'UTC') + make_interval(months => $2)) at time zone 'UTC' as start,
                (($1::timestamptz at time zone 'UTC') + make_interval(months => $2 + 1)) at time zone 'UTC' as "end"`,
        [anchor, k],
      )
      const { start, end } = boundaries.rows[0]
      answers.push({ userId, start, keys: (await owner.query(SPECIFIED_JOIN, [userId, start, end])).rows })
    }
  }
  return answers as { userId: string; start: Date; keys: { id: string; used: number }[] }[]
}

let before: Awaited<ReturnType<typeof usedPerCycle>>
let rowsBefore = 0

beforeAll(async () => {
  await createDatabase(cluster.owner, name)
  await grantSupabaseDefaults(urls)
  await createAuthSchema(join(dir, name), urls.auth, secrets)
  await applyMigrations(urls.owner, (version) => version <= EARLIER)
  await letServerIn(urls, secrets)
  for (const { userId, anchor, usage } of ACCOUNTS) {
    await owner.query('insert into auth.users (id, email) values ($1, $2)', [userId, `${userId}@example.com`])
    await owner.query(
      'insert into billing_accounts (user_id, billing_cycle_anchor, billing_cycle_start, created_at) values ($1, $2, $2, $2)',
      [userId, anchor],
    )
    const ids: string[] = []
    for (const name of ['first', 'revoked', 'idle']) {
      const { rows } = await owner.query(
        `insert into api_keys (user_id, name, key_prefix, key_type, created_at, revoked_at)
         values ($1, $2, 'km_dev_12345678', 'dev', $3, case when $2 = 'revoked' then now() end) returning id`,
        [userId, name, anchor],
      )
      ids.push(rows[0].id)
      await owner.query('insert into api_key_secrets (user_id, api_key_id, key_hash) values ($1, $2, $3)', [
        userId,
        rows[0].id,
        name === 'first' ? HASH : randomBytes(32),
      ])
    }
    keyIds.set(userId, ids)
    for (const [moment, ...credits] of usage) {
      for (const [i, charged] of credits.entries()) {
        await owner.query(
          'insert into api_key_usage (user_id, api_key_id, credits_charged, created_at) values ($1, $2, $3, $4)',
          [userId, ids[i], charged, moment],
        )
        rowsBefore++
      }
    }
  }
  // Made by a release that knew no api_key_secrets, while this database had it already.
  await owner.query(
    "insert into api_keys (user_id, name, key_prefix, key_type, key_hash) values ($1, 'old', 'km_dev_abcdefgh', 'dev', $2)",
    [ACCOUNTS[2]?.userId, OLD_HASH],
  )
  before = await usedPerCycle()
  await applyMigrations(urls.owner, (version) => version > EARLIER)
})
afterAll(async () => {
  await owner.end()
  await withClient(cluster.superuser, async (client) => await client.query(`drop database ${name} with (force)`))
})

const charge = async (userId: string | undefined, hash: Buffer, credits: number, idempotencyKey: string) =>
  (
    await owner.query(
      "select verdict, is_replayed, remaining::int from charge_batch($1, array[$1::uuid], array[$2::bytea], array[$3::bigint], array[$4], array['default'])",
      [userId, hash, credits, idempotencyKey],
    )
  ).rows[0]

/** As the former release calls: as the server's role, in a transaction on one account. */
async function asServer<T>(userId: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  return await withClient(urls.api, async (client) => {
    await client.query('begin')
    await client.query("select set_config('app.user_id', $1, true)", [userId])
    const result = await work(client)
    await client.query('commit')
    return result
  })
}

describe('usage from before the charge engine', () => {
  it('is all there, and every key used in every cycle what the specified join said before', async () => {
    expect((await owner.query('select count(*)::int as count from api_key_usage')).rows).toEqual([{ count: rowsBefore }])
    expect(before.flatMap(({ keys }) => keys).some(({ used }) => used > 0)).toBe(true)
    expect(await usedPerCycle()).toEqual(before)
  })

  it('is in the roll-ups of the cycles that the specified join finds it in', async () => {
    const { rows } = await owner.query(
      'select user_id, cycle_start, api_key_id, credits_charged::int as used from api_key_cycle_usage where credits_charged > 0',
    )
    const rolledUp = new Map(rows.map((row) => [`${row.user_id} ${row.cycle_start.toISOString()} ${row.api_key_id}`, row.used]))
    const told = before.flatMap(({ userId, start, keys }) =>
      keys.filter(({ used }) => used > 0).map(({ id, used }) => [`${userId} ${start.toISOString()} ${id}`, used] as const),
    )
    expect(rolledUp).toEqual(new Map(told))
  })

  it('agrees with every total', async () => {
    expect(await disagreements({ owner })).toEqual([])
  })

  it('is gone on from: charges, replays and refusals are exact, and the totals agree after', async () => {
    for (const { userId } of ACCOUNTS) {
      expect(await charge(userId, HASH, 5, 'a')).toEqual({ verdict: 'charged', is_replayed: false, remaining: 995 })
      expect(await charge(userId, HASH, 5, 'a')).toEqual({ verdict: 'charged', is_replayed: true, remaining: 995 })
      expect(await charge(userId, HASH, 996, 'b')).toMatchObject({ verdict: 'insufficient_credits', remaining: 995 })
    }
    expect(await charge(ACCOUNTS[2]?.userId, OLD_HASH, 1, 'c')).toMatchObject({ verdict: 'charged', remaining: 994 })
    expect(await disagreements({ owner })).toEqual([])
  })
})

describe('the release before, still running', () => {
  const userId = ACCOUNTS[1]?.userId ?? ''

  it('provisions, creates, changes, rotates and revokes keys', async () => {
    await owner.query("insert into auth.users (id, email) values ($1, 'new@example.com')", [keyIds.get(userId)?.[0]])
    for (const account of [userId, keyIds.get(userId)?.[0] ?? '']) {
      const hash = randomBytes(32)
      await asServer(account, async (client) => {
        await client.query('insert into "billing_accounts" ("user_id") values ($1) on conflict ("user_id") do nothing', [
          account,
        ])
        await client.query('select "user_id" from "billing_accounts" where "user_id" = $1 for no key update', [account])
        const { rows } = await client.query(
          `insert into "api_keys" ("user_id", "name", "key_type", "key_prefix", "expires_at", "credit_limit")
           values ($1, 'x', 'prod', 'km_prod_x', null, null) returning "id"`,
          [account],
        )
        const key = [account, rows[0].id]
        await client.query('insert into "api_key_secrets" ("user_id", "api_key_id", "key_hash") values ($1, $2, $3)', [
          ...key,
          hash,
        ])
        for (const columns of [
          `"name" = 'y', "expires_at" = null, "credit_limit" = 9`,
          '"disabled_at" = null',
          `"key_prefix" = 'z'`,
        ])
          await client.query(`update "api_keys" set ${columns} where "user_id" = $1 and "id" = $2`, key)
        await client.query(
          'update "api_key_secrets" set "saved_at" = keymeter_now() where "user_id" = $1 and "api_key_id" = $2 and "valid_until" is null',
          key,
        )
        await client.query(
          'update "api_key_secrets" set "valid_until" = keymeter_now() + interval \'1 minute\' where "user_id" = $1 and "api_key_id" = $2 and "valid_until" is null',
          key,
        )
        await client.query('insert into "api_key_secrets" ("user_id", "api_key_id", "key_hash") values ($1, $2, $3)', [
          ...key,
          randomBytes(32),
        ])
        await client.query(
          `insert into "api_key_secrets" ("user_id", "api_key_id", "key_hash", "created_at")
           select "user_id", "id", "key_hash", "created_at" from "api_keys" where "user_id" = $1 and "id" = $2 and "key_hash" is not null
           on conflict ("user_id", "key_hash") do nothing`,
          key,
        )
        await client.query(
          `insert into "audit_log" ("user_id", "sequence", "actor", "action", "api_key_id", "detail", "request_id", "client_address", "user_agent", "created_at", "hash")
           values ($1, 1, 'customer', 'key.created', $2, '{}', 'x', null, null, now(), $3)`,
          [...key, hash],
        )
        await client.query('update "billing_accounts" set "audit_length" = 1, "audit_head" = $2 where "user_id" = $1', [
          account,
          hash,
        ])
      })
      expect(await charge(account, hash, 9, 'by the new one')).toMatchObject({ verdict: 'charged' })
      expect(await charge(account, hash, 1, 'over its limit')).toMatchObject({ verdict: 'key_limit_exceeded' })
      await asServer(account, async (client) => {
        await client.query('update "api_keys" set "revoked_at" = keymeter_now() where "user_id" = $1 and "name" = \'y\'', [
          account,
        ])
      })
      expect(await charge(account, hash, 0, 'after its end')).toMatchObject({ verdict: 'revoked' })
    }
    expect(await disagreements({ owner })).toEqual([])
  })

  it('reads what its keys used, charges of the new release included', async () => {
    const [first] = keyIds.get(userId) ?? []
    const charged = await charge(userId, HASH, 7, 'read by the former release')
    expect(charged).toMatchObject({ verdict: 'charged' })
    const { rows } = await owner.query(
      'select billing_cycle_start as start, billing_cycle_end as "end", credits_used::int as used from billing_accounts where user_id = $1',
      [userId],
    )
    const { start, end, used } = rows[0]
    const [keysUsed, accountUsed] = await asServer(userId, async (client) => [
      await client.query(
        `select "api_key_id" as "keyId", sum("credits_charged")::int as "creditsUsed" from "api_key_usage"
          where "user_id" = $1 and "api_key_id" in ($2) and "created_at" >= $3 and "created_at" < $4 group by "api_key_id"`,
        [userId, first, start, end],
      ),
      await client.query(
        `select coalesce(sum("api_key_usage"."credits_charged"), 0)::int as "creditsUsed" from "api_keys"
          inner join "api_key_usage" on "api_key_usage"."user_id" = "api_keys"."user_id" and "api_key_usage"."api_key_id" = "api_keys"."id"
            and "api_key_usage"."created_at" >= $2 and "api_key_usage"."created_at" < $3
          where "api_keys"."user_id" = $1`,
        [userId, start, end],
      ),
    ])
    expect(keysUsed?.rows).toEqual([{ keyId: first, creditsUsed: 12 }])
    expect(accountUsed?.rows).toEqual([{ creditsUsed: used }])
  })

  it('made keys that only its own column knew, and they can be charged', async () => {
    const { rows } = await owner.query('select count(*)::int as count from api_key_secrets where key_hash = $1', [OLD_HASH])
    expect(rows).toEqual([{ count: 1 }])
  })
})
