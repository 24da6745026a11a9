import { execFileSync } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** Contains the data of Postgres when root starts it and its user cannot reach the clone. Every user can reach it. */
const SHARED_STATE_DIR = '/var/lib/keymeter-local'

/** The user that a process runs as, when it is not the user of this process. */
export interface SystemUser {
  uid: number
  gid: number
}

/**
 * Returns the user that Postgres must run as, or null for the user of this process. Postgres refuses to run as root, and
 * it must own its data. So root runs it as the owner of existing data, or else as `postgres` or `nobody`.
 */
export function postgresUser(dataDir: string): SystemUser | null {
  if (process.getuid?.() !== 0) return null
  const existing = [dataDir, standInFor(dataDir)].find((dir) => existsSync(dir))
  const owner = existing === undefined ? null : statSync(existing)
  if (owner !== null && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid }
  const id = (...args: string[]) => Number(execFileSync('id', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
  for (const name of ['postgres', 'nobody']) {
    try {
      return { uid: id('-u', name), gid: id('-g', name) }
    } catch {}
  }
  throw new Error(
    'Postgres does not run as root, and this machine has no user "postgres" or "nobody". Create one of them, or run this as another user.',
  )
}

/** Returns true when `user` may pass through `path` and every folder above it. */
export function isReachable(path: string, { uid, gid }: SystemUser): boolean {
  for (let folder = path; folder !== dirname(folder); folder = dirname(folder)) {
    const stat = statSync(folder)
    const executeBit = stat.uid === uid ? 0o100 : stat.gid === gid ? 0o010 : 0o001
    if ((stat.mode & executeBit) === 0) return false
  }
  return true
}

/**
 * Returns the folder outside the clone that replaces `path`. A random id in a file beside `path` decides its name, so that
 * a later clone at the same path does not find the data of this one.
 */
export function standInFor(path: string): string {
  const idFile = `${path}.id`
  if (!existsSync(idFile)) writeFileSync(idFile, randomUUID())
  return sharedFolder(path + readFileSync(idFile, 'utf8'), path)
}

function sharedFolder(key: string, path: string): string {
  return join(SHARED_STATE_DIR, `${createHash('sha256').update(key).digest('hex').slice(0, 12)}-${basename(path)}`)
}

/** Returns `folder`, or a copy outside the clone when `user` cannot reach `folder`. It is copied only once. */
export function reachableCopy(folder: string, user: SystemUser): string {
  if (isReachable(folder, user)) return folder
  const copy = sharedFolder(folder, folder)
  if (!existsSync(copy)) {
    const unfinished = `${copy}.${process.pid}`
    mkdirSync(dirname(copy), { recursive: true })
    cpSync(folder, unfinished, { recursive: true, verbatimSymlinks: true, mode: 0 })
    try {
      renameSync(unfinished, copy)
    } catch (error) {
      // Another process may have created the copy in the meantime.
      rmSync(unfinished, { recursive: true, force: true })
      if (!existsSync(copy)) throw error
    }
  }
  return copy
}
