import { ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { tryLock } from 'fs-native-extensions'

/**
 * Locks `file` until this process ends. The operating system releases the lock when the process ends for any reason, so a lock
 * is never stale. The file is not deleted afterwards. Otherwise two processes could lock two different files with the same
 * name.
 *
 * @throws Error with the id of the other process if another process has locked the file.
 */
export function lock(file: string): void {
  const descriptor = openSync(file, 'a')
  if (!tryLock(descriptor)) {
    const holder = readFileSync(file, 'utf8')
    throw new Error(`pnpm dev is already running for this folder, as process ${holder}. Stop it first: kill ${holder}`)
  }
  ftruncateSync(descriptor)
  writeSync(descriptor, String(process.pid))
  process.once('exit', () => ftruncateSync(descriptor))
}
