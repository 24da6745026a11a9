import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { SystemUser } from './unprivileged.ts'

const GUARD = fileURLToPath(new URL('guard.ts', import.meta.url))
const POLL_INTERVAL_MS = 50
const LOG_LINES_SHOWN = 15

export interface ManagedProcess {
  /** Resolves when the process has ended for any reason. */
  exited: Promise<void>
  stop(): Promise<void>
}

interface ProcessOptions {
  /** The name of the process in messages. */
  name: string
  command: string
  args: string[]
  cwd: string
  env?: NodeJS.ProcessEnv
  /** The file for the output of the process. Without this option, the output goes to the terminal. */
  logFile?: string
  stopSignal?: NodeJS.Signals
  user?: SystemUser
  isReady: () => Promise<boolean>
  readyTimeoutMs: number
  /** If this signal is aborted before the process is ready, the process is stopped. */
  signal?: AbortSignal | undefined
}

/**
 * Starts a process and waits until it is ready. The process runs under guard.ts, so it ends when the current process ends.
 *
 * @throws Error if the process ends before it is ready, or is not ready after `readyTimeoutMs`. The message contains the last
 *   lines of the log file.
 */
export async function startProcess(options: ProcessOptions): Promise<ManagedProcess> {
  const { name, command, args, cwd, env = process.env, logFile, stopSignal = 'SIGTERM', user } = options
  const output = logFile === undefined ? 'inherit' : openSync(logFile, 'w', 0o600)
  const guard = spawn(
    process.execPath,
    [GUARD, stopSignal, user === undefined ? '-' : `${user.uid}:${user.gid}`, command, ...args],
    {
      cwd,
      env,
      // The child gets its own process group, so Ctrl-C in the terminal does not reach it. The parent stops its children one
      // after the other.
      detached: true,
      stdio: ['pipe', output, output],
    },
  )
  if (typeof output === 'number') closeSync(output)
  guard.stdin?.on('error', () => {})
  const exited = new Promise<void>((resolve) => guard.once('exit', () => resolve()))
  const managed: ManagedProcess = {
    exited,
    stop: async () => {
      guard.stdin?.end()
      await exited
    },
  }
  try {
    await untilReady(options, guard)
  } catch (error) {
    await managed.stop()
    options.signal?.throwIfAborted()
    throw new Error(`${name} ${error instanceof Error ? error.message : error}${tail(logFile)}`)
  }
  return managed
}

async function untilReady({ isReady, readyTimeoutMs, signal }: ProcessOptions, guard: ChildProcess): Promise<void> {
  const deadline = Date.now() + readyTimeoutMs
  while (!(await isReady())) {
    signal?.throwIfAborted()
    if (guard.exitCode !== null || guard.signalCode !== null) throw new Error('ended before it was ready.')
    if (Date.now() > deadline) throw new Error(`was not ready within ${readyTimeoutMs / 1000} s.`)
    await sleep(POLL_INTERVAL_MS)
  }
}

function tail(logFile: string | undefined): string {
  if (logFile === undefined) return ''
  const lines = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-LOG_LINES_SHOWN)
  return ` The end of ${logFile}:\n${lines.map((line) => `  ${line}`).join('\n')}`
}
