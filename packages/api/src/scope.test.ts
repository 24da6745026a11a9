import { createServer } from 'node:net'
import { createDb } from '@keymeter/db'
import { withClient } from '@keymeter/local'
import { sql } from 'kysely'
import { beforeAll, describe, expect, it } from 'vitest'
import { byMember, charge, contextOf, provisioned, signedIn } from '../test/caller.ts'
import { reconciledDatabase } from '../test/reconciled-database.ts'
import { inAccount } from './scope.ts'

const database = reconciledDatabase()
let one: Awaited<ReturnType<typeof provisioned>>
let other: Awaited<ReturnType<typeof provisioned>>
beforeAll(async () => {
  one = await provisioned(database)
  other = await provisioned(database)
  for (const { defaultKey } of [one, other]) {
    await charge(database, defaultKey.secret, 5)
  }
  await database.owner.query(
    `insert into account_invitations (user_id, token_hash, email, role, created_at, expires_at)
     select user_id, sha256(user_id::text::bytea), 'guest@example.com', 'viewer', now(), now() + interval '1 day' from billing_accounts`,
  )
  await database.owner.query('select keymeter.add_to_usage_by_day(array(select usage from usage_by_quarter_hour as usage))')
  await database.owner.query("update billing_accounts set usage_by_day_until = 'infinity', usage_by_day_due_at = 'infinity'")
})

const asOne = <T>(...[accessMode, operation]: [Parameters<typeof inAccount<T>>[1], Parameters<typeof inAccount<T>>[2]]) =>
  inAccount({ ...contextOf(database, null), userId: one.userId, by: byMember(one.userId) }, accessMode, operation)

describe('row level security', () => {
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
    'account_members',
    'account_invitations',
  ] as const

  it('limits a query for all rows to the rows of the account of the call', async () => {
    for (const table of TABLES) {
      const rows = await asOne('read only', async ({ db }) => await db.selectFrom(table).select('user_id').execute())
      expect([...new Set(rows.map(({ user_id }) => user_id))]).toEqual([one.userId])
    }
  })

  it('shows no rows outside of a call, on a new connection or on a connection that was used by a call', async () => {
    const db = createDb(database.urls.api, () => {})
    for (const handle of [db, database.db]) {
      for (const table of TABLES) expect(await handle.selectFrom(table).select('user_id').execute()).toEqual([])
    }
    await db.destroy()
  })

  it('refuses to insert a row of another account, and hides the rows of another account from updates', async () => {
    await expect(
      asOne(
        'read write',
        async ({ db }) => await db.insertInto('api_keys').values({ user_id: other.userId, name: 'x' }).execute(),
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
})

describe('the privileges of the server’s role', () => {
  it('the server’s role cannot change credits, the owner of a key, usage events or the audit log, and cannot read users or the operator’s log', async () => {
    const statements = [
      sql`update billing_accounts set credits_used = 0`,
      sql`update api_keys set user_id = user_id`,
      sql`insert into api_key_usage select * from api_key_usage`,
      sql`delete from audit_log`,
      sql`select * from auth.users`,
      sql`select * from operator_log`,
      sql`create table public.mine (id int)`,
    ]
    for (const statement of statements)
      await expect(asOne('read write', async ({ db }) => await statement.execute(db))).rejects.toThrow(/permission denied/)
  })
})

/**
 * All privileges of the server’s role, whether they were granted to the role itself, to PUBLIC, or to a role of which it is
 * a member. If the role has a privilege on a whole table, the list does not repeat it for the columns.
 */
const PRIVILEGES = `
columns account_invitations: SELECT (accepted_at, accepted_by, created_at, email, expires_at, id, invited_by, revoked_at, role, user_id)
columns api_key_secrets: INSERT (api_key_id, created_at, idempotency_key, key_hash, key_prefix, request_hash, user_id)
columns api_key_secrets: UPDATE (saved_at)
columns api_keys: INSERT (created_at, created_by, credit_limit, expires_at, is_service, key_type, name, user_id)
columns api_keys: UPDATE (credit_limit, disabled_at, expires_at, name, revoked_at)
columns billing_accounts: UPDATE (alert_credits_left, alert_thresholds, next_alert_at_refusal, next_alert_credits_left, next_alert_percent)
database: CONNECT
database: TEMPORARY
function keymeter.accept_invitation
function keymeter.account_cycles
function keymeter.account_time
function keymeter.accounts_of_member
function keymeter.change_plan
function keymeter.close_account
function keymeter.create_account
function keymeter.credits_left_alerts
function keymeter.current_account
function keymeter.current_member
function keymeter.cycle_boundary
function keymeter.cycle_end
function keymeter.cycle_index
function keymeter.deletion_of_member
function keymeter.edit_lock
function keymeter.end_secret
function keymeter.enter_account
function keymeter.find_invitation
function keymeter.grant_top_up
function keymeter.has_been_member
function keymeter.has_closed_account
function keymeter.has_opened_account
function keymeter.idempotency_window
function keymeter.invite_member
function keymeter.is_invited
function keymeter.lock_account
function keymeter.lock_for_call
function keymeter.make_usage_partition
function keymeter.max_credits
function keymeter.max_members
function keymeter.max_open_holds
function keymeter.max_operations
function keymeter.may_change_key
function keymeter.may_change_secrets
function keymeter.meter_batch
function keymeter.missing_usage_partitions
function keymeter.note_member_email
function keymeter.now
function keymeter.record_audit
function keymeter.require_second_factor
function keymeter.revoke_invitation
function keymeter.role_of_call
function keymeter.set_account_name
function keymeter.set_member_role
function keymeter.set_suspended
function keymeter.take_back_top_up
function keymeter.usage_totals
schema keymeter: USAGE
schema public: USAGE
table account_members: SELECT
table alerts: SELECT
table api_key_secrets: SELECT
table api_key_usage: SELECT
table api_keys: SELECT
table audit_log: SELECT
table billing_accounts: SELECT
table billing_cycles: SELECT
table credit_holds: SELECT
table ledger_entries: SELECT
table operations: SELECT
table plans: SELECT
table rate_limits: DELETE
table rate_limits: INSERT
table rate_limits: SELECT
table rate_limits: UPDATE
table usage_by_cycle: SELECT
table usage_by_day: SELECT
table usage_by_quarter_hour: SELECT
table usage_retention: SELECT
`
  .trim()
  .split('\n')

/**
 * Returns the privileges of a role from the database, in the format of `PRIVILEGES`. It omits the functions of a schema
 * that the role cannot use, because the role cannot call them.
 */
async function privilegesOf(role: string, client: Pick<typeof database.owner, 'query'> = database.owner): Promise<string[]> {
  const { rows } = await client.query<{ line: string }>(
    `with schemas as (
       select oid, nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'
     ), relations as (
       select oid, oid::regclass as name, relkind from pg_class where relnamespace in (select oid from schemas)
     ), table_privileges as (
       select unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']
                     || case when current_setting('server_version_num')::int >= 170000 then array['MAINTAIN'] end) as privilege
     )
     select format('database: %s', privilege) as line
       from unnest(array['CREATE', 'CONNECT', 'TEMPORARY']) as privilege where has_database_privilege($1, current_database(), privilege)
     union all
     select format('schema %s: %s', nspname, privilege)
       from schemas, unnest(array['USAGE', 'CREATE']) as privilege where has_schema_privilege($1, oid, privilege)
     union all
     select format('table %s: %s', name, privilege)
       from relations, table_privileges where relkind in ('r', 'p', 'v', 'm', 'f') and has_table_privilege($1, oid, privilege)
     union all
     select format('columns %s: %s (%s)', name, privilege, string_agg(attname, ', ' order by attname))
       from relations
       join pg_attribute on attrelid = oid and attnum > 0 and not attisdropped,
            unnest(array['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) as privilege
      where relkind in ('r', 'p', 'v', 'm', 'f')
        and has_column_privilege($1, oid, attnum, privilege) and not has_table_privilege($1, oid, privilege)
      group by name, privilege
     union all
     select format('sequence %s: %s', name, privilege)
       from relations, unnest(array['USAGE', 'SELECT', 'UPDATE']) as privilege
      where case when relkind = 'S' then has_sequence_privilege($1, oid, privilege) end
     union all
     select format('function %s.%s', pronamespace::regnamespace, proname)
       from pg_proc where pronamespace in (select oid from schemas where has_schema_privilege($1, oid, 'USAGE'))
        and has_function_privilege($1, oid, 'EXECUTE')
     union all
     select format('member of the role %s', roleid::regrole) from pg_auth_members where member = $1::regrole`,
    [role],
  )
  return rows.map(({ line }) => line).sort()
}

describe('the privileges of the server’s role', () => {
  it('the server’s role has exactly the privileges in the list of this file', async () => {
    expect(await privilegesOf('keymeter_api')).toEqual(PRIVILEGES)
  })

  it.each([
    ['grant delete on public.api_keys to keymeter_api', 'table api_keys: DELETE'],
    ['grant update (credits_used) on public.billing_accounts to keymeter_api', 'credits_used'],
    ['grant select on public.api_key_usage_default to public', 'table api_key_usage_default: SELECT'],
    ['grant execute on function keymeter.advance_accounts to public', 'function keymeter.advance_accounts'],
    ['create sequence public.numbers; grant usage on sequence public.numbers to keymeter_api', 'sequence numbers: USAGE'],
    ['grant create on schema keymeter to keymeter_api', 'schema keymeter: CREATE'],
    ['grant anon to keymeter_api', 'member of the role anon'],
  ])('the comparison with the list finds the additional privilege after: %s', async (grant, line) => {
    const client = await database.owner.connect()
    await client.query(`begin; ${grant}`)
    const added = (await privilegesOf('keymeter_api', client)).filter((held) => !PRIVILEGES.includes(held))
    await client.query('rollback')
    client.release()
    expect(added).toEqual([expect.stringContaining(line)])
  })
})

describe('a call', () => {
  it('rolls back everything when it fails', async () => {
    const failing = asOne('read write', async ({ db, userId }) => {
      await db.updateTable('api_keys').set({ revoked_at: new Date() }).where('user_id', '=', userId).execute()
      throw new Error('after the update')
    })
    await expect(failing).rejects.toThrow('after the update')
    expect((await one.caller.keys.list()).data).toHaveLength(1)
  })

  it('cannot write if it is a query', async () => {
    const write = asOne(
      'read only',
      async ({ db }) => await db.updateTable('api_keys').set({ revoked_at: new Date() }).execute(),
    )
    await expect(write).rejects.toThrow('read-only transaction')
  })

  it('answers database_unavailable when Postgres is down, closes the connection or never answers', async () => {
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

  it('answers database_unavailable when its connection is terminated, and the next call works', async () => {
    const terminated = asOne('read write', async ({ db }) => {
      const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(db)
      // Only a superuser can end the session of another role.
      await withClient(
        database.urls.superuser,
        async (client) => await client.query('select pg_terminate_backend($1)', [rows[0]?.pid]),
      )
      await sql`select 1`.execute(db)
    })
    await expect(terminated).rejects.toMatchObject({ reason: 'database_unavailable' })
    expect((await one.caller.keys.list()).data).toHaveLength(1)
  })

  it('answers database_unavailable when the server’s role cannot log in', async () => {
    const db = createDb(database.urls.api.replace(/:[^:@]+@/, ':wrong@'), () => {})
    const caller = await signedIn({ db }, one.userId)
    await expect(caller.keys.list()).rejects.toMatchObject({ reason: 'database_unavailable' })
    await db.destroy()
  })

  it('answers database_unavailable when it waits for a lock longer than lock_timeout', async () => {
    const blocker = await database.owner.connect()
    await blocker.query('begin')
    await blocker.query('select 1 from billing_accounts where user_id = $1 for update', [one.userId])
    await expect(one.caller.auth.provision()).rejects.toMatchObject({ reason: 'database_unavailable' })
    await blocker.query('rollback')
    blocker.release()
    expect(await one.caller.auth.provision()).toMatchObject({ defaultKey: null })
  })
})
