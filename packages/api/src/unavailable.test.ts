import { createDb, type Db, isSessionUnusable, isUnavailable, ping } from '@keymeter/db'
import { withClient } from '@keymeter/local'
import { sql } from 'kysely'
import { pino } from 'pino'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { byMember, contextOf, provisioned } from '../test/caller.ts'
import { reconciledDatabase } from '../test/reconciled-database.ts'
import { Metering } from './metering/metering.ts'
import { inAccount, type Scope } from './scope.ts'

/** The number of connections that the old primary keeps. A batch is sent at most four times. */
const OLD_CONNECTIONS = 8

const database = reconciledDatabase()
const log = pino({ level: 'silent' })
let account: Awaited<ReturnType<typeof provisioned>>
let db: Db
beforeAll(async () => {
  account = await provisioned(database)
})
/** The pool has one connection, so the next call gets the connection of the previous call if the pool keeps it. */
beforeEach(() => {
  db = createDb(database.urls.api, () => {}, { connectionsMax: 1 })
})
afterEach(async () => await db.destroy())

const edit = async <T>(operation: (scope: Scope) => Promise<T>, on = db) =>
  await inAccount(
    { ...contextOf({ db: on }, null), userId: account.userId, by: byMember(account.userId) },
    'read write',
    operation,
  )
const fail = async (sqlState: string) =>
  await edit(async (scope) => {
    await sql.raw(`do $$ begin raise exception 'simulated' using errcode = '${sqlState}'; end $$`).execute(scope.db)
  })
const backend = async (on: Pick<Scope, 'db'> = { db: db as Scope['db'] }): Promise<number> => {
  const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(on.db)
  return rows[0]?.pid ?? 0
}
const rename = async ({ db, userId }: Scope) =>
  await db.updateTable('api_keys').set({ name: 'renamed' }).where('user_id', '=', userId).execute()
const isUnavailableAnswer = { reason: 'database_unavailable' }
const version = async () => Number((await database.owner.query('show server_version_num')).rows[0].server_version_num)

describe('errors of Postgres', () => {
  it.each(['08006', '25006', '25P02', '25P03', '25P04', '57P05', '58030', 'F0000'])(
    'a call that gets SQLSTATE %s is answered database_unavailable, and its connection is not used again',
    async (sqlState) => {
      const before = await backend()
      await expect(fail(sqlState)).rejects.toMatchObject(isUnavailableAnswer)
      expect(await backend()).not.toBe(before)
    },
  )

  it.each(['28000', '53100', '53200', '55P03', '57014', '72000'])(
    'a call that gets SQLSTATE %s is answered database_unavailable, and its connection stays open',
    async (sqlState) => {
      const before = await backend()
      await expect(fail(sqlState)).rejects.toMatchObject(isUnavailableAnswer)
      expect(await backend()).toBe(before)
    },
  )

  it.each(['0A000', '22012', '23514', '42501', '42601', '54000', '55000', 'P0001', 'XX000', 'XX001'])(
    'SQLSTATE %s is an error of the statement, so it stays a bug',
    async (sqlState) => {
      await expect(fail(sqlState)).rejects.toMatchObject({ code: sqlState })
    },
  )

  it('an error after which Postgres closes the connection is an outage, whatever its SQLSTATE is', () => {
    for (const severity of ['FATAL', 'PANIC', 'ERROR']) {
      const error = Object.assign(new Error('max clients reached'), { code: 'XX000', severity })
      expect([isUnavailable(error), isSessionUnusable(error)]).toEqual([severity !== 'ERROR', severity !== 'ERROR'])
    }
  })
})

describe('time limits of a session', () => {
  /** Blocks the event loop, like a process that gets no CPU. Postgres then ends the session before the next statement. */
  const afterBlockedFor = async (limit: string) =>
    await edit(async (scope) => {
      await sql.raw(`set local ${limit} = '100ms'`).execute(scope.db)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000)
      await sql`select 1`.execute(scope.db)
    })

  it('a call that was idle in its transaction for too long (25P03) is answered database_unavailable, and the next call works', async () => {
    await expect(afterBlockedFor('idle_in_transaction_session_timeout')).rejects.toMatchObject({
      ...isUnavailableAnswer,
      cause: { code: '25P03' },
    })
    await edit(rename)
  })

  it('a call whose transaction took too long (25P04) is answered database_unavailable, and the next call works', async ({
    skip,
  }) => {
    if ((await version()) < 170_000) skip('transaction_timeout exists from Postgres 17 on')
    await expect(afterBlockedFor('transaction_timeout')).rejects.toMatchObject({
      ...isUnavailableAnswer,
      cause: { code: '25P04' },
    })
    await edit(rename)
  })

  it('the pool closes a connection at the end of its lifetime', async () => {
    const shortLived = createDb(database.urls.api, () => {}, { connectionsMax: 1, connectionLifetimeSeconds: 1 })
    const first = await backend({ db: shortLived as Scope['db'] })
    await expect.poll(async () => await backend({ db: shortLived as Scope['db'] })).not.toBe(first)
    await shortLived.destroy()
  })
})

describe('a database that accepts no writes', () => {
  const setReadOnly = async (isReadOnly: boolean) =>
    await database.owner.query(
      `alter database ${database.name} ${isReadOnly ? 'set default_transaction_read_only = on' : 'reset default_transaction_read_only'}`,
    )
  /** Returns a pool whose connections all lead to a server that accepts no writes. New connections accept writes. */
  const onOldPrimary = async () => {
    const pool = createDb(database.urls.api, () => {}, { connectionsMax: OLD_CONNECTIONS })
    await setReadOnly(true)
    await Promise.all(Array.from({ length: OLD_CONNECTIONS }, async () => await sql`select pg_sleep(0.2)`.execute(pool)))
    await setReadOnly(false)
    return pool
  }
  afterEach(async () => void (await setReadOnly(false)))

  it('a charge succeeds at its second attempt, even if every connection of the pool leads to the old primary', async () => {
    const pool = await onOldPrimary()
    const metering = new Metering({ db: pool, keyBrand: 'km', log, answeredWithinMs: 60_000 })
    const request = { key: account.defaultKey.secret, credits: 1, idempotencyKey: 'after-failover', operation: 'default' }
    expect(await metering.charge(request)).toMatchObject({ verdict: 'charged', replayed: false })
    await pool.destroy()
  })

  it('only the first edit is answered database_unavailable, even if every connection of the pool leads to the old primary', async () => {
    const pool = await onOldPrimary()
    await expect(edit(rename, pool)).rejects.toMatchObject(isUnavailableAnswer)
    for (let n = 0; n < OLD_CONNECTIONS; n++) await edit(rename, pool)
    await pool.destroy()
  })

  it('a connection to the old primary that is in use is closed after its call', async () => {
    const pool = await onOldPrimary()
    const { promise: hasFailed, resolve: failed } = Promise.withResolvers<void>()
    const reading = edit(async (scope) => {
      const pid = await backend(scope)
      await hasFailed
      return pid
    }, pool)
    await expect(edit(rename, pool)).rejects.toMatchObject(isUnavailableAnswer)
    failed()
    const pid = await reading
    const isOpen = async () =>
      (await database.owner.query('select from pg_stat_activity where pid = $1', [pid])).rows.length > 0
    await expect.poll(isOpen).toBe(false)
    await pool.destroy()
  })

  it('an edit does not override that the database accepts no writes', async () => {
    await setReadOnly(true)
    await expect(edit(rename)).rejects.toMatchObject({ ...isUnavailableAnswer, cause: { code: '25006' } })
  })

  it('`ping` fails while the database accepts no writes, and works on a new connection afterwards', async () => {
    await setReadOnly(true)
    await expect(ping(db)).rejects.toMatchObject({ code: '25006' })
    await setReadOnly(false)
    await ping(db)
  })
})

describe('a database that cannot be reached', () => {
  it('a call is answered database_unavailable if no connection can be opened, whatever the reason is', async () => {
    const { api, superuser } = database.urls
    const away = [
      // The database was dropped, e.g. during a restore (3D000).
      api.replace(database.name, 'no_such_database'),
      // The server offers no encryption.
      `${api}?sslmode=verify-full`,
      api.replace('127.0.0.1', 'no-such-host.invalid'),
    ]
    for (const url of away) {
      const pool = createDb(url, () => {})
      await expect(edit(rename, pool)).rejects.toMatchObject(isUnavailableAnswer)
      await pool.destroy()
    }
    // The role may not connect (42501).
    const setConnect = async (grant: string) =>
      await withClient(superuser, async (client) => await client.query(`${grant} public`))
    await setConnect(`revoke connect on database ${database.name} from`)
    await expect(edit(rename)).rejects.toMatchObject(isUnavailableAnswer)
    await setConnect(`grant connect on database ${database.name} to`)
    await edit(rename)
  })
})
