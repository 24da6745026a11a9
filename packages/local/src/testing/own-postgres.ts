import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { appendFileSync, chmodSync, chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createDb } from '@keymeter/db'
import pg from 'pg'
import { afterAll, beforeAll, inject } from 'vitest'
import { databaseUrls, withClient } from '../database.ts'
import { freePort } from '../ports.ts'
import type { ManagedProcess } from '../process.ts'
import { createTemplate, startCluster, TEMPLATE_DATABASE } from './global-setup.ts'
import type { TestDatabase } from './index.ts'
import { insertUser } from './insert-user.ts'

const RESTART_PAUSE_MS = 100
const STREAMING = "select from pg_stat_replication where state = 'streaming'"

/** A migrated database without accounts, on a Postgres that no other test file uses. A test may kill this Postgres. */
export interface OwnPostgres extends Pick<TestDatabase, 'urls' | 'owner' | 'ownerDb' | 'createUser'> {
  /**
   * Ends Postgres immediately. SIGKILL ends it like the kernel's out-of-memory killer, and SIGQUIT ends it like
   * `pg_ctl stop -m immediate`.
   */
  kill(signal: 'SIGKILL' | 'SIGQUIT'): Promise<void>
  /** Shuts down in order. A standby that streams from this Postgres receives everything that was committed. */
  stop(): Promise<void>
  start(): Promise<void>
  /** Makes this Postgres a hot standby of `primary` from its next start on. It must be stopped. */
  follow(primary: OwnPostgres): void
  /** Makes a standby a primary. */
  promote(): Promise<void>
  /**
   * Stops every process of Postgres with SIGSTOP. Connections stay open and the kernel accepts new ones, but no query is
   * answered.
   */
  pause(): Promise<void>
  resume(): void
  /** The folder of the cluster. */
  readonly dataDir: string
}

/**
 * Starts a Postgres before the first test of the calling file, and stops it after the last test.
 *
 * @param standbyOf If it is set, the new Postgres is a copy of this one, and streams from it as a hot standby.
 */
export async function ownPostgres(name: string, { standbyOf }: { standbyOf?: OwnPostgres } = {}): Promise<OwnPostgres> {
  const { dir: runDir, secrets } = inject('cluster')
  const dir = join(runDir, name)
  const dataDir = join(dir, 'postgres')
  const port = await freePort()
  const urls = databaseUrls(port, TEMPLATE_DATABASE, secrets)
  const owner = new pg.Pool({ connectionString: urls.owner })
  owner.on('error', () => {}).on('connect', (client) => client.on('error', () => {}))
  const ownerDb = createDb(urls.owner, () => {}, { queryTimeoutMs: 0 })
  let running: ManagedProcess | null = null

  const start = async () => {
    while (running === null) {
      try {
        running = await startCluster(dir, port, secrets)
      } catch (error) {
        // Sessions of a killed server use its shared memory until they notice that the server is gone. Until then, a new server
        // does not start.
        if (!String(error).includes('shared memory block')) throw error
        await sleep(RESTART_PAUSE_MS)
      }
    }
  }
  const kill = async (signal: 'SIGKILL' | 'SIGQUIT') => {
    process.kill(postmaster(), signal)
    await running?.exited
    running = null
  }
  const stop = async () => {
    await running?.stop()
    running = null
  }
  const follow = (primary: OwnPostgres) => {
    const { hostname, port: primaryPort, username, password } = new URL(primary.urls.superuser)
    const connection = `host=${hostname} port=${primaryPort} user=${username} password=${password}`
    appendFileSync(join(dataDir, 'postgresql.auto.conf'), `primary_conninfo = '${connection}'\n`)
    const signal = join(dataDir, 'standby.signal')
    writeFileSync(signal, '')
    // If root runs the tests, Postgres runs as another user.
    const { uid, gid } = statSync(dataDir)
    chownSync(signal, uid, gid)
  }
  const promote = async () =>
    await withClient(urls.superuser, async (client) => void (await client.query('select pg_promote()')))
  const postmaster = () => Number(readFileSync(join(dataDir, 'postmaster.pid'), 'utf8').split('\n')[0])
  const paused: number[] = []
  const freeze = (pid: number) => {
    paused.push(pid)
    process.kill(pid, 'SIGSTOP')
  }
  const pause = async () => {
    const others = await withClient(urls.superuser, async (client) => {
      // Stop the postmaster first. Otherwise it could start a new process after this query, and the new process would not be
      // stopped.
      freeze(postmaster())
      const { rows } = await client.query<{ pid: number }>('select pid from pg_stat_activity where pid <> pg_backend_pid()')
      return rows.map(({ pid }) => pid)
    })
    for (const pid of others) freeze(pid)
  }
  const resume = () => {
    for (const pid of paused.splice(0).reverse()) process.kill(pid, 'SIGCONT')
  }
  beforeAll(async () => {
    mkdirSync(dir, { recursive: true })
    chmodSync(dir, 0o711)
    if (standbyOf === undefined) {
      await start()
      await createTemplate(dir, port, secrets)
      return
    }
    await standbyOf.stop()
    execFileSync('cp', ['-a', standbyOf.dataDir, dataDir])
    follow(standbyOf)
    await standbyOf.start()
    await start()
    const isStreaming = async () =>
      await withClient(standbyOf.urls.superuser, async (client) => (await client.query(STREAMING)).rows.length > 0)
    while (!(await isStreaming())) await sleep(RESTART_PAUSE_MS)
  })
  afterAll(async () => {
    resume()
    await owner.end()
    await ownerDb.destroy()
    await stop()
  })
  const createUser = async (id: string = randomUUID()) => await insertUser(owner, id)
  return { urls, owner, ownerDb, createUser, kill, stop, start, follow, promote, pause, resume, dataDir }
}
