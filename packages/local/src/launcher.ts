import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { isAlive } from './is-alive.ts'

const POLL_INTERVAL_MS = 500
/** npm, npx and pnpm, as they call themselves or as Node runs them. A shell that merely mentions them is none. */
const LAUNCHER = /^(npm|npx|pnpm)( |$)|^(\S*\/)?node \S*\/(npm|npx|pnpm)[^/ ]*( |$)/
/** The shell that npm runs pnpm in, and pnpm a script. */
const LAUNCHERS_SHELL = /^(\S*\/)?sh -c /

/**
 * Settles when the command that this process was started by has ended: `npx` and `pnpm` do not pass a kill on, so without
 * this a killed `npx pnpm dev` would run on unseen.
 */
export async function launcherEnded(): Promise<void> {
  const launchers = launcherPids()
  while (launchers.every(isAlive)) await sleep(POLL_INTERVAL_MS, undefined, { ref: false })
}

/** Whatever of this process' ancestors belongs to the command. None where the system does not tell. */
function launcherPids(): number[] {
  const ancestors = ancestorsOf(process.pid)
  const isLauncher = (i: number) => LAUNCHER.test(ancestors[i]?.commandLine ?? '')
  const isLaunchersShell = (i: number) => LAUNCHERS_SHELL.test(ancestors[i]?.commandLine ?? '') && isLauncher(i + 1)
  const end = ancestors.findIndex((_, i) => !isLauncher(i) && !isLaunchersShell(i))
  return ancestors.slice(0, end === -1 ? undefined : end).map(({ pid }) => pid)
}

function ancestorsOf(pid: number): { pid: number; commandLine: string }[] {
  if (!existsSync(`/proc/${pid}/stat`)) return []
  // "pid (name) state ppid …", and a name may hold anything.
  const parent = Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[1])
  if (!(parent > 1)) return []
  const commandLine = readFileSync(`/proc/${parent}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
  return [{ pid: parent, commandLine }, ...ancestorsOf(parent)]
}
