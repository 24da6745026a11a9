import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { REPOSITORY } from '../migrate.ts'
import { freePort, isPortFree } from '../ports.ts'

let dir: string
let ports: { app: number; supabase: number; postgres: number }
const running: ChildProcess[] = []

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'keymeter-dev-'))
  chmodSync(dir, 0o711)
  ports = { app: await freePort(), supabase: await freePort(), postgres: await freePort() }
})
afterEach(async () => {
  for (const child of running.splice(0)) await stop(child, 'SIGTERM')
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

/** Starts it as `pnpm dev` does, and collects what it prints. */
function dev(args: string[] = [], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, ['packages/local/src/commands/dev.ts', ...args], {
    cwd: REPOSITORY,
    env: { ...environment(), ...env },
  })
  running.push(child)
  let output = ''
  child.stdout.on('data', (data) => (output += data))
  child.stderr.on('data', (data) => (output += data))
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  return { child, ended, output: () => output }
}

async function ready({ child, output }: ReturnType<typeof dev>): Promise<void> {
  while (!output().includes('Keymeter is ready.')) {
    if (child.exitCode !== null) throw new Error(`dev ended:\n${output()}`)
    await sleep(50)
  }
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise((resolve) => child.once('exit', resolve))
  child.kill(signal)
  await exited
}

async function portsAreFree(): Promise<boolean[]> {
  return await Promise.all(Object.values(ports).map(async (port) => await isPortFree(port)))
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

describe('pnpm dev', () => {
  it('listens only once sign-up works, keeps its data over a restart, and stops everything it started', async () => {
    const first = dev(['--seed'])
    while ((await fetch(`http://127.0.0.1:${ports.app}/livez`).catch(() => null)) === null) await sleep(20)
    expect((await signUp('early@example.com')).status).toBe(200)
    await ready(first)
    expect(first.output()).toContain(`http://127.0.0.1:${ports.app}/panel`)
    expect(first.output()).toContain('sign in as demo@example.com')
    const panel = await (await fetch(`http://127.0.0.1:${ports.app}/panel`)).text()
    for (const procedure of ['auth.signup', 'auth.provision', 'keys.create', 'keys.list', 'keys.usage', 'keys.revoke']) {
      expect(panel).toContain(procedure)
    }
    await stop(first.child, 'SIGINT')
    expect(await first.ended).toBe(0)
    expect(await portsAreFree()).toEqual([true, true, true])

    const second = dev(['--seed'])
    await ready(second)
    expect(second.output()).toContain('The demo account is there already.')
    expect(await signUp('early@example.com')).toEqual({ status: 409, reason: 'email_taken' })
    await stop(second.child, 'SIGTERM')
    expect(await portsAreFree()).toEqual([true, true, true])
  })

  it('leaves nothing running when it is killed outright, and starts again', async () => {
    const killed = dev()
    await ready(killed)
    await stop(killed.child, 'SIGKILL')
    await expect.poll(portsAreFree, { timeout: 15_000 }).toEqual([true, true, true])
    await ready(dev())
    expect((await signUp('early@example.com')).status).toBe(409)
  })

  it('stops at once when it is told so while it starts', async () => {
    const run = dev()
    await expect.poll(run.output, { timeout: 20_000 }).toContain('Starting Supabase Auth')
    await stop(run.child, 'SIGINT')
    expect(await run.ended).toBe(0)
    expect(run.output()).not.toContain('Keymeter is ready.')
    expect(await portsAreFree()).toEqual([true, true, true])
  })

  it('stops in a moment though a dashboard is open in development', async () => {
    const run = dev()
    await ready(run)
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
    expect(run.output()).not.toContain('killed by timeout')
  })

  it('names a setting that is wrong, at once', async () => {
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
      expect(run.output()).not.toMatch(/was not ready|^ +at /m)
    }
    expect(await portsAreFree()).toEqual([true, true, true])
  })

  it('ends when the command that started it is killed, though nobody tells it', async () => {
    const launcher = spawn(
      'bash',
      ['-c', 'exec -a npx sh -c \'"$0" packages/local/src/commands/dev.ts; true\' "$0"', process.execPath],
      {
        cwd: REPOSITORY,
        env: environment(),
      },
    )
    let output = ''
    launcher.stdout.on('data', (data) => (output += data))
    await expect.poll(() => output, { timeout: 20_000 }).toContain('Keymeter is ready.')
    launcher.kill('SIGKILL')
    await expect.poll(portsAreFree, { timeout: 15_000 }).toEqual([true, true, true])
  })

  it('runs on when it was put into the background by a shell that has ended since', async () => {
    const shell = spawn(
      'bash',
      [
        '-c',
        '"$0" packages/local/src/commands/dev.ts > "$1" 2>&1 < /dev/null & echo npx pnpm dev',
        process.execPath,
        join(dir, 'background.log'),
      ],
      {
        cwd: REPOSITORY,
        env: environment(),
        detached: true,
      },
    )
    await new Promise((resolve) => shell.once('exit', resolve))
    const log = () => readFileSync(join(dir, 'background.log'), 'utf8')
    await expect.poll(log, { timeout: 20_000 }).toContain('Keymeter is ready.')
    await sleep(1_500)
    expect((await fetch(`http://127.0.0.1:${ports.app}/livez`)).status).toBe(200)
    process.kill(Number(readFileSync(join(dir, 'dev.pid'), 'utf8')), 'SIGTERM')
    await expect.poll(portsAreFree, { timeout: 15_000 }).toEqual([true, true, true])
  })

  it('says which process is in the way when it is running already', async () => {
    const first = dev()
    await ready(first)
    const second = dev()
    expect(await second.ended).toBe(1)
    expect(second.output()).toContain(`process ${first.child.pid}`)
    expect((await fetch(`http://127.0.0.1:${ports.app}/readyz`)).status).toBe(200)
  })

  it.each(['app', 'supabase', 'postgres'] as const)('names the port that is taken: %s', async (which) => {
    const blocker = createServer().listen(ports[which], '127.0.0.1')
    const blocked = dev()
    expect(await blocked.ended).toBe(1)
    expect(blocked.output()).toMatch(new RegExp(`Port ${ports[which]}.* is taken.*=${ports[which] + 1000} pnpm dev`))
    await new Promise((resolve) => blocker.close(resolve))
    expect(await portsAreFree()).toEqual([true, true, true])
  })

  it('puts a half-made data directory aside, and starts over with --reset', async () => {
    rmSync(join(dir, 'postgres'), { recursive: true, force: true })
    mkdirSync(join(dir, 'postgres'), { recursive: true })
    writeFileSync(join(dir, 'postgres', 'PG_VERSION'), '18\n')
    const run = dev()
    await ready(run)
    expect(run.output()).toContain('held no complete database cluster')
    expect(readdirSync(dir).some((name) => name.startsWith('postgres.broken-'))).toBe(true)
    expect((await signUp('again@example.com')).status).toBe(200)
    await stop(run.child, 'SIGINT')

    const secrets = readFileSync(join(dir, 'secrets.json'), 'utf8')
    await ready(dev(['--reset']))
    expect((await signUp('again@example.com')).status).toBe(200)
    expect(readFileSync(join(dir, 'secrets.json'), 'utf8')).not.toBe(secrets)
  })

  it('says so when the secrets are gone, damaged or not those of the data', async () => {
    const file = join(dir, 'secrets.json')
    const secrets = readFileSync(file, 'utf8')
    const faults = [
      [null, /secrets\.json is gone.*--reset/],
      ['{', /secrets\.json is damaged.*--reset/],
      ['{}', /secrets\.json is damaged.*--reset/],
      [
        JSON.stringify({ ...JSON.parse(secrets), superuserPassword: 'another' }),
        /does not take the password of secrets\.json.*--reset/,
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

  it('leaves alone a process that has the number of a Postgres that is gone', async () => {
    const stranger = spawn('sleep', ['60'])
    writeFileSync(join(dir, 'postgres', 'postmaster.pid'), `${stranger.pid}\n`)
    await ready(dev())
    expect(stranger.exitCode).toBeNull()
    stranger.kill()
  })

  it('fails when a part of it ends by itself', async () => {
    const run = dev()
    await ready(run)
    const pid = Number(readFileSync(join(dir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0])
    process.kill(pid, 'SIGINT')
    expect(await run.ended).toBe(1)
    expect(run.output()).toContain('Postgres ended by itself')
    expect(await portsAreFree()).toEqual([true, true, true])
  })

  it('serves the dashboard’s own sources and nothing else of the workspace', async () => {
    await ready(dev())
    const app = `http://127.0.0.1:${ports.app}`
    expect((await fetch(`${app}/src/main.tsx`)).status).toBe(200)
    const private_ = [
      join(dir, 'secrets.json'),
      join(REPOSITORY, '.env.example'),
      join(REPOSITORY, 'apps/server/src/env.ts'),
      join(REPOSITORY, 'package.json'),
    ]
    for (const path of private_) {
      for (const query of ['', '?raw', '?import&raw', '?url']) {
        const response = await fetch(`${app}/@fs${path}${query}`)
        expect([path, query, response.status]).toEqual([path, query, 403])
      }
    }
  })

  it('with a Supabase project in the environment starts the server alone, and leaves the database as it is', async () => {
    const project = {
      DATABASE_URL: 'postgresql://u:p@127.0.0.1:1/d',
      SUPABASE_URL: 'http://127.0.0.1:1',
      SUPABASE_PUBLISHABLE_KEY: 'sb_publishable_x',
    }
    const remote = dev([], project)
    await ready(remote)
    expect(await isPortFree(ports.postgres)).toBe(true)
    expect(await isPortFree(ports.supabase)).toBe(true)
    expect((await fetch(`http://127.0.0.1:${ports.app}/readyz`)).status).toBe(503)
    await stop(remote.child, 'SIGINT')

    for (const flag of ['--reset', '--seed']) {
      const refused = dev([flag], project)
      expect(await refused.ended).toBe(1)
      expect(refused.output()).toContain('a Supabase project is left as it is')
    }
    const blocker = createServer().listen(ports.app, '127.0.0.1')
    const blocked = dev([], project)
    expect(await blocked.ended).toBe(1)
    expect(blocked.output()).toContain(`Port ${ports.app} is taken`)
    await new Promise((resolve) => blocker.close(resolve))

    const incomplete = dev([], { DATABASE_URL: project.DATABASE_URL })
    expect(await incomplete.ended).toBe(1)
    expect(incomplete.output()).toContain('set SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY too')
    expect(existsSync(join(dir, 'dev.pid'))).toBe(false)
  })
})
