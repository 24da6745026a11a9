import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from './ports.ts'
import { startPostgres } from './postgres.ts'
import type { ManagedProcess } from './process.ts'

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
    superuserPassword: 'a password',
    report: (line) => messages.push(line),
  })
  started.push(postgres)
  return postgres
}

describe('the embedded Postgres', () => {
  it('stops a server that an earlier run left behind, and starts on its data', async () => {
    const leftOver = await start()
    const next = await start()
    await leftOver.exited
    expect(messages).toEqual([expect.stringContaining('that an earlier run left behind')])
    await next.stop()
  })

  it.each(['without a port', 'with the port of its last run'])(
    'starts when another program has the process id of its last run: %s',
    async (file) => {
      const stranger = spawn('sleep', ['infinity'])
      const lines = [stranger.pid, join(dir, 'postgres'), 0, port]
      writeFileSync(join(dir, 'postgres', 'postmaster.pid'), `${file === 'without a port' ? stranger.pid : lines.join('\n')}\n`)
      const postgres = await start()
      await postgres.stop()
      expect(stranger.exitCode ?? stranger.signalCode).toBeNull()
      stranger.kill()
    },
  )
})
