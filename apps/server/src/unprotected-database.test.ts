import { connect, createServer, type Server } from 'node:net'
import { freePort, withClient } from '@keymeter/local'
import { serverEnv, testDatabase } from '@keymeter/local/testing'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startMain } from '../test/start-main.ts'

const database = testDatabase()
const AUTH = {
  supabaseUrl: 'http://127.0.0.1:1',
  publishableKey: 'none',
  jwtSecret: 'a secret of the tests, longer than 32 characters',
  serviceKey: 'a-service-key-of-the-tests-32-or-more',
}
const start = async (urls = database.urls) => {
  const port = await freePort()
  return { url: `http://127.0.0.1:${port}`, ...startMain(serverEnv({ urls }, AUTH, port)) }
}

/** The owner of the tables cannot give a table to the server's role. A superuser can. */
const asSuperuser = async (statement: string) =>
  await withClient(database.urls.superuser, async (client) => await client.query(`set search_path = public; ${statement}`))

/** Starts the server. Returns its output and its exit code, or `listening` if it starts. */
async function tryToStart(urls = database.urls): Promise<{ result: number | null | 'listening'; output: string }> {
  const { child, ended, output, wrote } = await start(urls)
  const listening = wrote(/"msg":"listening"/).then(
    () => 'listening' as const,
    () => ended,
  )
  const result = await Promise.race([ended, listening])
  child.kill('SIGKILL')
  await ended
  return { result, output: output() }
}

/** Each case names what is wrong, the statement that causes it, a part of the message, and the statement that undoes it. */
const FAULTS: [what: string, statement: string, message: string, undo: string][] = [
  [
    'PUBLIC can execute a function',
    'grant execute on function keymeter.grant_top_up to public',
    'function keymeter.grant_top_up(account uuid, credits bigint, idempotency_key text, note text, origin keymeter.call_origin): PUBLIC EXECUTE',
    'revoke execute on function keymeter.grant_top_up from public',
  ],
  [
    'anon can use the schema of the functions',
    'grant usage on schema keymeter to anon',
    'schema keymeter: anon USAGE',
    'revoke usage on schema keymeter from anon',
  ],
  [
    'authenticated can read a table',
    'grant select on plans to authenticated',
    'table public.plans: authenticated SELECT',
    'revoke select on plans from authenticated',
  ],
  [
    'service_role can change a column',
    'grant update (name) on api_keys to service_role',
    'column public.api_keys.name: service_role UPDATE',
    'revoke update (name) on api_keys from service_role',
  ],
  [
    'anon can read a partition',
    'grant select on api_key_usage_default to anon',
    'partition public.api_key_usage_default: anon SELECT',
    'revoke select on api_key_usage_default from anon',
  ],
  [
    'a partition has no row level security',
    'alter table api_key_usage_default disable row level security',
    'partition public.api_key_usage_default: row level security is off',
    'alter table api_key_usage_default enable row level security',
  ],
  [
    'a policy is missing',
    'alter policy "The account of the call" on ledger_entries rename to lost',
    'table public.ledger_entries: policy "The account of the call" is missing',
    'alter policy lost on ledger_entries rename to "The account of the call"',
  ],
  [
    'a policy shows all rows',
    'alter policy "The account of the call" on ledger_entries using (true)',
    'table public.ledger_entries: policy "The account of the call" (permissive) for select to keymeter_api using true',
    'alter policy "The account of the call" on ledger_entries using (user_id = (select keymeter.current_account()))',
  ],
  [
    'the server’s role owns a table',
    'alter table plans owner to keymeter_api',
    'role keymeter_api: row level security does not apply to table plans. DATABASE_URL must log in as keymeter_api.',
    'alter table plans owner to postgres',
  ],
  [
    'another policy is for everybody',
    'create policy open on billing_accounts to public using (user_id = (select keymeter.current_account()))',
    'table public.billing_accounts: policy "open" (permissive) for all to public using (user_id = ( SELECT keymeter.current_account() AS current_account))',
    'drop policy open on billing_accounts',
  ],
]

describe('the server on a database that is not protected', () => {
  it.each(FAULTS)('does not start if %s, and names the fault', async (_, statement, message, undo) => {
    await asSuperuser(statement)
    const { result, output } = await tryToStart()
    await asSuperuser(undo)
    expect(result).toBe(1)
    expect(output).toContain(`  ${message}\n`)
    expect(output).toContain('Run "keymeter doctor"')
  })

  it('does not start with the login of the owner, because row level security does not apply to the owner', async () => {
    const { result, output } = await tryToStart({ ...database.urls, api: database.urls.owner })
    expect(result).toBe(1)
    expect(output).toContain('role postgres: row level security does not apply to table')
  })

  it('does not start on a database without migrations', async () => {
    const { result, output } = await tryToStart({ ...database.urls, api: new URL('/postgres', database.urls.owner).href })
    expect(result).toBe(1)
    expect(output).toContain('Run `keymeter migrate`.')
  })

  it('starts if the server’s role has rights that a newer release needs, and if the database contains other tables', async () => {
    await database.owner.query('grant insert on plans to keymeter_api; create table of_the_company (id int)')
    const { child, wrote, ended } = await start()
    await wrote(/"msg":"listening"/)
    child.kill('SIGTERM')
    expect(await ended).toBe(0)
    await database.owner.query('revoke insert on plans from keymeter_api; drop table of_the_company')
  })
})

describe('a database that answers only after the start of the server', () => {
  let proxy: Server | undefined
  let port: number
  beforeAll(async () => {
    port = await freePort()
  })
  afterEach(() => void proxy?.close())
  /** Lets the server reach the database. */
  const open = async () => {
    const upstream = Number(new URL(database.urls.api).port)
    const listening = createServer((socket) => {
      const postgres = connect(upstream, '127.0.0.1')
      socket.pipe(postgres).pipe(socket)
      for (const end of [socket, postgres]) end.on('error', () => {})
    })
    await new Promise<void>((resolve) => listening.listen(port, '127.0.0.1', resolve))
    proxy = listening
  }
  const throughProxy = () => ({ ...database.urls, api: database.urls.api.replace(/:\d+\//, `:${port}/`) })

  it('is used from then on if it is protected', async () => {
    const { child, url, wrote, ended } = await start(throughProxy())
    await wrote(/"msg":"listening"/)
    expect((await fetch(`${url}/readyz`)).status).toBe(503)
    await open()
    await expect.poll(async () => (await fetch(`${url}/readyz`)).status).toBe(200)
    child.kill('SIGTERM')
    expect(await ended).toBe(0)
  })

  it('stops the server with exit code 1 if it is not protected, and the server never becomes ready', async () => {
    const { url, wrote, ended, output } = await start(throughProxy())
    await wrote(/"msg":"listening"/)
    await database.owner.query('grant execute on function keymeter.meter_batch to public')
    await open()
    const readiness = await fetch(`${url}/readyz`).then(
      ({ status }) => status,
      () => 'closed',
    )
    expect(await ended).toBe(1)
    await database.owner.query('revoke execute on function keymeter.meter_batch from public')
    expect([503, 'closed']).toContain(readiness)
    expect(output()).toContain('PUBLIC EXECUTE')
  })
})
