import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { isAlive } from './is-alive.ts'

/**
 * Makes this process the only one of its command for the file's folder. A lock whose process is gone, killed or crashed,
 * or whose number the system has since given to something else, counts for nothing.
 *
 * @throws Error that names the process in the way.
 */
export function lock(file: string): void {
  if (existsSync(file)) {
    const holder = Number(readFileSync(file, 'utf8'))
    if (isSameCommand(holder)) throw runningAlready(holder)
    takeAway(file)
  }
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' })
  } catch (error) {
    throw existsSync(file) ? runningAlready(Number(readFileSync(file, 'utf8'))) : error
  }
  process.once('exit', () => {
    if (existsSync(file) && readFileSync(file, 'utf8') === String(process.pid)) rmSync(file)
  })
}

function runningAlready(pid: number): Error {
  return new Error(`It is running already, as process ${pid}. Stop that one first: kill ${pid}`)
}

/** Of several that find the same stale lock, one gets hold of it; the others find it gone, or find the next one's. */
function takeAway(file: string): void {
  const stale = `${file}.${process.pid}`
  try {
    renameSync(file, stale)
    rmSync(stale)
  } catch {}
}

function isSameCommand(pid: number): boolean {
  if (!isAlive(pid)) return false
  const commandLine = `/proc/${pid}/cmdline`
  return !existsSync(commandLine) || readFileSync(commandLine, 'utf8').includes(basename(process.argv[1] ?? ''))
}
