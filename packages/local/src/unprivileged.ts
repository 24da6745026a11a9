import { execFileSync } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/**
 * If root starts Postgres, Postgres runs as another user. If that user cannot reach the clone of the repository, the files of
 * Postgres are in this folder, which every user can reach.
 */
const SHARED_STATE_DIR = '/var/lib/keymeter-local'

/** A user as which a child process runs. */
export interface SystemUser {
  uid: number
  gid: number
}

/**
 * Returns the user as which Postgres must run. Null means the user of the current process. Postgres does not run as root, and
 * its user must own the data. So, if the current user is root, Postgres runs as the owner of the existing data. If there is no
 * such owner, it runs as `postgres` or `nobody`.
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
    'Postgres does not run as root, and this machine has no user "postgres" or "nobody". Create one of them, or run this command as another user.',
  )
}

/** Returns true if the permissions of `path` and of every folder above it let `user` enter them. */
export function isReachable(path: string, { uid, gid }: SystemUser): boolean {
  for (let folder = path; folder !== dirname(folder); folder = dirname(folder)) {
    const stat = statSync(folder)
    const executeBit = stat.uid === uid ? 0o100 : stat.gid === gid ? 0o010 : 0o001
    if ((stat.mode & executeBit) === 0) return false
  }
  return true
}

/**
 * Returns a folder outside the clone of the repository that is used in place of `path`. Its name depends on `path` and on a
 * random id, which is stored in a file beside `path`. If the clone is deleted, the id is deleted too. A new clone at the same
 * path gets a new id, so it does not use the old data.
 */
export function standInFor(path: string): string {
  const idFile = `${path}.id`
  if (!existsSync(idFile)) writeFileSync(idFile, randomUUID())
  return sharedFolder(path + readFileSync(idFile, 'utf8'), path)
}

function sharedFolder(key: string, path: string): string {
  return join(SHARED_STATE_DIR, `${createHash('sha256').update(key).digest('hex').slice(0, 12)}-${basename(path)}`)
}

/**
 * Returns `folder` if `user` can reach it. Otherwise returns a copy of the folder outside the clone. The copy is made only
 * once.
 */
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
      // The rename fails if another process has created the copy since `existsSync`. Then the copy of the other process is
      // used.
      rmSync(unfinished, { recursive: true, force: true })
      if (!existsSync(copy)) throw error
    }
  }
  return copy
}
