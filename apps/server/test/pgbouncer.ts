import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort, withClient } from '@keymeter/local'
import { endWithThisProcess } from './end-with-this-process.ts'

/** True if PgBouncer is installed. PgBouncer is not a part of this repository. Its Debian package is `pgbouncer`. */
export const isPgbouncerInstalled = spawnSync('pgbouncer', ['--version']).status === 0

/** Starts PgBouncer in transaction mode in front of `databaseUrl`, with a pool of `connections` connections. */
export async function startPgbouncer(databaseUrl: string, connections: number): Promise<{ url: string; stop(): void }> {
  const { hostname, port: postgresPort, pathname, username, password } = new URL(databaseUrl)
  const dir = mkdtempSync(join(tmpdir(), 'keymeter-pgbouncer-'))
  const port = await freePort()
  const config = join(dir, 'pgbouncer.ini')
  const users = join(dir, 'users.txt')
  writeFileSync(users, `"${username}" "${password}"\n`, { mode: 0o600 })
  writeFileSync(
    config,
    `[databases]
* = host=${hostname} port=${postgresPort}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${users}
pool_mode = transaction
default_pool_size = ${connections}
`,
  )
  // PgBouncer does not run as root. If it is started as root, it reads its files and then switches to the user `nobody`.
  const child = spawn('pgbouncer', [...(process.getuid?.() === 0 ? ['-u', 'nobody'] : []), config])
  endWithThisProcess(child)
  let output = ''
  child.stderr.on('data', (data) => (output += data))
  const stop = () => {
    child.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  }
  const url = new URL(databaseUrl)
  url.port = String(port)
  url.pathname = pathname
  const isReady = () =>
    withClient(url.href, async () => true).catch((error: unknown) => {
      output += error
      return false
    })
  while (!(await isReady())) {
    if (child.exitCode !== null) {
      stop()
      throw new Error(`PgBouncer ended: ${output}`)
    }
    await sleep(50)
  }
  return { url: url.href, stop }
}
