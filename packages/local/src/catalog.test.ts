import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { compareSchemas } from './catalog.ts'
import { withClient } from './database.ts'
import { testDatabase } from './testing/index.ts'

const database = testDatabase()
const changed = testDatabase()

const differences = async () =>
  await compareSchemas({ name: 'a', url: database.urls.owner }, { name: 'b', url: changed.urls.owner })

/**
 * Each case names an object, a statement that changes the object, a part of the reported line, and a statement that undoes the
 * change. If the last statement is empty, the case changes a comment, and the test restores the previous comment.
 */
const CHANGES: [object: string, change: string, line: string, undo: string][] = [
  ['the comment of a schema', "comment on schema keymeter is 'x'", 'schema keymeter: ', ''],
  [
    'a right on a schema',
    'grant usage on schema keymeter to anon',
    'schema keymeter: ',
    'revoke usage on schema keymeter from anon',
  ],
  ['an additional table', 'create table extra (id int)', 'relation extra: ', 'drop table extra'],
  [
    'an option of a table',
    'alter table usage_by_cycle set (fillfactor = 90)',
    'relation usage_by_cycle: ',
    'alter table usage_by_cycle set (fillfactor = 80)',
  ],
  [
    'row level security',
    'alter table plans disable row level security',
    'relation plans: ',
    'alter table plans enable row level security',
  ],
  [
    'forced row level security',
    'alter table plans force row level security',
    'relation plans: ',
    'alter table plans no force row level security',
  ],
  [
    'the replica identity',
    'alter table usage_by_day replica identity default',
    'relation usage_by_day: ',
    'alter table usage_by_day replica identity full',
  ],
  ['the comment of a table', "comment on table plans is 'x'", 'relation plans: ', ''],
  ['a right on a table', 'grant select on plans to anon', 'relation plans: ', 'revoke select on plans from anon'],
  [
    'a partition',
    "create table extra partition of api_key_usage for values from ('2000-01-01') to ('2000-02-01')",
    'relation extra: ',
    'drop table extra',
  ],
  [
    'an additional column',
    'alter table plans add column extra int',
    'column plans.extra: ',
    'alter table plans drop column extra',
  ],
  [
    'the type of a column',
    'alter table ledger_entries alter column note type varchar(9)',
    'column ledger_entries.note: ',
    'alter table ledger_entries alter column note type text',
  ],
  [
    'a not-null column',
    'alter table alerts alter column credits_used drop not null',
    'column alerts.credits_used: ',
    'alter table alerts alter column credits_used set not null',
  ],
  [
    'the default of a column',
    "alter table api_keys alter column key_type set default 'prod'",
    'column api_keys.key_type: ',
    "alter table api_keys alter column key_type set default 'dev'",
  ],
  [
    'the statistics of a column (n_distinct)',
    'alter table operations alter column user_id set (n_distinct = 30)',
    'column operations.user_id: ',
    'alter table operations alter column user_id set (n_distinct = 20)',
  ],
  [
    'the storage of a column',
    'alter table usage_by_day alter column charges set storage extended',
    'column usage_by_day.charges: ',
    'alter table usage_by_day alter column charges set storage plain',
  ],
  ['the comment of a column', "comment on column api_keys.expires_at is 'x'", 'column api_keys.expires_at: ', ''],
  [
    'a right on a column',
    'grant update (name) on api_keys to anon',
    'column api_keys.name: ',
    'revoke update (name) on api_keys from anon',
  ],
  [
    'a check of a table',
    'alter table plans add constraint extra check (true)',
    'constraint extra on plans',
    'alter table plans drop constraint extra',
  ],
  [
    'a check of a domain',
    'alter domain keymeter.credits add constraint extra check (value >= 0)',
    'constraint extra on',
    'alter domain keymeter.credits drop constraint extra',
  ],
  ['an index', 'create index extra on plans (created_at)', 'index CREATE INDEX extra', 'drop index extra'],
  [
    'the body of a function',
    "create or replace function keymeter.max_operations() returns int language sql immutable parallel safe set search_path = '' as 'select 101'",
    'FUNCTION keymeter.max_operations()',
    "create or replace function keymeter.max_operations() returns int language sql immutable parallel safe set search_path = '' as $$ select 100 $$",
  ],
  [
    'a setting of a function',
    'alter function keymeter.max_operations set jit = off',
    'FUNCTION keymeter.max_operations()',
    'alter function keymeter.max_operations reset jit',
  ],
  [
    'the comment of a function',
    "comment on function keymeter.now is 'x'",
    'FUNCTION keymeter.now()',
    'comment on function keymeter.now is null',
  ],
  [
    'a right on a function',
    'grant execute on function keymeter.now to anon',
    'FUNCTION keymeter.now()',
    'revoke execute on function keymeter.now from anon',
  ],
  ['an additional type', 'create type keymeter.extra as (id int)', 'type keymeter.extra: ', 'drop type keymeter.extra'],
  [
    'an attribute of a type',
    'alter type keymeter.metering_step add attribute extra int',
    'column keymeter.metering_step.extra: ',
    'alter type keymeter.metering_step drop attribute extra',
  ],
  [
    'a policy',
    'alter policy "Plans belong to no account" on plans using (false)',
    'Plans belong to no account',
    'alter policy "Plans belong to no account" on plans using (true)',
  ],
  [
    'a trigger',
    'create trigger extra before update on plans for each row execute function suppress_redundant_updates_trigger()',
    'trigger CREATE TRIGGER extra',
    'drop trigger extra on plans',
  ],
  [
    'a default right',
    'alter default privileges in schema keymeter grant execute on functions to anon',
    'default rights in keymeter',
    'alter default privileges in schema keymeter revoke execute on functions from anon',
  ],
  ['a plan', "insert into plans values ('extra', 1)", 'plan extra: 1 credits', "delete from plans where plan = 'extra'"],
]

describe('comparison of two databases', () => {
  /** Maps each statement that changes a comment to the statement that restores this comment. */
  const comments = new Map<string, string>()
  beforeAll(async () => {
    for (const [, change] of CHANGES) {
      const [, kind = '', name = ''] = /^comment on (schema|table|column) (\S+)/.exec(change) ?? []
      if (kind === '') continue
      const { rows } = await changed.owner.query<{ comment: string }>(
        kind === 'schema'
          ? "select obj_description(oid, 'pg_namespace') as comment from pg_namespace where nspname = $1"
          : `select col_description(attrelid, attnum) as comment from pg_attribute where attrelid::regclass || '.' || attname = $1
             union all select obj_description(oid, 'pg_class') from pg_class where oid::regclass::text = $1`,
        [name],
      )
      comments.set(change, `comment on ${kind} ${name} is '${(rows[0]?.comment ?? '').replaceAll("'", "''")}'`)
    }
  })

  it('the comparison reports no difference between two databases that the migrations created', async () => {
    expect(await differences()).toEqual([])
  })

  it.each(CHANGES)('the comparison of two databases reports a difference in %s', async (_, change, line, undo) => {
    await changed.owner.query(change)
    const found = await differences()
    await changed.owner.query(comments.get(change) ?? undo)
    expect(found.filter((difference) => difference.includes(line)).length).toBeGreaterThan(0)
    expect(await differences()).toEqual([])
  })

  it('the comparison of two databases reports a difference in the order of the columns', async () => {
    await changed.owner.query('alter table ledger_entries drop column plan; alter table ledger_entries add column plan text')
    expect(await differences()).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^only in a: column ledger_entries\.note: place 13,/),
        expect.stringMatching(/^only in b: column ledger_entries\.note: place 12,/),
      ]),
    )
  })
})

describe('database without its REVOKEs', () => {
  const ROLES = ['anon', 'authenticated', 'service_role']
  beforeAll(async () => {
    await database.owner.query('grant execute on all functions in schema keymeter to public, anon, authenticated, service_role')
  })
  afterAll(async () => {
    await database.owner.query(
      'revoke execute on all functions in schema keymeter from public, anon, authenticated, service_role',
    )
  })

  it.each(ROLES)('the role %s can call no function of Keymeter, even if the REVOKEs were lost', async (role) => {
    const { rows: functions } = await database.owner.query<{ call: string }>(
      `select format('select keymeter.%I(%s)', proname,
                     (select string_agg('null::' || format_type(type, null), ', ' order by n) from unnest(proargtypes) with ordinality as args (type, n))) as call
         from pg_proc where pronamespace = 'keymeter'::regnamespace and prokind = 'f'`,
    )
    expect(functions.length).toBeGreaterThan(30)
    await withClient(database.urls.superuser, async (client) => {
      await client.query(`set session authorization ${role}`)
      for (const { call } of functions)
        await expect(client.query(call)).rejects.toThrow('permission denied for schema keymeter')
    })
  })
})
