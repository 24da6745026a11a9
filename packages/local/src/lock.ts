import { ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { tryLock } from 'fs-native-extensions'

/**
 * Makes this process the only one that holds `file` locked, until it ends. The operating system holds the lock and releases
 * it when the process ends in any way, so a lock is never stale. The file itself stays: a process that removed it could let
 * two others lock two different files of that name.
 *
 * @throws Error with the id of the process that holds the lock.
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
