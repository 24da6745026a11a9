import { randomUUID } from 'node:crypto'
import { KEYS_LIVE_MAX } from '@keymeter/contract'
import { insertSecrets, testDatabase } from '@keymeter/local/testing'
import { beforeAll, describe, expect, it } from 'vitest'
import { accessToken, contextOf, provisioned, SERVICE_KEY } from '../test/caller.ts'
import { type RecordedStatement, recordPlans } from '../test/recorded-plans.ts'
import { appRouter } from './router.ts'

const ACCOUNTS = 300
const KEYS_EACH = 100
/** The number of revoked keys of the account that makes the calls. */
const REVOKED = 5_000

const database = testDatabase()
let account: Awaited<ReturnType<typeof provisioned>>
/** The names of the partitions without rows, e.g. the partitions of future months. */
let emptyTables: string[]

const UNKNOWN_INVITATION = `kminv_${'x'.repeat(43)}`
let colleague: Awaited<ReturnType<typeof provisioned>>
let leaver: Awaited<ReturnType<typeof provisioned>>

beforeAll(async () => {
  account = await provisioned(database)
  for (let i = 0; i < 20; i++) await account.caller.keys.create({ name: `key ${i}` })
  const { owner } = database
  await owner.query(
    "insert into auth.users (id, email) select gen_random_uuid(), n || '@example.org' from generate_series(1, $1) n",
    [ACCOUNTS],
  )
  await owner.query(
    'insert into billing_accounts (user_id, credits_per_cycle) select id, 1000 from auth.users on conflict do nothing',
  )
  await owner.query(
    `insert into account_members (user_id, member_id, role, email)
     select user_id, id, 'owner', email from billing_accounts join auth.users on id = user_id on conflict do nothing`,
  )
  colleague = await provisioned(database)
  leaver = await provisioned(database)
  await owner.query("insert into account_members (user_id, member_id, role) values ($1, $2, 'viewer'), ($3, $2, 'owner')", [
    account.userId,
    colleague.userId,
    leaver.userId,
  ])
  await owner.query(
    `insert into account_invitations (user_id, token_hash, email, role, created_at, expires_at)
     select user_id, sha256(user_id::text::bytea), 'guest@example.com', 'viewer', now(), now() + interval '1 day' from billing_accounts`,
  )
  await owner.query(
    `insert into api_keys (user_id, name, created_at)
     select user_id, 'key ' || n, now() - n * interval '1 hour' from billing_accounts, generate_series(1, $1) n where user_id <> $2`,
    [KEYS_EACH, account.userId],
  )
  await owner.query(
    `insert into api_keys (user_id, name, created_at, revoked_at)
     select $1, 'gone ' || n, now() - n * interval '1 hour', now() from generate_series(1, $2) n`,
    [account.userId, REVOKED],
  )
  await insertSecrets(owner)
  await owner.query(
    `insert into usage_by_cycle (user_id, api_key_id, cycle_start, credits_charged, charges)
     select user_id, id, billing_cycle_start, 1, 1 from api_keys join billing_accounts using (user_id)`,
  )
  await owner.query(
    `insert into usage_by_quarter_hour (user_id, api_key_id, cycle_start, operation, quarter_hour, credits_charged, charges)
     select user_id, id, billing_cycle_start, 'default', date_bin('15 minutes', now(), 'epoch'), 1, 1
       from api_keys join billing_accounts using (user_id)`,
  )
  // Insert the rows in the order in which the charge engine writes them.
  await owner.query(
    `insert into usage_by_day
     select user_id, billing_cycle_start, day::date, api_key_id, operation, '{0}', '{1}', '{1}', 0
       from (select * from billing_accounts order by user_id <> $1 limit 60) as billing_accounts,
            generate_series(billing_cycle_start, billing_cycle_start + interval '9 days', interval '1 day') as day,
            lateral (select null::uuid as api_key_id union all
                     (select id from api_keys as keys where keys.user_id = billing_accounts.user_id and revoked_at is null limit 8)) as keys,
            unnest('{default,a,b,c,d,e,f,g,null}'::text[]) as operation
      order by user_id, operation nulls first, api_key_id nulls first, day`,
    [account.userId],
  )
  await owner.query(
    `insert into audit_log (user_id, sequence, actor, actor_id, action, api_key_id, detail, request_id, created_at, hash)
     select user_id, 1000000 + row_number() over (), 'member', user_id, 'key.created', id, '{}', 'x', now(), sha256('x') from api_keys`,
  )
  await owner.query(
    `insert into ledger_entries (user_id, sequence, created_at, cycle_start, kind, credits)
     select user_id, n, now(), billing_cycle_start, 'refund', 1 from billing_accounts, generate_series(1, 50) n`,
  )
  await owner.query(
    `insert into alerts (user_id, cycle_start, period, kind, threshold, created_at, plan, credits_used, credits_left, credits_granted)
     select user_id, billing_cycle_start, 0, 'percent', n, now(), 'free', 1, 1, 1 from billing_accounts, generate_series(1, 10) n`,
  )
  await owner.query('update billing_accounts set last_ledger_sequence = 50')
  await owner.query(
    `insert into api_key_usage (user_id, sequence, created_at, api_key_id, idempotency_key, operation, verdict,
                                credits_requested, credits_charged, remaining, cycle_start, cycle_end)
     select user_id, row_number() over (partition by user_id order by n), now() - (200 - n) * interval '8 hours', api_keys.id,
            'request-' || n, 'default', 'charged', 1, 1, 1, billing_cycle_start, billing_cycle_end
       from api_keys join billing_accounts using (user_id), generate_series(1, 200) as n
      where revoked_at is null and (user_id = $1 or api_keys.id in (select max(id::text)::uuid from api_keys group by user_id))`,
    [account.userId],
  )
  await owner.query('update billing_accounts set last_event_sequence = 200, last_event_at = now() where user_id <> $1', [
    account.userId,
  ])
  await owner.query('update billing_accounts set last_event_sequence = 4200, last_event_at = now() where user_id = $1', [
    account.userId,
  ])
  await owner.query(
    "insert into operations select user_id, 'operation-' || n from billing_accounts, generate_series(1, 50) as n",
  )
  await owner.query(
    `insert into billing_cycles (user_id, cycle_start, cycle_end, plan, credits_granted, credits_used)
     select user_id, billing_cycle_start - n * interval '1 day', billing_cycle_start - (n - 1) * interval '1 day', 'free', 1, 1
       from billing_accounts, generate_series(1, 50) as n`,
  )
  await owner.query(
    `insert into credit_holds (user_id, sequence, api_key_id, operation, credits, cycle_start, created_at, expires_at, outcome, ended_at)
     select user_id, n, gen_random_uuid(), 'default', 1, billing_cycle_start, now(), now() + interval '1 hour',
            case when n > 25 then 'released' end, case when n > 25 then now() end
       from billing_accounts, generate_series(1, 50) as n`,
  )
  await owner.query("insert into plans (plan, credits_per_cycle) select 'plan-' || n, n from generate_series(1, 2000) as n")
  await owner.query('select keymeter.make_usage_partitions()')
  await owner.query('analyze')
  const { rows } = await owner.query<{ name: string }>(
    "select relname as name from pg_class where relispartition and relkind = 'r' and reltuples <= 0",
  )
  emptyTables = rows.map(({ name }) => name)
})

type Caller = ReturnType<typeof appRouter.createCaller>

/** Runs a call. Returns each of its statements with the executed plan, including the statements inside of SQL functions. */
async function statementsOf(call: (caller: Caller) => Promise<unknown>, token?: string): Promise<RecordedStatement[]> {
  const authorization = token ?? (await accessToken(account.userId))
  return await recordPlans(database, async (db) => {
    const context = contextOf({ db }, authorization)
    await call(appRouter.createCaller(context))
    context.usageWatch.close()
  })
}

/**
 * Returns the scans that read a whole table or a whole index. Scans of empty partitions are left out, because Postgres
 * always reads an empty table whole.
 */
function wholeScans(statements: RecordedStatement[]) {
  return statements.flatMap(({ sql, nodes }) =>
    nodes.flatMap((node) => {
      const { 'Node Type': type, 'Relation Name': table = '', 'Index Cond': condition = '' } = node
      const isWhole = type === 'Seq Scan' || (/^(Bitmap )?Index (Only )?Scan$/.test(type) && condition === '')
      return isWhole && !emptyTables.includes(table) ? [{ scan: type, of: table || node['Index Name'], sql }] : []
    }),
  )
}

describe(`every statement uses an index, with ${ACCOUNTS * KEYS_EACH} keys in the database`, () => {
  const own = () => account.defaultKey.id
  const calls: Record<string, (caller: Caller) => Promise<unknown>> = {
    'metering.charge': async ({ metering }) =>
      await metering.charge({ key: account.defaultKey.secret, credits: 1, idempotencyKey: randomUUID() }),
    'metering.hold': async ({ metering }) => void (await held(metering)),
    'metering.settle': async ({ metering }) =>
      await metering.settle({ holdId: await held(metering), credits: 1, idempotencyKey: randomUUID() }),
    'metering.release': async ({ metering }) =>
      await metering.release({ holdId: await held(metering), idempotencyKey: randomUUID() }),
    'metering.refund': async ({ metering }) => {
      const charged = await metering.charge({ key: account.defaultKey.secret, credits: 1, idempotencyKey: randomUUID() })
      const chargeId = 'chargeId' in charged ? (charged.chargeId ?? '') : ''
      expect(await metering.refund({ chargeId, credits: 1, idempotencyKey: randomUUID() })).toMatchObject({
        verdict: 'refunded',
      })
    },
    'accounts.getDeletion': async ({ accounts }) => await accounts.getDeletion(),
    'accounts.list': async ({ accounts }) => await accounts.list(),
    'accounts.open': async ({ accounts }) => await accounts.open().catch(() => {}),
    'accounts.rename': async ({ accounts }) => await accounts.rename({ name: 'renamed' }),
    'accounts.requireSecondFactor': async ({ accounts }) => await accounts.requireSecondFactor({ isRequired: false }),
    'alerts.list': async ({ alerts }) => await alerts.list(),
    'alerts.setThresholds': async ({ alerts }) => await alerts.setThresholds({ thresholds: [90] }),
    'audit.list': async ({ audit }) => await audit.list(),
    'audit.list, one key': async ({ audit }) => await audit.list({ keyId: own(), cursor: 10 }),
    'auth.provision': async ({ auth }) => await auth.provision(),
    'billing.get': async ({ billing }) => await billing.get(),
    'billing.ledger': async ({ billing }) => await billing.ledger(),
    'keys.get': async ({ keys }) => await keys.get({ id: own() }),
    'keys.get, unknown key': async ({ keys }) => await keys.get({ id: randomUUID() }).catch(() => {}),
    'keys.list': async ({ keys }) => await keys.list(),
    'keys.list, the next page': async ({ keys }) =>
      await keys.list({ limit: 5, cursor: (await keys.list({ limit: 5 })).nextCursor }),
    'keys.list, all': async ({ keys }) => await keys.list({ status: 'all', limit: 10 }),
    'keys.list, revoked and searched': async ({ keys }) => await keys.list({ status: 'revoked', search: '499' }),
    'keys.list, by name': async ({ keys }) => await keys.list({ sort: 'name' }),
    'keys.list, by last use': async ({ keys }) => await keys.list({ sort: 'lastUsed', status: 'disabled' }),
    'keys.usage': async ({ keys }) => await keys.usage(),
    'members.invitations': async ({ members }) => await members.invitations(),
    'members.invite': async ({ members }) => await members.invite({ email: 'new@example.com', role: 'viewer' }),
    'members.readInvitation': async ({ members }) =>
      await members.readInvitation({ token: UNKNOWN_INVITATION }).catch(() => {}),
    'members.acceptInvitation': async ({ members }) =>
      await members.acceptInvitation({ token: UNKNOWN_INVITATION }).catch(() => {}),
    'members.revokeInvitation': async ({ members }) => {
      const { rows } = await database.owner.query('select id from account_invitations where user_id = $1 limit 1', [
        account.userId,
      ])
      return await members.revokeInvitation({ invitationId: rows[0].id })
    },
    'members.list': async ({ members }) => await members.list(),
    'members.setRole': async ({ members }) => await members.setRole({ memberId: colleague.userId, role: 'developer' }),
    'members.transferOwnership': async ({ members }) => {
      await members.transferOwnership({ memberId: colleague.userId })
      await database.owner.query("update account_members set role = 'owner' where user_id = $1", [account.userId])
    },
    'members.remove': async ({ members }) => await members.remove({ memberId: colleague.userId }),
    'usage.events': async ({ usage }) => await usage.events(),
    'usage.events, one key, from a cursor': async ({ usage }) =>
      await usage.events({ keyId: own(), cursor: `900000.${Date.now()}`, from: '2026-01-01T00:00:00Z' }),
    'usage.events, refusals, until a moment': async ({ usage }) =>
      await usage.events({ verdicts: ['revoked'], to: new Date(Date.now() - 3_600_000).toISOString() }),
    'usage.events, one request': async ({ usage }) => await usage.events({ idempotencyKey: 'request-5', operation: 'default' }),
    'usage.timeseries': async ({ usage }) => await usage.timeseries(),
    'usage.timeseries, a range': async ({ usage }) =>
      await usage.timeseries({ from: '2026-01-01T00:00:00Z', to: '2027-01-01T00:00:00Z', by: 'operation' }),
    'usage.timeseries, one key': async ({ usage }) => await usage.timeseries({ by: 'operation', keyId: own() }),
    'usage.timeseries, one operation': async ({ usage }) => await usage.timeseries({ operation: 'default' }),
    'usage.watch': async ({ usage }) => {
      for await (const _ of await usage.watch()) return
    },
    'keys.create': async ({ keys }) => await keys.create({ name: 'one more' }),
    'keys.update': async ({ keys }) => await keys.update({ id: own(), name: 'renamed', creditLimit: 9 }),
    'keys.disable': async ({ keys }) => await keys.disable({ id: own() }),
    'keys.enable': async ({ keys }) => await keys.enable({ id: own() }),
    'keys.rotate': async ({ keys }) => await keys.rotate({ id: own() }),
    'keys.replaceLostSecret': async ({ keys }) =>
      await keys.replaceLostSecret({
        id: own(),
        keyPrefix: (await keys.get({ id: own() })).keyPrefix,
        idempotencyKey: randomUUID(),
      }),
    'keys.confirmSecretSaved': async ({ keys }) => await keys.confirmSecretSaved({ id: own() }),
    'keys.endGrace': async ({ keys }) => await keys.endGrace({ id: own() }),
    'keys.revoke': async ({ keys }) => await keys.revoke({ id: own() }),
    'operator.grantTopUp': async ({ operator }) =>
      await operator.grantTopUp({ accountId: account.userId, credits: 1, idempotencyKey: randomUUID() }),
    'operator.takeBackTopUp': async ({ operator }) => {
      const [topUpIdempotencyKey, idempotencyKey] = [randomUUID(), randomUUID()]
      await operator.grantTopUp({ accountId: account.userId, credits: 1, idempotencyKey: topUpIdempotencyKey })
      return await operator.takeBackTopUp({ accountId: account.userId, topUpIdempotencyKey, idempotencyKey })
    },
    'operator.changePlan': async ({ operator }) => await operator.changePlan({ accountId: account.userId, plan: 'free' }),
    'operator.suspend': async ({ operator }) => await operator.suspend({ accountId: account.userId }),
    'operator.resume': async ({ operator }) => await operator.resume({ accountId: account.userId }),
  }
  const held = async (metering: Caller['metering']) => {
    const hold = { key: account.defaultKey.secret, credits: 1, idempotencyKey: randomUUID() }
    const answer = await metering.hold(hold)
    if (answer.verdict !== 'held') throw new Error(`the hold is ${answer.verdict}`)
    return answer.holdId
  }

  it.each(Object.entries(calls))('%s reads no whole table and no whole index', async (name, call) => {
    const isForBackend = /^(operator|metering)\./.test(name)
    const statements = await statementsOf(call, isForBackend ? SERVICE_KEY : undefined)
    expect(statements.length).toBeGreaterThan(1)
    expect(wholeScans(statements)).toEqual([])
  })

  /** The calls after which the caller is no member any more. They are made by `leaver`. */
  const lastCalls: Record<string, (caller: Caller) => Promise<unknown>> = {
    'members.leave': async ({ members }) => await members.leave(),
    'auth.deleteMe': async ({ auth }) => await auth.deleteMe({ confirmation: 'delete', closedAccounts: [leaver.userId] }),
    'accounts.close': async ({ accounts }) => await accounts.close({ confirmation: 'delete' }),
  }
  it.each(Object.entries(lastCalls))('%s reads no whole table and no whole index', async (_, call) => {
    const statements = await statementsOf(call, await accessToken(leaver.userId))
    await database.owner.query(
      "with opened as (update billing_accounts set closed_at = null where user_id = $1) update account_members set role = 'owner', removed_at = null where user_id = $1",
      [leaver.userId],
    )
    expect(wholeScans(statements)).toEqual([])
  })

  it('the tests above call every procedure except auth.signup, which calls only auth.provision, and requests for a mail, which read no table', () => {
    const others = ['auth.signup', 'auth.requestPasswordReset', 'auth.resendConfirmation']
    const paths = Object.keys(appRouter._def.procedures).filter((path) => !others.includes(path))
    const called = [...Object.keys(calls), ...Object.keys(lastCalls)].map((name) => name.split(',')[0])
    expect([...new Set(called)].sort()).toEqual(paths.sort())
  })
})

describe('the check for scans of whole tables and indexes', () => {
  it('finds a scan of a whole table, even in a SQL function that another SQL function calls', async () => {
    const { owner } = database
    const { rows } = await owner.query<{ text: string }>(
      "select pg_get_functiondef('keymeter.account_cycles'::regproc) as text",
    )
    await owner.query(`
      create function keymeter.count_holds() returns bigint language plpgsql stable security definer as
        'begin return (select count(*) from public.usage_by_quarter_hour where credits_charged = 0); end';
      grant execute on function keymeter.count_holds to keymeter_api`)
    await owner.query(
      (rows[0]?.text ?? '').replace('where user_id = account', 'where user_id = account and keymeter.count_holds() = 0'),
    )
    const found = wholeScans(await statementsOf(async ({ billing }) => await billing.get()))
    await owner.query(rows[0]?.text ?? '')
    await owner.query('drop function keymeter.count_holds')
    expect(found.map(({ scan, of }) => [scan, of])).toContainEqual(['Seq Scan', 'usage_by_quarter_hour'])
  })

  it('finds a scan of a whole index', async () => {
    const found = await recordPlans(database, async (db) => {
      await db.selectFrom('plans').select('plan').orderBy('plan').limit(1).execute()
    })
    expect(wholeScans(found)).toMatchObject([{ scan: 'Index Only Scan', of: 'plans' }])
  })
})

describe('the list of keys', () => {
  it.each(['live', 'all', 'revoked'] as const)(
    'the list of %s keys is read from an index in the order of the list, so Postgres sorts only live keys and the keys of the page',
    async (status) => {
      const limit = 10
      const statements = await statementsOf(async ({ keys }) => await keys.list({ status, limit }))
      const list = statements.find(({ sql }) => sql.includes('limit'))
      const sorts = list?.nodes.filter((node) => node['Node Type'].includes('Sort')) ?? []
      for (const { Plans: [sorted] = [] } of sorts)
        expect(sorted?.['Actual Rows']).toBeLessThanOrEqual(KEYS_LIVE_MAX + limit + 1)
      expect(list?.nodes.map((node) => node['Index Name'])).toContain(
        status === 'live' ? 'api_keys_live_idx' : 'api_keys_created_idx',
      )
    },
  )
})

describe('the daily roll-up', () => {
  const [byOperation, byKey] = ['usage_by_day_user_id_operation_day_api_key_id_cycle_start_key', 'usage_by_day_key_idx']
  /** Runs the queries of a chart. Returns the indexes of `usage_by_day` that the queries used, in the order of their use. */
  const indexesOf = async (input: Parameters<Caller['usage']['timeseries']>[0]) => {
    const statements = await statementsOf(async ({ usage }) => await usage.timeseries(input))
    expect(wholeScans(statements)).toEqual([])
    const names = statements.flatMap(({ nodes }) => nodes.flatMap((node) => node['Index Name'] ?? []))
    return [...new Set(names.filter((name) => name.startsWith('usage_by_day_')))]
  }

  it('the largest keys of a range are found with the index by operation, and all other rows of a chart with the index by key, if all rows belong to one account', async () => {
    await database.owner.query('truncate usage_by_day')
    await database.owner.query(
      `insert into usage_by_day
       select user_id, billing_cycle_start, day::date, api_key_id, operation, of_day.quarters, of_day.totals, of_day.totals, 0
         from billing_accounts, generate_series(billing_cycle_start, billing_cycle_end - interval '2 days', interval '1 day') as day,
              (select null::uuid as api_key_id union all select $2::uuid union all select gen_random_uuid() from generate_series(1, 95)) as api_keys,
              (select nullif('operation-' || n, 'operation-0') as operation from generate_series(0, 7) as n) as operations,
              (select array_agg(n::smallint) as quarters, array_agg(n::bigint) as totals from generate_series(0, 30) as n) as of_day
        where user_id = $1 order by random()`,
      [account.userId, account.defaultKey.id],
    )
    await database.owner.query('analyze usage_by_day')
    const midnight = new Date().setUTCHours(0, 0, 0, 0)
    const range = { from: new Date(midnight).toISOString(), to: new Date(midnight + 20 * 86_400_000).toISOString() }
    expect(await indexesOf({ by: 'key', ...range })).toEqual([byOperation, byKey])
    expect(await indexesOf({ by: 'key', operation: 'operation-1' })).toEqual([byOperation, byKey])
    // The largest keys of a cycle are found with `usage_by_cycle`.
    expect(await indexesOf({ by: 'key' })).toEqual([byKey])
    expect(await indexesOf({ by: 'operation' })).toEqual([byKey])
    expect(await indexesOf({ by: 'operation', keyId: account.defaultKey.id })).toEqual([byKey])
  })
})
