import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest'
import { freePort } from './ports.ts'
import { startPostgres } from './postgres.ts'
import type { ManagedProcess } from './process.ts'
import { postgresUser } from './unprivileged.ts'

let dir: string
let port: number
const messages: string[] = []
const started: ManagedProcess[] = []

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'keymeter-postgres-'))
  chmodSync(dir, 0o711)
  port = await freePort()
})
afterAll(async () => {
  for (const postgres of started) await postgres.stop()
  rmSync(dir, { recursive: true, force: true })
})

async function start(): Promise<ManagedProcess> {
  const postgres = await startPostgres({
    dataDir: join(dir, 'postgres'),
    logFile: join(dir, 'postgres.log'),
    port,
    // On this port, the start finds the Postgres of the test run. It has the same password, so a connection to it succeeds. Only
    // its data folder shows that it is the wrong Postgres.
    superuserPassword: inject('cluster').secrets.superuserPassword,
    report: (line) => messages.push(line),
  })
  started.push(postgres)
  return postgres
}

describe('embedded Postgres', () => {
  it('the embedded Postgres stops a Postgres that an earlier run left behind, and starts with the same data', async () => {
    const leftOver = await start()
    const next = await start()
    await leftOver.exited
    expect(messages).toEqual([expect.stringContaining('that an earlier run left behind')])
    await next.stop()
  })

  it.each([
    ['has no port', () => []],
    ['names a closed port', () => [dir, 0, port]],
    ['names the port of another Postgres', () => [dir, 0, inject('cluster').port]],
  ] as const)('Postgres starts even if postmaster.pid has the id of another program and %s', async (_, rest) => {
    // The other program runs as the user of Postgres. Postgres ignores the id of a process that it has no permission to signal,
    // so a program of another user would not prevent a start.
    const stranger = spawn('sleep', ['infinity'], { ...postgresUser(join(dir, 'postgres')), cwd: '/' })
    onTestFinished(() => void stranger.kill())
    writeFileSync(join(dir, 'postgres', 'postmaster.pid'), [stranger.pid, ...rest(), ''].join('\n'))
    const postgres = await start()
    await postgres.stop()
    expect(stranger.exitCode ?? stranger.signalCode).toBeNull()
  })
})
