import { connect, createServer, type Server } from 'node:net'
import { migrate, withClient, withScratchCluster } from '@keymeter/local'
import { testAuth, testDatabase } from '@keymeter/local/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommand } from '../test/run-command.ts'

const database = testDatabase()
const auth = testAuth(database)
const settings = () => ({
  MIGRATION_DATABASE_URL: database.urls.owner,
  DATABASE_URL: database.urls.api,
  SUPABASE_URL: auth.supabaseUrl,
  SUPABASE_PUBLISHABLE_KEY: auth.publishableKey,
  SUPABASE_JWT_SECRET: auth.jwtSecret,
  SMTP_URL: auth.mailbox.smtpUrl,
})

async function doctor(changes: Record<string, string | null> = {}, ...args: string[]) {
  const result = await runCommand(['doctor', ...args], { settings: { ...settings(), ...changes } })
  return { ...result, faults: result.stdout.split('\n').filter((line) => line.startsWith('fault')) }
}

/** Runs SQL with the rights of the superuser, because the owner cannot give a table to another role. */
const change = async (text: string) => await withClient(database.urls.superuser, async (client) => await client.query(text))

describe('keymeter doctor', () => {
  it('the doctor prints one line for each check and exits with code 0 if it finds no fault', async () => {
    const { code, stdout } = await doctor()
    expect(code).toBe(0)
    const lines = stdout.trim().split('\n')
    expect(lines.map((line) => line.slice(0, 31).replace(/ +/g, ' ').trim())).toEqual([
      'ok migrations',
      'ok server role',
      'ok rights of others',
      'ok rows',
      'ok rights of the server',
      'ok functions',
      'ok database settings',
      'ok connection limit',
      'ok clock',
      'ok server connection',
      'ok notifications',
      'ok encryption',
      'ok auth server',
      'ok mail server',
    ])
    const json = await doctor({}, '--json')
    expect(JSON.parse(json.stdout).findings[0]).toEqual({
      name: 'migrations',
      status: 'ok',
      message: expect.stringMatching(/^All \d+ are applied\.$/),
      repair: null,
    })
  })

  it('the doctor skips the checks whose settings are missing, and needs the URL of the owner', async () => {
    const { code, stdout } = await doctor({ DATABASE_URL: null, SUPABASE_URL: null, SMTP_URL: null })
    expect(code).toBe(0)
    expect(stdout).toMatch(/^skipped {2}server connection +DATABASE_URL is not set here\.$/m)
    expect(stdout).toMatch(/^skipped {2}auth server +SUPABASE_URL is not set here\.$/m)
    expect(stdout).toMatch(/^skipped {2}mail server +SMTP_URL is not set here\./m)
    expect(await doctor({ MIGRATION_DATABASE_URL: null })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Set MIGRATION_DATABASE_URL'),
    })
  })

  /** Each case: a statement that causes a fault, the report, the statement that undoes it, and whether `--fix` undoes it too. */
  const FAULTS: [statement: string, report: RegExp, undo: string, isFixable: boolean][] = [
    [
      'grant execute on function keymeter.now to public',
      /rights of others +function keymeter\.now\(\) has: PUBLIC EXECUTE\. Repair: keymeter doctor --fix$/,
      'revoke execute on function keymeter.now from public',
      true,
    ],
    [
      'grant truncate on api_keys to service_role',
      /rights of others +table public\.api_keys has: service_role TRUNCATE\./,
      'revoke truncate on api_keys from service_role',
      true,
    ],
    [
      'grant usage on schema keymeter to authenticated',
      /rights of others +schema keymeter has: authenticated USAGE\./,
      'revoke usage on schema keymeter from authenticated',
      true,
    ],
    [
      'grant select (note) on ledger_entries to anon',
      /rights of others +column public\.ledger_entries\.note has: anon SELECT\./,
      'revoke select (note) on ledger_entries from anon',
      true,
    ],
    [
      'grant delete on api_keys to keymeter_api',
      /rights of the server +table public\.api_keys has: keymeter_api DELETE\./,
      'revoke delete on api_keys from keymeter_api',
      true,
    ],
    [
      'grant select on operator_log to keymeter_api',
      /rights of the server +table public\.operator_log has: keymeter_api SELECT\./,
      'revoke select on operator_log from keymeter_api',
      true,
    ],
    [
      'grant select on plans to keymeter_api with grant option',
      /rights of the server +table public\.plans lacks: keymeter_api SELECT; table public\.plans has: keymeter_api SELECT with grant option\./,
      'revoke grant option for select on plans from keymeter_api',
      true,
    ],
    [
      'revoke execute on function keymeter.meter_batch from keymeter_api',
      /rights of the server +function keymeter\.meter_batch\(.*\) lacks: keymeter_api EXECUTE\./,
      'grant execute on function keymeter.meter_batch to keymeter_api',
      true,
    ],
    [
      'alter function keymeter.grant_top_up security invoker',
      /functions +function keymeter\.grant_top_up\(.*\) lacks: runs with the rights of its owner\. Repair: Compare these functions/,
      'alter function keymeter.grant_top_up security definer',
      false,
    ],
    [
      'alter function keymeter.grant_top_up reset search_path',
      /functions +function keymeter\.grant_top_up\(.*\) has: runs with the rights of its owner and the search_path of the caller\./,
      "alter function keymeter.grant_top_up set search_path = ''",
      false,
    ],
    [
      'alter table alerts disable row level security',
      /rows +table public\.alerts has: row level security is off\./,
      'alter table alerts enable row level security',
      true,
    ],
    [
      'alter table api_key_usage_default disable row level security',
      /rows +partition public\.api_key_usage_default has: row level security is off\./,
      'alter table api_key_usage_default enable row level security',
      true,
    ],
    [
      'drop policy "The account of the call" on alerts',
      /rows +table public\.alerts lacks: policy "The account of the call" \(permissive\) for select to keymeter_api using .*\./,
      'drop policy if exists "The account of the call" on alerts; create policy "The account of the call" on alerts for select to keymeter_api using (user_id = (select keymeter.current_account()))',
      true,
    ],
    [
      'alter policy "The account of the call" on alerts using (true)',
      /rows +table public\.alerts lacks: policy .* has: policy .* using true\./,
      'alter policy "The account of the call" on alerts using (user_id = (select keymeter.current_account()))',
      true,
    ],
    [
      'alter policy "The account of the call" on alerts to anon',
      /rows +table public\.alerts lacks: policy .* has: policy .* to anon using .*\./,
      'alter policy "The account of the call" on alerts to keymeter_api',
      true,
    ],
    [
      'create policy everybody on api_keys to anon using (true)',
      /rows +table public\.api_keys has: policy "everybody" \(permissive\) for all to anon using true\./,
      'drop policy if exists everybody on api_keys',
      true,
    ],
    [
      'create table mine (id int); alter table mine owner to keymeter_api',
      /server role +keymeter_api owns table public\.mine\. Repair: Take this from the role/,
      'drop table mine',
      false,
    ],
    [
      `create or replace function keymeter.cycle_boundary(anchor timestamptz, months int) returns timestamptz language sql immutable parallel safe
         as $$ select anchor + make_interval(months => months) $$`,
      /database settings +The functions of the billing cycles depend on the time zone of a session\./,
      `create or replace function keymeter.cycle_boundary(anchor timestamptz, months int) returns timestamptz
         language plpgsql immutable parallel safe set search_path = ''
         as $$ begin return ((anchor at time zone 'UTC') + make_interval(months => months)) at time zone 'UTC'; end $$`,
      false,
    ],
    [
      "delete from supabase_migrations.schema_migrations where version = '20260501000001'",
      /migrations +1 are not applied: 20260501000001\. Repair: keymeter migrate$/,
      "insert into supabase_migrations.schema_migrations (version) values ('20260501000001')",
      false,
    ],
    [
      "insert into supabase_migrations.schema_migrations (version) values ('29990101000000')",
      /migrations +The database has migrations that this release does not contain: 29990101000000\./,
      "delete from supabase_migrations.schema_migrations where version = '29990101000000'",
      false,
    ],
    [
      'alter schema supabase_migrations rename to moved',
      /migrations +\d+ are not applied: 20260214000001; 20260215000001; 20260215000002; and \d+ more\. Repair: keymeter migrate$/,
      'alter schema moved rename to supabase_migrations',
      false,
    ],
  ]

  it.each(FAULTS)(
    'reports one fault, its repair, and exits with code 1 after: %s',
    async (statement, report, undo, isFixable) => {
      await change(statement)
      try {
        const found = await doctor()
        expect(found.faults).toEqual([expect.stringMatching(report)])
        expect(found.code).toBe(1)
        if (isFixable) expect(await doctor({}, '--fix')).toMatchObject({ code: 0, faults: [] })
      } finally {
        await change(undo)
      }
      expect((await doctor()).faults).toEqual([])
    },
  )
})

describe('keymeter doctor: the role of the server', () => {
  it('the doctor reports a role without timeouts, with additional attributes, without login and with too few connections', async () => {
    await withScratchCluster(async (cluster) => {
      const urls = await cluster.createProject('roles')
      await withClient(urls.owner, async (client) => await client.query('create role keymeter_api'))
      await migrate(urls.owner)
      const only = { MIGRATION_DATABASE_URL: urls.owner, DATABASE_URL: null, SUPABASE_URL: null }
      const superuser = async (text: string) => await withClient(urls.superuser, async (client) => await client.query(text))
      const login = "alter role keymeter_api login password 'x'"
      expect((await doctor(only)).faults).toEqual([
        expect.stringContaining("cannot log in. Repair: alter role keymeter_api login password '…'"),
      ])
      for (const [statement, report, undo] of [
        [
          'alter role keymeter_api bypassrls',
          'keymeter_api bypasses row level security.',
          'alter role keymeter_api nobypassrls',
        ],
        ['alter role keymeter_api superuser', 'keymeter_api is a superuser.', 'alter role keymeter_api nosuperuser'],
        ['alter role keymeter_api createrole', 'keymeter_api can create roles.', 'alter role keymeter_api nocreaterole'],
        ['grant anon to keymeter_api', 'keymeter_api is a member of anon.', 'revoke anon from keymeter_api'],
        [
          'alter role keymeter_api set search_path = mine',
          'has the setting search_path.',
          'alter role keymeter_api reset search_path',
        ],
        ['alter role keymeter_api connection limit 19', 'Postgres allows 19,', 'alter role keymeter_api connection limit 20'],
      ] as const) {
        await superuser(`${login}; ${statement}`)
        expect((await doctor(only)).faults).toEqual([expect.stringContaining(report)])
        await superuser(undo)
      }
      await superuser('alter role keymeter_api reset statement_timeout')
      expect((await doctor(only)).faults).toEqual([
        expect.stringContaining('keymeter_api lacks: has the setting statement_timeout.'),
      ])
      expect(await doctor(only, '--fix')).toMatchObject({ code: 0 })
    })
  })
})

describe('keymeter doctor: connections', () => {
  it('the doctor reports a login that is not the server’s, another database, and a wrong password, which it does not print', async () => {
    expect((await doctor({ DATABASE_URL: database.urls.owner })).faults).toEqual([
      expect.stringMatching(/server connection +DATABASE_URL logs in as postgres\. Repair: Log in as keymeter_api\./),
    ])
    expect((await doctor({ DATABASE_URL: new URL('/postgres', database.urls.api).href })).faults).toEqual([
      expect.stringContaining('lead to different databases.'),
      expect.stringMatching(/notifications +They do not arrive over DATABASE_URL\./),
    ])
    const wrong = await doctor({ DATABASE_URL: database.urls.api.replace(/:[^:@]+@/, ':hidden@') })
    expect(wrong.faults).toEqual([expect.stringMatching(/server connection +DATABASE_URL: password authentication failed/)])
    expect(wrong.stdout).not.toContain('hidden')
  })

  /** A proxy that treats connections like a pooler in transaction mode: it sends its own process ids and loses notifications. */
  let pooler: Server
  const throughPooler = (url: string) => {
    const address = pooler.address()
    if (typeof address !== 'object' || address === null) throw new Error('The pooler has no port.')
    return url.replace(/:\d+\//, `:${address.port}/`)
  }
  beforeAll(async () => {
    const upstream = Number(new URL(database.urls.api).port)
    pooler = createServer((client) => {
      const postgres = connect(upstream, '127.0.0.1')
      for (const end of [client, postgres]) end.on('error', () => {})
      client.pipe(postgres)
      let buffer = Buffer.alloc(0)
      // Each message of Postgres begins with its type and its length.
      postgres.on('data', (data) => {
        buffer = Buffer.concat([buffer, data])
        while (buffer.length >= 5 && buffer.length > buffer.readUInt32BE(1)) {
          const message = Buffer.from(buffer.subarray(0, buffer.readUInt32BE(1) + 1))
          buffer = buffer.subarray(message.length)
          const type = String.fromCharCode(message[0] ?? 0)
          if (type === 'K') message.writeUInt32BE(1, 5)
          if (type !== 'A') client.write(message)
        }
      })
      postgres.on('end', () => client.end())
    })
    await new Promise<void>((resolve) => pooler.listen(0, '127.0.0.1', resolve))
  })
  afterAll(() => void pooler.close())

  it('the doctor reports a pooler that loses notifications, until DATABASE_DIRECT_URL leads around it', async () => {
    const pooled = await doctor({ DATABASE_URL: throughPooler(database.urls.api) })
    expect(pooled.stdout).toContain('DATABASE_URL logs in as keymeter_api, through a pooler.')
    expect(pooled.faults).toEqual([
      expect.stringMatching(
        /notifications +They do not arrive over DATABASE_URL, which leads to a pooler\..* Repair: Set DATABASE_DIRECT_URL/,
      ),
    ])
    const direct = await doctor({ DATABASE_URL: throughPooler(database.urls.api), DATABASE_DIRECT_URL: database.urls.api })
    expect(direct.faults).toEqual([])
    expect(direct.stdout).toContain('They arrive over DATABASE_DIRECT_URL')
  })
})

describe('keymeter doctor: the auth server', () => {
  it('the doctor reports an auth server that does not answer, that is another server, and that publishes no keys', async () => {
    const { port } = new URL(database.urls.owner)
    for (const [changes, report] of [
      [{ SUPABASE_URL: `http://127.0.0.1:${port}` }, /auth server +http:\S+ cannot be used: /],
      [{ SUPABASE_URL: `${auth.supabaseUrl}/elsewhere` }, /auth server +http:\S+\/health answers 4\d\d\./],
      [
        { SUPABASE_JWT_SECRET: null },
        /auth server +It publishes no keys that verify access tokens\. Repair: Set SUPABASE_JWT_SECRET/,
      ],
    ] as const)
      expect((await doctor(changes)).faults).toEqual([expect.stringMatching(report)])
  })
})
