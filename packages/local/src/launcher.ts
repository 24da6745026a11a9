import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const POLL_INTERVAL_MS = 500
/** What `npx pnpm dev` puts between the person and this process. */
const LAUNCHERS = /npm|npx|pnpm|^sh -c/

/**
 * Settles when the command that this process was started by has ended: `npx` and `pnpm` do not pass a kill on, so without
 * this a killed `npx pnpm dev` would run on unseen.
 */
export async function launcherEnded(): Promise<void> {
  const launchers = launcherPids()
  while (launchers.every(isAlive)) await sleep(POLL_INTERVAL_MS, undefined, { ref: false })
}

/** The parent, and above it, where the system tells, whatever else belongs to the command. */
function launcherPids(): number[] {
  const pids = [process.ppid]
  for (let pid = process.ppid; existsSync(`/proc/${pid}/stat`); ) {
    // "pid (name) state ppid …", and a name may hold anything.
    const parent = Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[1])
    if (!(parent > 1) || !LAUNCHERS.test(readFileSync(`/proc/${parent}/cmdline`, 'utf8').replaceAll('\0', ' '))) break
    pids.push(parent)
    pid = parent
  }
  return pids
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
