import { execFileSync } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** Where a root shell's Postgres lives when its user cannot reach the clone. Persistent, and reachable by everyone. */
const SHARED_STATE_DIR = '/var/lib/keymeter-local'

/** Whom a process runs as, when not as whoever started it. */
export interface SystemUser {
  uid: number
  gid: number
}

/**
 * Postgres refuses to run as root, and wants to own its data. A root shell runs it as whoever owns the data already, or
 * else as the system's `postgres` user, or as `nobody`.
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
    'Postgres does not run as root, and there is no user "postgres" or "nobody" to run it as. Create one, or use another shell.',
  )
}

/** True when `user` may pass through every folder on the way to `path`. */
export function isReachable(path: string, { uid, gid }: SystemUser): boolean {
  for (let folder = path; folder !== dirname(folder); folder = dirname(folder)) {
    const stat = statSync(folder)
    const executeBit = stat.uid === uid ? 0o100 : stat.gid === gid ? 0o010 : 0o001
    if ((stat.mode & executeBit) === 0) return false
  }
  return true
}

/**
 * Where, outside the clone, the stand-in for `path` is: always the same place, but not for another clone at the same
 * path, which must not meet this one's data. That is told apart by a file beside `path`.
 */
export function standInFor(path: string): string {
  const idFile = `${path}.id`
  if (!existsSync(idFile)) writeFileSync(idFile, randomUUID())
  return sharedFolder(path + readFileSync(idFile, 'utf8'), path)
}

function sharedFolder(key: string, path: string): string {
  return join(SHARED_STATE_DIR, `${createHash('sha256').update(key).digest('hex').slice(0, 12)}-${basename(path)}`)
}

/** `folder`, or where `user` cannot reach it a copy of it outside the clone. Copied once. */
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
      // Another process was faster.
      rmSync(unfinished, { recursive: true, force: true })
      if (!existsSync(copy)) throw error
    }
  }
  return copy
}
