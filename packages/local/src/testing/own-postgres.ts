import { chmodSync, mkdirSync, readFileSync } from 'node:fs'
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

const RESTART_PAUSE_MS = 100

/** A migrated database without accounts, on a Postgres that no other test file uses. A test may kill this Postgres. */
export interface OwnPostgres extends Pick<TestDatabase, 'urls' | 'owner' | 'ownerDb' | 'createUser'> {
  /**
   * Ends Postgres immediately. SIGKILL ends it like the kernel's out-of-memory killer, and SIGQUIT ends it like
   * `pg_ctl stop -m immediate`.
   */
  kill(signal: 'SIGKILL' | 'SIGQUIT'): Promise<void>
  start(): Promise<void>
  /**
   * Stops every process of Postgres with SIGSTOP. Connections stay open and the kernel accepts new ones, but no query is
   * answered.
   */
  pause(): Promise<void>
  resume(): void
}

/** Starts a Postgres before the first test of the calling file, and stops it after the last test. */
export async function ownPostgres(name: string): Promise<OwnPostgres> {
  const { dir: runDir, secrets } = inject('cluster')
  const dir = join(runDir, name)
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
  const postmaster = () => Number(readFileSync(join(dir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0])
  const paused: number[] = []
  const stop = (pid: number) => {
    paused.push(pid)
    process.kill(pid, 'SIGSTOP')
  }
  const pause = async () => {
    const others = await withClient(urls.superuser, async (client) => {
      // Stop the postmaster first. Otherwise it could start a new process after this query, and the new process would not be
      // stopped.
      stop(postmaster())
      const { rows } = await client.query<{ pid: number }>('select pid from pg_stat_activity where pid <> pg_backend_pid()')
      return rows.map(({ pid }) => pid)
    })
    for (const pid of others) stop(pid)
  }
  const resume = () => {
    for (const pid of paused.splice(0).reverse()) process.kill(pid, 'SIGCONT')
  }
  beforeAll(async () => {
    mkdirSync(dir, { recursive: true })
    chmodSync(dir, 0o711)
    await start()
    await createTemplate(dir, port, secrets)
  })
  afterAll(async () => {
    resume()
    await owner.end()
    await ownerDb.destroy()
    await running?.stop()
  })
  const createUser = async () =>
    (
      await owner.query<{ id: string }>(
        "insert into auth.users (id, email, email_confirmed_at) select id, id || '@example.com', now() from gen_random_uuid() as id returning id",
      )
    ).rows[0]?.id ?? ''
  return { urls, owner, ownerDb, createUser, kill, start, pause, resume }
}
