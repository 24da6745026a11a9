import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'

/**
 * Makes this process the only one of its command for the file's folder. A lock whose process is gone, killed or crashed,
 * or whose number the system has since given to something else, counts for nothing.
 *
 * @throws Error that names the process in the way.
 */
export function lock(file: string): void {
  if (existsSync(file)) {
    const holder = Number(readFileSync(file, 'utf8'))
    if (isSameCommand(holder)) {
      throw new Error(`It is running already, as process ${holder}. Stop that one first: kill ${holder}`)
    }
    rmSync(file, { force: true })
  }
  // Fails when another one was faster.
  writeFileSync(file, String(process.pid), { flag: 'wx' })
  process.once('exit', () => rmSync(file, { force: true }))
}

function isSameCommand(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  const commandLine = `/proc/${pid}/cmdline`
  return !existsSync(commandLine) || readFileSync(commandLine, 'utf8').includes(basename(process.argv[1] ?? ''))
}
