import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseEnv } from 'node:util'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { withClient } from '../database.ts'
import { DEMO } from '../demo.ts'
import { REPOSITORY } from '../migrate.ts'
import { freePort, isPortFree } from '../ports.ts'
import { loadSecrets } from '../secrets.ts'

const READY = 'Keymeter is ready.'
const POLL_INTERVAL_MS = 50

let dir: string
let ports: { app: number; supabase: number; postgres: number }

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'keymeter-dev-'))
  chmodSync(dir, 0o711)
  ports = { app: await freePort(), supabase: await freePort(), postgres: await freePort() }
})
afterAll(() => {
  rmSync(dir, { recursive: true, force: true })
})

function environment(): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    KEYMETER_LOCAL_DIR: dir,
    PORT: String(ports.app),
    SUPABASE_PORT: String(ports.supabase),
    POSTGRES_PORT: String(ports.postgres),
  }
}

/** Starts a command and collects its output. */
function startProcess(command: string, args: string[], options: { env?: NodeJS.ProcessEnv; detached?: boolean } = {}) {
  const child = spawn(command, args, {
    cwd: REPOSITORY,
    env: { ...environment(), ...options.env },
    detached: options.detached ?? false,
  })
  let output = ''
  child.stdout.on('data', (data) => (output += data))
  child.stderr.on('data', (data) => (output += data))
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  /** Resolves when the command has printed `text`. Rejects if the command ends without printing it. */
  const printed = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const check = () => output.includes(text) && resolve()
      child.stdout.on('data', check)
      child.stderr.on('data', check)
      child.once('close', () => reject(new Error(`The command ended without printing "${text}":\n${output}`)))
      check()
    })
  return { child, ended, printed, output: () => output }
}

/** Starts dev.ts as `pnpm dev` does. */
function startDev(args: string[] = [], env: Record<string, string> = {}) {
  return startProcess(process.execPath, ['packages/local/src/commands/dev.ts', ...args], { env })
}

/** Starts dev.ts, and stops it when the current test ends. */
function dev(args: string[] = [], env: Record<string, string> = {}) {
  const run = startDev(args, env)
  onTestFinished(async () => await stop(run.child, 'SIGTERM'))
  return run
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise((resolve) => child.once('exit', resolve))
  child.kill(signal)
  await exited
}

/** The id of the demo user, in SQL. Another test signs up another user. */
const DEMO_ID = `(select id from auth.users where email = '${DEMO.email}')`

/** Runs SQL as the owner of the embedded database. */
async function query(text: string): Promise<Record<string, unknown>[]> {
  const { MIGRATION_DATABASE_URL: url = '' } = parseEnv(readFileSync(join(dir, 'env'), 'utf8'))
  return await withClient(url, async (client) => (await client.query(text)).rows)
}

async function portsAreFree(): Promise<boolean[]> {
  return await Promise.all(Object.values(ports).map(async (port) => await isPortFree(port)))
}

/** Waits until processes that are not children of the test have ended. Free ports show that these processes have ended. */
async function untilPortsAreFree(): Promise<void> {
  while ((await portsAreFree()).includes(false)) await sleep(POLL_INTERVAL_MS)
}

async function signUp(email: string): Promise<{ status: number; reason?: string }> {
  const response = await fetch(`http://127.0.0.1:${ports.app}/trpc/auth.signup`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email, password: 'a long password' }),
  })
  const body = (await response.json()) as { error?: { data: { reason: string } } }
  return { status: response.status, ...(body.error && { reason: body.error.data.reason }) }
}

// All tests use one data folder. They run in this order, and each needs the data that the previous tests left.
describe('pnpm dev', () => {
  describe('with --seed, in a folder that contains an incomplete database cluster', () => {
    let run: ReturnType<typeof startDev>
    beforeAll(() => {
      loadSecrets(join(dir, 'secrets.json'))
      mkdirSync(join(dir, 'postgres'))
      writeFileSync(join(dir, 'postgres', 'PG_VERSION'), '18\n')
      run = startDev(['--seed'])
    })
    afterAll(async () => await stop(run.child, 'SIGTERM'))

    it('the server of `pnpm dev` does not listen before sign-up works', async () => {
      while ((await fetch(`http://127.0.0.1:${ports.app}/livez`).catch(() => null)) === null) {
        if (run.child.exitCode !== null) throw new Error(run.output())
        await sleep(POLL_INTERVAL_MS)
      }
      expect((await signUp('early@example.com')).status).toBe(200)
      await run.printed(READY)
    })

    it('`pnpm dev` renames an incomplete database cluster and reports it', () => {
      expect(run.output()).toContain('contained an incomplete database cluster')
      expect(readdirSync(dir).some((name) => name.startsWith('postgres.broken-'))).toBe(true)
    })

    it('`pnpm dev --seed` creates a demo account and prints how to sign in', () => {
      expect(run.output()).toContain('Added the demo account demo@example.com.')
      expect(run.output()).toContain('sign in as demo@example.com')
    })

    it('the demo account has every verdict, every key status, every kind of alert and every kind of entry in its ledger, an uncollected settle, and a refusal while credits are held', async () => {
      const verdicts = await query('select distinct verdict from api_key_usage order by verdict')
      expect(verdicts.map(({ verdict }) => verdict)).toEqual([
        'account_suspended',
        'charged',
        'disabled',
        'expired',
        'held',
        'insufficient_credits',
        'key_limit_exceeded',
        'refunded',
        'released',
        'revoked',
        'settled',
      ])
      const holds = await query('select count(*)::int as open from credit_holds where expires_at > keymeter.now()')
      expect(holds).toEqual([{ open: 1 }])
      const [keys] = await query(`
        select count(*) filter (where revoked_at is not null)::int as revoked, count(*) filter (where disabled_at is not null)::int as disabled,
               count(*) filter (where expires_at < now())::int as expired,
               count(*) filter (where expires_at between now() and now() + interval '3 days')::int as "expireSoon",
               (select count(*)::int from api_key_secrets where valid_until > now() + interval '6 days') as "inGrace",
               count(*) filter (where revoked_at is null and disabled_at is null and (expires_at is null or expires_at > now()))::int as active
          from api_keys where user_id = ${DEMO_ID}`)
      expect(keys).toEqual({ revoked: 1, disabled: 1, expired: 1, expireSoon: 1, inGrace: 1, active: 6 })
      const ledger = await query('select distinct kind from ledger_entries order by kind')
      expect(ledger.map(({ kind }) => kind)).toEqual(['plan_change', 'refund', 'refund_top_up', 'take_back', 'top_up'])
      const [alerts] = await query('select count(*)::int as alerts, count(distinct cycle_start)::int as cycles from alerts')
      expect(alerts).toEqual({ alerts: expect.any(Number), cycles: 2 })
      const kinds = await query('select distinct kind from alerts order by kind')
      expect(kinds.map(({ kind }) => kind)).toEqual(['credits_left', 'percent'])
      const settles = await query(
        "select credits_requested - credits_charged as uncollected from api_key_usage where verdict = 'settled' order by 1",
      )
      expect(settles.filter(({ uncollected }) => Number(uncollected) > 0)).toHaveLength(1)
      const refusals = await query(
        "select credits_held from api_key_usage where verdict = 'insufficient_credits' and credits_held > 0",
      )
      expect(refusals.length).toBeGreaterThan(0)
    })

    it('the times of the demo account agree: its keys, its audit log and its usage begin with the account, and end now', async () => {
      const entries = await query(`
        select name, extract(epoch from audit_log.created_at - api_keys.created_at)::float8 as later
          from api_keys left join audit_log on audit_log.api_key_id = api_keys.id and audit_log.action = 'key.created'
         where api_keys.user_id = ${DEMO_ID} order by 1`)
      expect(entries).toHaveLength(9)
      for (const { name, later } of entries) expect([name, Math.round(Number(later))]).toEqual([name, 0])
      const [span] = await query(`
        select min(at) >= min(billing_cycle_anchor) as "afterStart", max(at) <= keymeter.now() as "beforeNow",
               min(at) < keymeter.now() - interval '48 days' as "isLong",
               (select max(created_at) from api_key_usage) > keymeter.now() - interval '1 hour' as "isRecent"
          from billing_accounts, lateral (select user_id, created_at as at from api_key_usage union all select user_id, created_at from audit_log
                                           union all select user_id, created_at from ledger_entries) as times
         where billing_accounts.user_id = ${DEMO_ID} and times.user_id = ${DEMO_ID}`)
      expect(span).toEqual({ afterStart: true, beforeNow: true, isLong: true, isRecent: true })
    })

    it('the demo account has complete audit logs and totals, and leaves the usual clock and no event without its partition', async () => {
      for (const command of ['verify-audit', 'reconcile']) {
        const cli = startProcess(process.execPath, ['apps/cli/src/main.ts', command])
        expect([command, await cli.ended, cli.output()]).toEqual([command, 0, expect.any(String)])
      }
      const [state] = await query(`
        select (select count(*)::int from api_key_usage_default) as "inDefaultPartition",
               pg_get_functiondef('keymeter.now'::regproc) !~ 'setting' as "isUsualClock"`)
      expect(state).toEqual({ inDefaultPartition: 0, isUsualClock: true })
    })

    it('`pnpm dev` serves a tRPC panel that lists the procedures', async () => {
      expect(run.output()).toContain(`http://127.0.0.1:${ports.app}/panel`)
      const panel = await (await fetch(`http://127.0.0.1:${ports.app}/panel`)).text()
      for (const procedure of ['auth.signup', 'auth.provision', 'keys.create', 'keys.list', 'keys.usage', 'keys.revoke']) {
        expect(panel).toContain(procedure)
      }
    })

    it('`pnpm dev` prints the address of the mailbox, which shows a mail about a new password', async () => {
      const mails = `http://127.0.0.1:${ports.app}/dev/mail`
      expect(run.output()).toContain(mails)
      const { SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY: apikey = '' } = parseEnv(readFileSync(join(dir, 'env'), 'utf8'))
      const recovery = await fetch(`${SUPABASE_URL}/auth/v1/recover`, {
        method: 'POST',
        headers: { apikey, 'content-type': 'application/json' },
        body: JSON.stringify({ email: DEMO.email }),
      })
      expect(recovery.status).toBe(200)
      const list = await (await fetch(mails)).text()
      expect(list).toContain(`to ${DEMO.email}`)
      const id = /href="\/dev\/mail\/([^"]+)">Choose a new password/.exec(list)?.[1]
      const content = await (await fetch(`${mails}/${id}/html`)).text()
      expect(content).toContain(`href="http://127.0.0.1:${ports.app}/confirm#token_hash=`)
    })

    it('`pnpm dev` serves the sources of the dashboard and no other file of the workspace', async () => {
      const app = `http://127.0.0.1:${ports.app}`
      expect((await fetch(`${app}/src/main.tsx`)).status).toBe(200)
      const forbidden = [
        join(dir, 'secrets.json'),
        join(REPOSITORY, '.env.example'),
        join(REPOSITORY, 'apps/server/src/env.ts'),
        join(REPOSITORY, 'package.json'),
      ]
      for (const path of forbidden) {
        for (const query of ['', '?raw', '?import&raw', '?url']) {
          const response = await fetch(`${app}/@fs${path}${query}`)
          expect([path, query, response.status]).toEqual([path, query, 403])
        }
      }
    })

    it('`pnpm dev` continues when the user starts it a second time, and the second one fails with the process id of the first', async () => {
      const second = dev()
      expect(await second.ended).toBe(1)
      expect(second.output()).toContain(`process ${run.child.pid}`)
      expect((await fetch(`http://127.0.0.1:${ports.app}/readyz`)).status).toBe(200)
    })

    it('`pnpm dev` stops all its processes on Ctrl-C, even if a dashboard is open in a browser', async () => {
      const client = await (await fetch(`http://127.0.0.1:${ports.app}/@vite/client`)).text()
      const token = /wsToken = "([^"]+)"/.exec(client)?.[1]
      const socket = new WebSocket(`ws://127.0.0.1:${ports.app}/?token=${token}`, 'vite-hmr')
      await new Promise((resolve, reject) => {
        socket.addEventListener('open', resolve)
        socket.addEventListener('error', reject)
      })
      const closed = new Promise((resolve) => socket.addEventListener('close', resolve))
      await stop(run.child, 'SIGINT')
      await closed
      expect(await run.ended).toBe(0)
      expect(run.output()).not.toContain('killed by timeout')
      expect(await portsAreFree()).toEqual([true, true, true])
    })
  })

  it('`pnpm dev` keeps its data over a restart, and leaves no process running when it is killed', async () => {
    const run = dev(['--seed'])
    await run.printed(READY)
    expect(run.output()).toContain('The demo account already exists.')
    expect(await signUp('early@example.com')).toEqual({ status: 409, reason: 'email_taken' })
    await stop(run.child, 'SIGKILL')
    await untilPortsAreFree()
  })

  it('`pnpm dev --confirm-mail` gives a new user no session before the user has confirmed the address', async () => {
    const run = dev(['--confirm-mail'])
    await run.printed(READY)
    const response = await fetch(`http://127.0.0.1:${ports.app}/trpc/auth.signup`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email: 'confirmed@example.com', password: 'a long password' }),
    })
    expect(await response.json()).toMatchObject({ result: { data: { session: null } } })
    expect(await (await fetch(`http://127.0.0.1:${ports.app}/dev/mail`)).text()).toContain('Confirm your e-mail address')
    await stop(run.child, 'SIGTERM')

    const refused = dev(['--confirm-mail', '--seed'])
    expect(await refused.ended).toBe(1)
    expect(refused.output()).toContain('Run pnpm dev --seed first')
  })

  it('`pnpm dev` starts with the data of a killed run, and ends when the npx and pnpm that started it are killed', async () => {
    const command = ['--yes', '--prefer-offline', 'pnpm@12', '--config.verify-deps-before-run=false', 'dev']
    // npx perhaps needs settings from the caller's environment to reach the npm registry.
    const npx = startProcess('npx', command, { env: { ...process.env, ...environment() }, detached: true })
    onTestFinished(async () => {
      npx.child.kill('SIGTERM')
      await untilPortsAreFree()
    })
    await npx.printed(READY)
    expect((await signUp('early@example.com')).status).toBe(409)
    // This kills npx and pnpm. pnpm runs dev.ts in another process group, so the signal does not reach dev.ts.
    process.kill(-Number(npx.child.pid), 'SIGKILL')
    await untilPortsAreFree()
  })

  it('`pnpm dev` continues to run in the background when its shell ends, and stops on SIGTERM', async () => {
    const logFile = join(dir, 'background.log')
    const command = '"$0" packages/local/src/commands/dev.ts > "$1" 2>&1 < /dev/null & echo npx pnpm dev'
    const shell = startProcess('bash', ['-c', command, process.execPath, logFile], { detached: true })
    await shell.ended
    while (!readFileSync(logFile, 'utf8').includes(READY)) await sleep(POLL_INTERVAL_MS)
    expect((await fetch(`http://127.0.0.1:${ports.app}/livez`)).status).toBe(200)
    process.kill(Number(readFileSync(join(dir, 'dev.pid'), 'utf8')), 'SIGTERM')
    await untilPortsAreFree()
  })

  it('`pnpm dev` stops on Ctrl-C even while it starts', async () => {
    const run = dev()
    await run.printed('Starting Supabase Auth')
    await stop(run.child, 'SIGINT')
    expect(await run.ended).toBe(0)
    expect(run.output()).not.toContain(READY)
    expect(await portsAreFree()).toEqual([true, true, true])
  })

  it('`pnpm dev` reports a wrong setting before it starts a process', async () => {
    const faults = [
      [{ LOG_LEVEL: 'bogus' }, 'LOG_LEVEL: '],
      [{ PORT: 'abc' }, 'PORT must be a port number'],
      [{ PORT: String(ports.supabase) }, 'must be three different ports'],
      [{ KEYMETER_KEY_BRAND: 'My_Brand' }, 'KEYMETER_KEY_BRAND: '],
    ] as const
    for (const [env, message] of faults) {
      const run = dev([], env)
      expect(await run.ended).toBe(1)
      expect(run.output()).toContain(message)
      expect(run.output()).not.toMatch(/Starting|was not ready|^ +at /m)
    }
    expect(await portsAreFree()).toEqual([true, true, true])
  })

  it.each(['app', 'supabase', 'postgres'] as const)(
    '`pnpm dev` fails and prints the number of its %s port if another program listens on this port',
    async (which) => {
      const blocker = createServer().listen(ports[which], '127.0.0.1')
      const blocked = dev()
      expect(await blocked.ended).toBe(1)
      expect(blocked.output()).toMatch(new RegExp(`Port ${ports[which]}.* is taken.*=${ports[which] + 1000} pnpm dev`))
      await new Promise((resolve) => blocker.close(resolve))
      expect(await portsAreFree()).toEqual([true, true, true])
    },
  )

  it('`pnpm dev` reports that secrets.json is missing, is damaged or does not match the data', async () => {
    const file = join(dir, 'secrets.json')
    const secrets = readFileSync(file, 'utf8')
    const faults = [
      [null, /secrets\.json is gone.*--reset/],
      ['{', /secrets\.json is damaged.*--reset/],
      ['{}', /secrets\.json is damaged.*--reset/],
      [
        JSON.stringify({ ...JSON.parse(secrets), superuserPassword: 'another' }),
        /rejects the password in secrets\.json.*--reset/,
      ],
    ] as const
    for (const [content, message] of faults) {
      rmSync(file, { force: true })
      if (content !== null) writeFileSync(file, content)
      const run = dev()
      expect(await run.ended).toBe(1)
      expect(run.output()).toMatch(message)
    }
    writeFileSync(file, secrets)
  })

  it('`pnpm dev --reset` deletes the data and the secrets, and fails when Postgres ends by itself', async () => {
    const secrets = readFileSync(join(dir, 'secrets.json'), 'utf8')
    const run = dev(['--reset'])
    await run.printed(READY)
    expect((await signUp('early@example.com')).status).toBe(200)
    expect(readFileSync(join(dir, 'secrets.json'), 'utf8')).not.toBe(secrets)

    process.kill(Number(readFileSync(join(dir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0]), 'SIGINT')
    expect(await run.ended).toBe(1)
    expect(run.output()).toContain('Postgres ended by itself')
    expect(await portsAreFree()).toEqual([true, true, true])
  })

  it('`pnpm dev` starts only the server if the environment names a Supabase project, and does not change the project’s database', async () => {
    const project = {
      DATABASE_URL: 'postgresql://u:p@127.0.0.1:1/d',
      SUPABASE_URL: 'http://127.0.0.1:1',
      SUPABASE_PUBLISHABLE_KEY: 'sb_publishable_x',
    }
    const remote = dev([], project)
    await remote.printed(READY)
    expect(await isPortFree(ports.postgres)).toBe(true)
    expect(await isPortFree(ports.supabase)).toBe(true)
    expect((await fetch(`http://127.0.0.1:${ports.app}/readyz`)).status).toBe(503)
    await stop(remote.child, 'SIGINT')

    for (const flag of ['--reset', '--seed', '--confirm-mail']) {
      const refused = dev([flag], project)
      expect(await refused.ended).toBe(1)
      expect(refused.output()).toContain('--reset, --seed and --confirm-mail change only the embedded stack')
    }
    const blocker = createServer().listen(ports.app, '127.0.0.1')
    const blocked = dev([], project)
    expect(await blocked.ended).toBe(1)
    expect(blocked.output()).toContain(`Port ${ports.app} is taken`)
    await new Promise((resolve) => blocker.close(resolve))

    const incomplete = dev([], { DATABASE_URL: project.DATABASE_URL })
    expect(await incomplete.ended).toBe(1)
    expect(incomplete.output()).toContain('set SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY too')
    expect(readFileSync(join(dir, 'dev.pid'), 'utf8')).toBe('')
  })
})
