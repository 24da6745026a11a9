import { ALERT_THRESHOLDS_MAX, CREDITS_GIVEN_MAX } from '@keymeter/contract'
import { withClient } from '@keymeter/local'
import { beforeAll, describe, expect, it } from 'vitest'
import { backend, charge, provisioned } from '../test/caller.ts'
import { reconciledDatabase } from '../test/reconciled-database.ts'
import { verifyAudit } from './maintenance/verify-audit.ts'

const database = reconciledDatabase()
let victim: { userId: string; liveKey: string; revokedKey: string; endedSecret: string; graceSecret: string }
let other: { userId: string; key: string }

beforeAll(async () => {
  const { caller, userId, defaultKey } = await provisioned(database)
  const revoked = await caller.keys.create({ name: 'revoked' })
  await caller.keys.revoke({ id: revoked.id })
  await charge(database, defaultKey.secret, 5)
  // The first secret has ended, the second one is in its grace period, and the third one is the current secret.
  await caller.keys.rotate({ id: defaultKey.id, graceSeconds: 0 })
  await caller.keys.rotate({ id: defaultKey.id, graceSeconds: 3600 })
  await backend(database).operator.grantTopUp({ accountId: userId, credits: 10, idempotencyKey: 'legitimate' })
  const { rows } = await database.owner.query<{ hash: string }>(
    "select encode(key_hash, 'hex') as hash from api_key_secrets where api_key_id = $1 order by created_at, valid_until",
    [defaultKey.id],
  )
  const [endedSecret = '', graceSecret = ''] = rows.map(({ hash }) => hash)
  victim = { userId, liveKey: defaultKey.id, revokedKey: revoked.id, endedSecret, graceSecret }
  const second = await provisioned(database)
  other = { userId: second.userId, key: second.defaultKey.id }
})

/**
 * Runs SQL with the login of the server's role, on the account of the victim.
 *
 * @returns the SQLSTATE of the error, or `no error`.
 */
async function attack(sql: string): Promise<string> {
  const statement = sql
    .replaceAll('$other_key', `'${other.key}'`)
    .replaceAll('$other', `'${other.userId}'`)
    .replaceAll('$live', `'${victim.liveKey}'`)
    .replaceAll('$revoked', `'${victim.revokedKey}'`)
    .replaceAll('$ended', `'\\x${victim.endedSecret}'`)
    .replaceAll('$grace', `'\\x${victim.graceSecret}'`)
    .replaceAll('$victim', `'${victim.userId}'`)
    .replaceAll('$origin', "row('x', null, null)::keymeter.call_origin")
  return await withClient(database.urls.api, async (client) => {
    try {
      await client.query('begin')
      await client.query('select from keymeter.enter_account($1, $1)', [victim.userId])
      await client.query(statement)
      await client.query('commit')
      return NO_ERROR
    } catch (error) {
      return error instanceof Error && 'code' in error ? String(error.code) : String(error)
    }
  })
}

/** Returns the contents of all tables as one text for each table, and all rights on tables, functions and schemas. */
async function contents(): Promise<Record<string, string>> {
  const { rows } = await database.owner.query<{ name: string }>(
    "select oid::regclass::text as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition",
  )
  const all: Record<string, string> = {}
  for (const { name } of rows) {
    const table = await database.owner.query(`select string_agg(t::text, ' ' order by t::text) as text from ${name} as t`)
    all[name] = table.rows[0].text
  }
  expect(Object.keys(all).length).toBeGreaterThan(12)
  const rights = await database.owner.query(
    `select string_agg(acl, ' ' order by acl) as text from (
       select oid::regclass || ': ' || relacl::text as acl from pg_class where relnamespace in ('public'::regnamespace, 'keymeter'::regnamespace)
       union all select oid::regprocedure || ': ' || proacl::text from pg_proc where pronamespace = 'keymeter'::regnamespace
       union all select nspname || ': ' || nspacl::text from pg_namespace) as rights`,
  )
  all['rights'] = rights.rows[0].text
  return all
}

const PERMISSION_DENIED = '42501'
const INVALID_PARAMETER = '22023'
const CHECK = '23514'
const NOT_NULL = '23502'
const FOREIGN_KEY = '23503'
const UNIQUE = '23505'
/** The statement affects no row, because row level security or a condition hides the row. */
const NO_ERROR = 'no error'

const INSERT_SECRET = 'insert into api_key_secrets (user_id, api_key_id, key_hash, key_prefix, idempotency_key, request_hash)'

const ATTACKS: [sqlState: string, sql: string][] = [
  // Credits.
  [INVALID_PARAMETER, `select keymeter.grant_top_up($victim, ${CREDITS_GIVEN_MAX + 1}, 'a', null, $origin)`],
  [INVALID_PARAMETER, "select keymeter.grant_top_up($victim, 9223372036854775807, 'a', null, $origin)"],
  [INVALID_PARAMETER, "select keymeter.grant_top_up($victim, 0, 'a', null, $origin)"],
  [INVALID_PARAMETER, "select keymeter.grant_top_up($victim, -50, 'a', null, $origin)"],
  [INVALID_PARAMETER, "select keymeter.grant_top_up($victim, null, 'a', null, $origin)"],
  [INVALID_PARAMETER, 'select keymeter.grant_top_up($victim, 1, null, null, $origin)'],
  [CHECK, "select keymeter.grant_top_up($victim, 1, '', null, $origin)"],
  [CHECK, "select keymeter.grant_top_up($victim, 1, repeat('a', 256), null, $origin)"],
  [CHECK, "select keymeter.grant_top_up($victim, 1, 'a', repeat('a', 201), $origin)"],
  [NOT_NULL, "select keymeter.grant_top_up($victim, 1, 'a', null, null)"],
  [CHECK, "select keymeter.grant_top_up($victim, 1, 'a', null, row('', null, null)::keymeter.call_origin)"],
  [NO_ERROR, "select keymeter.grant_top_up($victim, 10, 'legitimate', null, $origin)"],
  [NO_ERROR, "select keymeter.grant_top_up($victim, 11, 'legitimate', null, $origin)"],
  [INVALID_PARAMETER, "select keymeter.take_back_top_up($victim, 'legitimate', -1, 'a', null, $origin)"],
  [INVALID_PARAMETER, "select keymeter.take_back_top_up($victim, 'legitimate', 0, 'a', null, $origin)"],
  [INVALID_PARAMETER, `select keymeter.take_back_top_up($victim, 'legitimate', ${CREDITS_GIVEN_MAX + 1}, 'a', null, $origin)`],
  [INVALID_PARAMETER, "select keymeter.take_back_top_up($victim, 'legitimate', null, null, null, $origin)"],
  [CHECK, "select keymeter.take_back_top_up($victim, 'legitimate', 1, '', null, $origin)"],
  [CHECK, "select keymeter.take_back_top_up($victim, 'legitimate', 1, 'a', repeat('a', 201), $origin)"],
  [NOT_NULL, "select keymeter.take_back_top_up($victim, 'legitimate', 1, 'a', null, null)"],
  [NO_ERROR, "select keymeter.take_back_top_up($victim, 'legitimate', 1, 'legitimate', null, $origin)"],
  [NO_ERROR, "select keymeter.take_back_top_up($victim, 'never granted', null, 'a', null, $origin)"],
  [NO_ERROR, "select keymeter.take_back_top_up($other, 'legitimate', null, 'a', null, $origin)"],
  [NO_ERROR, "select keymeter.take_back_top_up(null, 'legitimate', null, 'a', null, $origin)"],
  [NO_ERROR, "select keymeter.change_plan($victim, 'gold', $origin)"],
  [NO_ERROR, 'select keymeter.change_plan($victim, null, $origin)'],
  [NO_ERROR, 'select keymeter.set_suspended($victim, null, $origin)'],
  [NO_ERROR, "select keymeter.create_account($victim, $other, null, sha256('another mailbox'), null, $origin)"],
  [
    FOREIGN_KEY,
    "select keymeter.create_account(gen_random_uuid(), gen_random_uuid(), null, sha256('another mailbox'), null, $origin)",
  ],
  [NOT_NULL, 'select keymeter.create_account(null, $other, null, null, null, $origin)'],
  [PERMISSION_DENIED, "insert into plans values ('gold', 1000000)"],
  [PERMISSION_DENIED, 'update plans set credits_per_cycle = 1000000'],
  [PERMISSION_DENIED, 'update billing_accounts set top_up_balance = 1000000'],
  [PERMISSION_DENIED, 'update billing_accounts set credits_used = 0'],
  [PERMISSION_DENIED, 'update billing_accounts set suspended_at = null'],
  [PERMISSION_DENIED, 'update billing_accounts set user_id = user_id'],
  [
    PERMISSION_DENIED,
    "insert into ledger_entries (user_id, sequence, created_at, cycle_start, kind, credits) values ($victim, 9, now(), now(), 'top_up', 1)",
  ],
  [PERMISSION_DENIED, 'select keymeter.advance_accounts(array[$victim::uuid], now())'],
  [PERMISSION_DENIED, "select keymeter.close_cycles(array[$victim::uuid], 'infinity')"],
  [PERMISSION_DENIED, 'select keymeter.record_balances(null)'],
  // Revoked keys and ended secrets.
  [NO_ERROR, 'update api_keys set revoked_at = null where id = $revoked'],
  [NO_ERROR, "update api_keys set revoked_at = 'infinity' where id = $revoked"],
  [NO_ERROR, "update api_keys set name = 'alive' where id = $revoked"],
  [NO_ERROR, 'select from api_keys where id = $revoked for update'],
  [PERMISSION_DENIED, "update api_keys set revoked_at = 'infinity' where id = $live"],
  [PERMISSION_DENIED, "update api_keys set revoked_at = now() + interval '1 hour' where id = $live"],
  [PERMISSION_DENIED, "update api_keys set revoked_at = now() - interval '1 hour' where id = $live"],
  [PERMISSION_DENIED, 'delete from api_keys where id = $revoked'],
  [PERMISSION_DENIED, 'update api_key_secrets set valid_until = null where key_hash = $ended'],
  [PERMISSION_DENIED, "update api_key_secrets set valid_until = 'infinity'"],
  [PERMISSION_DENIED, 'update api_key_secrets set api_key_id = $live'],
  [PERMISSION_DENIED, 'delete from api_key_secrets'],
  [NO_ERROR, "select keymeter.end_secret($live, false, now() + interval '1 day')"],
  [PERMISSION_DENIED, "select keymeter.end_secret($other_key, true, now() + interval '1 day')"],
  [PERMISSION_DENIED, 'select keymeter.end_secret(null, true, now())'],
  [INVALID_PARAMETER, "select keymeter.end_secret($live, true, now() + interval '7 days 1 minute')"],
  [INVALID_PARAMETER, "select keymeter.end_secret($live, true, 'infinity')"],
  [INVALID_PARAMETER, 'select keymeter.end_secret($live, true, null)'],
  [CHECK, "select keymeter.end_secret($live, true, '-infinity')"],
  [
    PERMISSION_DENIED,
    "insert into api_key_secrets (user_id, api_key_id, key_hash, key_prefix, valid_until) values ($victim, $live, sha256('x'), 'x', now() + interval '1 day')",
  ],
  [UNIQUE, `${INSERT_SECRET} values ($victim, $live, sha256('x'), 'x', null, null)`],
  [PERMISSION_DENIED, `${INSERT_SECRET} values ($victim, $other_key, sha256('x'), 'x', null, null)`],
  [PERMISSION_DENIED, `${INSERT_SECRET} values ($other, $other_key, sha256('x'), 'x', null, null)`],
  [CHECK, `${INSERT_SECRET} values ($victim, $live, 'x', 'x', null, null)`],
  [CHECK, `${INSERT_SECRET} values ($victim, $live, sha256('x'), repeat('x', 33), null, null)`],
  [CHECK, `${INSERT_SECRET} values ($victim, $live, sha256('x'), '', null, null)`],
  [NOT_NULL, `${INSERT_SECRET} values ($victim, $live, sha256('x'), null, null, null)`],
  [CHECK, `${INSERT_SECRET} values ($victim, $live, sha256('x'), 'x', repeat('x', 256), sha256('x'))`],
  [CHECK, `${INSERT_SECRET} values ($victim, $live, sha256('x'), 'x', '', sha256('x'))`],
  [CHECK, `${INSERT_SECRET} values ($victim, $live, sha256('x'), 'x', 'x', 'x')`],
  [CHECK, `${INSERT_SECRET} values ($victim, $live, sha256('x'), 'x', 'x', null)`],
  [CHECK, `${INSERT_SECRET} values ($victim, $live, sha256('x'), 'x', null, sha256('x'))`],
  [PERMISSION_DENIED, "update api_key_secrets set key_prefix = 'km_dev_innocent'"],
  [PERMISSION_DENIED, 'update api_key_secrets set idempotency_key = null, request_hash = null'],
  [
    CHECK,
    "insert into api_key_secrets (user_id, api_key_id, key_hash, key_prefix, created_at) values ($victim, $revoked, sha256('x'), 'x', 'infinity')",
  ],
  [CHECK, "update api_key_secrets set saved_at = 'infinity'"],
  [CHECK, "update api_key_secrets set saved_at = '10000-01-01Z'"],
  // Values that no page can show.
  [CHECK, "update api_keys set expires_at = 'infinity' where id = $live"],
  [CHECK, "update api_keys set expires_at = '-infinity' where id = $live"],
  [CHECK, "update api_keys set expires_at = '10000-01-01Z' where id = $live"],
  [CHECK, "update api_keys set disabled_at = 'infinity' where id = $live"],
  [CHECK, "update api_keys set disabled_at = '0001-01-01Z' where id = $live"],
  [CHECK, "update api_keys set name = '' where id = $live"],
  [CHECK, "update api_keys set name = repeat('x', 65) where id = $live"],
  [NOT_NULL, 'update api_keys set name = null where id = $live'],
  [CHECK, 'update api_keys set credit_limit = -1 where id = $live'],
  [CHECK, 'update api_keys set credit_limit = 9007199254740992 where id = $live'],
  [PERMISSION_DENIED, 'update api_keys set last_used_at = now() where id = $live'],
  [PERMISSION_DENIED, 'update api_keys set created_at = now() where id = $live'],
  [PERMISSION_DENIED, 'update api_keys set user_id = $other where id = $live'],
  [PERMISSION_DENIED, "insert into api_keys (user_id, name) values ($other, 'x')"],
  [PERMISSION_DENIED, "insert into api_keys (user_id, name, revoked_at) values ($victim, 'x', now())"],
  [PERMISSION_DENIED, "insert into api_keys (user_id, id, name) values ($victim, $live, 'x')"],
  [CHECK, "insert into api_keys (user_id, name, created_by, created_at) values ($victim, 'x', $victim, 'infinity')"],
  [CHECK, "insert into api_keys (user_id, name, created_by, created_at) values ($victim, 'x', $victim, '1999-12-31Z')"],
  [CHECK, "insert into api_keys (user_id, name, created_by, key_type) values ($victim, 'x', $victim, 'test')"],
  [CHECK, "update billing_accounts set alert_thresholds = '{NULL}'"],
  [CHECK, "update billing_accounts set alert_thresholds = '{50,NULL,80}'"],
  [CHECK, 'update billing_accounts set alert_thresholds = array(select 1::smallint from generate_series(1, 100000))'],
  [CHECK, `update billing_accounts set alert_thresholds = array(select generate_series(1, ${ALERT_THRESHOLDS_MAX + 1}))`],
  [CHECK, "update billing_accounts set alert_thresholds = '{80,50}'"],
  [CHECK, "update billing_accounts set alert_thresholds = '{1,2,3,4,5,6,7,8,10,9}'"],
  [CHECK, "update billing_accounts set alert_thresholds = '{50,50}'"],
  [CHECK, "update billing_accounts set alert_thresholds = '{0}'"],
  [CHECK, "update billing_accounts set alert_thresholds = '{-1,50}'"],
  [CHECK, "update billing_accounts set alert_thresholds = '{1001}'"],
  [CHECK, "update billing_accounts set alert_thresholds = '{{50,80}}'"],
  [CHECK, "update billing_accounts set alert_thresholds = '[2:3]={50,80}'"],
  [CHECK, 'update billing_accounts set alert_thresholds[2] = null'],
  [CHECK, 'update billing_accounts set alert_thresholds[0] = 7'],
  [NOT_NULL, 'update billing_accounts set alert_thresholds = null'],
  [CHECK, "update billing_accounts set alert_credits_left = '{NULL}'"],
  [CHECK, "update billing_accounts set alert_credits_left = '{100,NULL,0}'"],
  [CHECK, 'update billing_accounts set alert_credits_left = array(select n from generate_series(100000, 1, -1) as n)'],
  [
    CHECK,
    `update billing_accounts set alert_credits_left = array(select n from generate_series(${ALERT_THRESHOLDS_MAX}, 0, -1) as n)`,
  ],
  [CHECK, "update billing_accounts set alert_credits_left = '{0,100}'"],
  [CHECK, "update billing_accounts set alert_credits_left = '{10,9,8,7,6,5,4,3,1,2}'"],
  [CHECK, "update billing_accounts set alert_credits_left = '{100,100}'"],
  [CHECK, "update billing_accounts set alert_credits_left = '{-1}'"],
  [CHECK, "update billing_accounts set alert_credits_left = '{9007199254740992}'"],
  [CHECK, "update billing_accounts set alert_credits_left = '{{100,0}}'"],
  [CHECK, "update billing_accounts set alert_credits_left = '[2:3]={100,0}'"],
  [PERMISSION_DENIED, 'update billing_accounts set alert_period = 0'],
  [
    PERMISSION_DENIED,
    "insert into alerts (user_id, cycle_start, period, kind, threshold, created_at, plan, credits_used, credits_left, credits_granted) values ($victim, now(), 0, 'percent', 50, now(), 'free', 1, 1, 1)",
  ],
  [PERMISSION_DENIED, 'update alerts set period = 0'],
  [PERMISSION_DENIED, 'delete from alerts'],
  [PERMISSION_DENIED, 'select keymeter.begin_alert_period($victim, true)'],
  [PERMISSION_DENIED, 'select keymeter.note_returned_credits(null, 0)'],
  [PERMISSION_DENIED, "select keymeter.record_alerts('{}')"],
  // The audit log.
  [
    PERMISSION_DENIED,
    "insert into audit_log (user_id, sequence, actor, action, detail, request_id, created_at, hash) values ($victim, 99, 'operator', 'account.topped_up', '{}', 'x', now(), sha256('x'))",
  ],
  [PERMISSION_DENIED, 'update billing_accounts set audit_length = 0'],
  [PERMISSION_DENIED, "update billing_accounts set audit_head = sha256('x')"],
  [PERMISSION_DENIED, 'delete from audit_log'],
  [PERMISSION_DENIED, "update audit_log set detail = '{}'"],
  [PERMISSION_DENIED, 'truncate audit_log'],
  [
    PERMISSION_DENIED,
    "select keymeter.append_audit_entry($victim, 'operator', null, 'account.topped_up', null, '{}', $origin, now())",
  ],
  [INVALID_PARAMETER, "select keymeter.record_audit('account.topped_up', $live, '{}', $origin)"],
  [INVALID_PARAMETER, "select keymeter.record_audit('key.revoked', $other_key, '{}', $origin)"],
  [INVALID_PARAMETER, "select keymeter.record_audit('key.revoked', null, '{}', $origin)"],
  [INVALID_PARAMETER, "set app.user_id = ''; select keymeter.record_audit('key.revoked', $live, '{}', $origin)"],
  [CHECK, "select keymeter.record_audit('key.stolen', $live, '{}', $origin)"],
  [CHECK, "select keymeter.record_audit('key.updated', $live, '[]', $origin)"],
  [CHECK, "select keymeter.record_audit('key.updated', $live, 'null', $origin)"],
  [NOT_NULL, "select keymeter.record_audit('key.updated', $live, null, $origin)"],
  [CHECK, "select keymeter.record_audit('key.updated', $live, '{\"a\":1e999}', $origin)"],
  [CHECK, 'select keymeter.record_audit(\'key.updated\', $live, \'{"a":{"b":{"c":{"d":1}}}}\', $origin)'],
  [CHECK, "select keymeter.record_audit('key.updated', $live, json_build_object('a', repeat('x', 4000)), $origin)"],
  [
    CHECK,
    "select keymeter.record_audit('key.updated', $live, ('{\"a\":' || repeat('[', 900) || repeat(']', 900) || '}')::json, $origin)",
  ],
  // Members.
  [PERMISSION_DENIED, "insert into account_members (user_id, member_id, role) values ($victim, $other, 'owner')"],
  [PERMISSION_DENIED, "update account_members set role = 'owner'"],
  [PERMISSION_DENIED, 'delete from account_members'],
  [PERMISSION_DENIED, 'select token_hash from account_invitations'],
  [PERMISSION_DENIED, "update account_invitations set role = 'owner'"],
  [NO_ERROR, 'select keymeter.set_member_role($victim, null, $origin)'],
  [NO_ERROR, "select keymeter.set_member_role($victim, 'viewer', $origin)"],
  [NO_ERROR, "select keymeter.set_member_role($other, 'owner', $origin)"],
  [CHECK, "select keymeter.invite_member(sha256('x'), repeat('x', 255), 'viewer', $origin)"],
  [CHECK, "select keymeter.invite_member(sha256('x'), 'a@example.com', 'king', $origin)"],
  [CHECK, "select keymeter.invite_member('x', 'a@example.com', 'viewer', $origin)"],
  [CHECK, "select keymeter.set_account_name('', $origin)"],
  [CHECK, "select keymeter.set_account_name(repeat('x', 65), $origin)"],
  [PERMISSION_DENIED, 'update billing_accounts set requires_second_factor = false'],
  [PERMISSION_DENIED, 'update billing_accounts set closed_at = null'],
  [PERMISSION_DENIED, 'update api_keys set created_by = $victim'],
  [PERMISSION_DENIED, "insert into api_keys (user_id, name, created_by) values ($victim, 'x', $other)"],
  // The operator's log, and the operator's revoke.
  [PERMISSION_DENIED, 'select * from operator_log'],
  [PERMISSION_DENIED, 'delete from operator_log'],
  [
    PERMISSION_DENIED,
    "insert into operator_log (created_at, request_id, command, os_user, database_user) values (now(), 'x', 'usage', 'x', 'x')",
  ],
  [PERMISSION_DENIED, "select keymeter.record_operator_read('usage', $victim, null, 'x', 'x')"],
  [PERMISSION_DENIED, "select keymeter.revoke_key($victim, $live, 'x', $origin)"],
  // More rights.
  [PERMISSION_DENIED, 'set local row_security = off; select from api_keys'],
  [PERMISSION_DENIED, 'alter table api_keys disable row level security'],
  [PERMISSION_DENIED, 'drop policy "The account of the call" on billing_accounts'],
  [PERMISSION_DENIED, 'create policy mine on billing_accounts to keymeter_api using (true)'],
  [PERMISSION_DENIED, 'alter role keymeter_api bypassrls'],
  [PERMISSION_DENIED, 'grant postgres to keymeter_api'],
  [PERMISSION_DENIED, 'set role postgres'],
  [PERMISSION_DENIED, 'set session authorization postgres'],
  [PERMISSION_DENIED, 'create function keymeter.mine() returns int language sql return 1'],
  [PERMISSION_DENIED, 'create function public.mine() returns int language sql return 1'],
  [
    PERMISSION_DENIED,
    "create or replace function keymeter.now() returns timestamptz language sql as $$ select '2000-01-01Z'::timestamptz $$",
  ],
  // Postgres only warns that nothing was granted.
  [NO_ERROR, 'grant select on api_keys to anon'],
  [NO_ERROR, 'grant execute on function keymeter.create_account to public'],
  [PERMISSION_DENIED, 'select * from auth.users'],
  [PERMISSION_DENIED, 'select * from api_key_usage_default'],
  [PERMISSION_DENIED, 'insert into api_key_usage select * from api_key_usage'],
  [PERMISSION_DENIED, 'delete from api_key_usage'],
  [PERMISSION_DENIED, 'truncate billing_accounts cascade'],
  [PERMISSION_DENIED, 'lock table billing_accounts in access exclusive mode'],
  [PERMISSION_DENIED, "copy api_keys to program 'cat'"],
  [PERMISSION_DENIED, "select pg_read_file('postgresql.conf')"],
  [NO_ERROR, "select keymeter.make_usage_partition('2199-01-01Z')"],
  // A temporary table does not take the place of a table that a function reads.
  [
    INVALID_PARAMETER,
    `create temp table api_keys (user_id uuid, id uuid); insert into pg_temp.api_keys values ($victim, $other_key);
     select keymeter.record_audit('key.revoked', $other_key, '{}', $origin)`,
  ],
]

describe('an attacker with the login of the server’s role', () => {
  it.each(ATTACKS)('gets %s and changes no row and no right with: %s', async (sqlState, sql) => {
    const before = await contents()
    expect(await attack(sql)).toBe(sqlState)
    expect(await contents()).toEqual(before)
  })

  it('cannot make a previous secret work for longer', async () => {
    const secret = async (hash: string) =>
      (
        await database.owner.query<{ hours: number }>(
          'select (extract(epoch from valid_until - now()) / 3600)::float8 as hours from api_key_secrets where key_hash = $1',
          [Buffer.from(hash, 'hex')],
        )
      ).rows[0]?.hours
    expect(await attack("select keymeter.end_secret($live, false, now() + interval '30 minutes')")).toBe(NO_ERROR)
    expect(await secret(victim.graceSecret)).toBeLessThanOrEqual(0.5)
    expect(await attack("select keymeter.end_secret($live, false, now() + interval '2 hours')")).toBe(NO_ERROR)
    expect(await secret(victim.graceSecret)).toBeLessThanOrEqual(0.5)
    expect(await secret(victim.endedSecret)).toBeLessThanOrEqual(0)
  })

  it('cannot write two entries of the audit log that continue the same entry', async () => {
    const record = `select keymeter.record_audit('key.updated', '${victim.liveKey}', '{}', row('x', null, null)::keymeter.call_origin)`
    await withClient(database.urls.api, async (first) => {
      await withClient(database.urls.api, async (second) => {
        for (const client of [first, second]) {
          await client.query(
            'set lock_timeout = 0; set statement_timeout = 0; set idle_in_transaction_session_timeout = 0; begin',
          )
          await client.query('select from keymeter.enter_account($1, $1)', [victim.userId])
        }
        await first.query(record)
        const next = second.query(record)
        // Only a superuser can see whether another role waits.
        await withClient(database.urls.superuser, async (superuser) => {
          const waiting =
            "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%record_audit%'"
          await expect.poll(async () => (await superuser.query(waiting)).rows.length).toBe(1)
        })
        await first.query('commit')
        // The second call waits for the lock of the account, and then continues the entry of the first call.
        await next
        await second.query('commit')
      })
    })
    expect((await verifyAudit(database.ownerDb)).faults).toEqual([])
  })

  it('leaves an entry of the audit log with every credit that it creates or takes back', async () => {
    const entries = async () =>
      (
        await database.owner.query<{ entry: string }>(
          `select actor || ' ' || action || ' ' || detail::text || ' ' || request_id as entry from audit_log where user_id = $1 and actor = 'operator' order by sequence`,
          [victim.userId],
        )
      ).rows.map(({ entry }) => entry)
    await database.owner.query("insert into plans (plan, credits_per_cycle) values ('large', 5000)")
    const before = await entries()
    expect(await attack(`select keymeter.grant_top_up($victim, ${CREDITS_GIVEN_MAX}, 'stolen', 'a "note"', $origin)`)).toBe(
      NO_ERROR,
    )
    expect(await attack("select keymeter.change_plan($victim, 'large', $origin)")).toBe(NO_ERROR)
    expect(await attack('select keymeter.set_suspended($victim, true, $origin)')).toBe(NO_ERROR)
    expect(await attack('select keymeter.set_suspended($victim, false, $origin)')).toBe(NO_ERROR)
    expect(await attack("select keymeter.take_back_top_up($victim, 'legitimate', null, 'stolen back', 'why', $origin)")).toBe(
      NO_ERROR,
    )
    expect((await entries()).slice(before.length)).toEqual([
      `operator account.topped_up {"credits" : ${CREDITS_GIVEN_MAX}, "note" : "a \\"note\\"", "ledgerSequence" : 2} x`,
      expect.stringMatching(
        /^operator account\.plan_changed \{"plan" : "large", "effectiveAt" : "\d{4}-.*Z", "ledgerSequence" : 3\} x$/,
      ),
      'operator account.suspended {} x',
      'operator account.resumed {} x',
      'operator account.top_up_taken_back {"credits" : 10, "creditsSpent" : 0, "note" : "why", "topUpSequence" : 1, "ledgerSequence" : 4} x',
    ])
    expect((await verifyAudit(database.ownerDb)).faults).toEqual([])
  })
})
