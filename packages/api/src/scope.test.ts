import { createServer } from 'node:net'
import { createDb } from '@keymeter/db'
import { withClient } from '@keymeter/local'
import { testDatabase } from '@keymeter/local/testing'
import { sql } from 'kysely'
import { beforeAll, describe, expect, it } from 'vitest'
import { charge, contextOf, provisioned, signedIn } from '../test/caller.ts'
import { inAccount } from './scope.ts'

const database = testDatabase()
let one: Awaited<ReturnType<typeof provisioned>>
let other: Awaited<ReturnType<typeof provisioned>>
beforeAll(async () => {
  one = await provisioned(database)
  other = await provisioned(database)
  for (const { defaultKey } of [one, other]) {
    await charge(database, defaultKey.secret, 5)
  }
  await database.owner.query(
    `insert into usage_by_day select user_id, cycle_start, quarter_hour::date, api_key_id, operation, '{0}', '{5}', '{1}', 0 from usage_by_quarter_hour`,
  )
})

const asOne = <T>(...[accessMode, operation]: [Parameters<typeof inAccount<T>>[1], Parameters<typeof inAccount<T>>[2]]) =>
  inAccount({ ...contextOf(database, null), userId: one.userId }, accessMode, operation)

describe('the database itself', () => {
  const TABLES = [
    'billing_accounts',
    'api_keys',
    'api_key_secrets',
    'api_key_usage',
    'usage_by_cycle',
    'usage_by_quarter_hour',
    'usage_by_day',
    'operations',
    'audit_log',
  ] as const

  it('shows the account of the call alone, to a query that asks for all', async () => {
    for (const table of TABLES) {
      const rows = await asOne('read only', async ({ db }) => await db.selectFrom(table).select('user_id').execute())
      expect(rows.map(({ user_id }) => user_id)).toEqual([one.userId])
    }
  })

  it('shows nothing outside a call, on a fresh connection and on one that has served a call', async () => {
    const db = createDb(database.urls.api, () => {})
    for (const handle of [db, database.db]) {
      for (const table of TABLES) expect(await handle.selectFrom(table).select('user_id').execute()).toEqual([])
    }
    await db.destroy()
  })

  it('refuses to write into another account', async () => {
    await expect(
      asOne(
        'read write',
        async ({ db }) =>
          await db.insertInto('api_keys').values({ user_id: other.userId, name: 'x', key_prefix: 'x' }).execute(),
      ),
    ).rejects.toThrow('row-level security')
    const revoked = await asOne(
      'read write',
      async ({ db }) =>
        await db
          .updateTable('api_keys')
          .set({ revoked_at: new Date() })
          .where('user_id', '=', other.userId)
          .returning('id')
          .execute(),
    )
    expect(revoked).toEqual([])
  })

  it('lets the server change nothing but what it must', async () => {
    const statements = [
      sql`update billing_accounts set credits_per_cycle = 1000000`,
      sql`update billing_accounts set billing_cycle_anchor = now()`,
      sql`insert into billing_accounts (user_id, credits_per_cycle) values (gen_random_uuid(), 5)`,
      sql`update api_keys set user_id = user_id`,
      sql`update api_keys set key_type = 'prod'`,
      sql`delete from api_keys`,
      sql`update api_key_secrets set key_hash = key_hash`,
      sql`update api_key_secrets set api_key_id = api_key_id`,
      sql`delete from api_key_secrets`,
      sql`update audit_log set detail = '{}'`,
      sql`delete from audit_log`,
      sql`update billing_accounts set credits_used = 0`,
      sql`update billing_accounts set suspended_at = null`,
      sql`update api_keys set last_used_at = now()`,
      sql`insert into api_key_usage select * from api_key_usage`,
      sql`insert into usage_by_cycle select * from usage_by_cycle`,
      sql`update usage_by_cycle set credits_charged = 0`,
      sql`delete from usage_by_quarter_hour`,
      sql`delete from operations`,
      sql`update usage_by_day set credits_charged = '{}'`,
      sql`delete from usage_by_day`,
      sql`update billing_accounts set usage_by_day_until = now()`,
      sql`select keymeter.update_usage_by_day('{}', now())`,
      sql`delete from billing_cycles`,
      sql`select * from api_key_usage_default`,
      sql`update api_key_usage set credits_charged = 0`,
      sql`delete from api_key_usage`,
      sql`truncate api_key_usage`,
      sql`select * from auth.users`,
      sql`create table public.mine (id int)`,
    ]
    for (const statement of statements)
      await expect(asOne('read write', async ({ db }) => await statement.execute(db))).rejects.toThrow(/permission denied/)
  })
})

describe('a call', () => {
  it('that fails leaves nothing behind', async () => {
    const failing = asOne('read write', async ({ db, userId }) => {
      await db.updateTable('api_keys').set({ revoked_at: new Date() }).where('user_id', '=', userId).execute()
      throw new Error('after the update')
    })
    await expect(failing).rejects.toThrow('after the update')
    expect((await one.caller.keys.list()).data).toHaveLength(1)
  })

  it('that is a query cannot write', async () => {
    const write = asOne(
      'read only',
      async ({ db }) => await db.updateTable('api_keys').set({ revoked_at: new Date() }).execute(),
    )
    await expect(write).rejects.toThrow('read-only transaction')
  })

  it('answers database_unavailable when Postgres is down, hangs up or says nothing', async () => {
    for (const behave of ['refuse', 'hang up', 'silence'] as const) {
      const server = createServer((socket) => (behave === 'hang up' ? socket.destroy() : socket.on('error', () => {})))
      const port = await new Promise<number>((resolve) =>
        server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
      )
      if (behave === 'refuse') await new Promise((resolve) => server.close(resolve))
      const db = createDb(`postgresql://keymeter_api:none@127.0.0.1:${port}/none`, () => {})
      const caller = await signedIn({ db }, one.userId)
      await expect(caller.keys.list()).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE', reason: 'database_unavailable' })
      await db.destroy()
      server.close()
    }
  })

  it('answers database_unavailable when its connection is terminated under it, and the next one works', async () => {
    const terminated = asOne('read write', async ({ db }) => {
      const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(db)
      // Ending another role's session takes the superuser.
      await withClient(
        database.urls.superuser,
        async (client) => await client.query('select pg_terminate_backend($1)', [rows[0]?.pid]),
      )
      await sql`select 1`.execute(db)
    })
    await expect(terminated).rejects.toMatchObject({ reason: 'database_unavailable' })
    expect((await one.caller.keys.list()).data).toHaveLength(1)
  })

  it('answers database_unavailable when the server’s role may not log in', async () => {
    const db = createDb(database.urls.api.replace(/:[^:@]+@/, ':wrong@'), () => {})
    const caller = await signedIn({ db }, one.userId)
    await expect(caller.keys.list()).rejects.toMatchObject({ reason: 'database_unavailable' })
    await db.destroy()
  })

  it('that waits for a lock too long answers database_unavailable', async () => {
    const blocker = await database.owner.connect()
    await blocker.query('begin')
    await blocker.query('select 1 from billing_accounts where user_id = $1 for update', [one.userId])
    await expect(one.caller.auth.provision()).rejects.toMatchObject({ reason: 'database_unavailable' })
    await blocker.query('rollback')
    blocker.release()
    expect(await one.caller.auth.provision()).toMatchObject({ defaultKey: null })
  })
})
