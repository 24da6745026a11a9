import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { endWithThisProcess } from './end-with-this-process.ts'

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const READY_PAUSE_MS = 50

export interface Main {
  child: ChildProcess
  /** Returns everything that the process has written so far. */
  output(): string
  /** Resolves when the output matches `pattern`. Rejects if the process ends first. */
  wrote(pattern: RegExp): Promise<void>
  /** Resolves to the exit code, or to null if a signal ended the process. */
  ended: Promise<number | null>
}

/**
 * Starts the production server as a child process. The child is killed when the test process ends.
 *
 * @param main The file that Node runs, by default the one of this repository.
 */
export function startMain(env: Record<string, string>, main = MAIN): Main {
  const child = spawn(process.execPath, [main], { env })
  endWithThisProcess(child)
  let output = ''
  let notify = Promise.withResolvers<void>()
  const changed = () => {
    notify.resolve()
    notify = Promise.withResolvers()
  }
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data) => {
      output += data
      changed()
    })
  child.once('close', changed)
  return {
    child,
    output: () => output,
    wrote: async (pattern) => {
      while (!pattern.test(output)) {
        if (child.stdout.closed && child.stderr.closed) throw new Error(`The server ended without ${pattern}: ${output}`)
        await notify.promise
      }
    },
    ended: new Promise((resolve) => child.once('exit', resolve)),
  }
}

/** Starts the production server. Resolves when the server listens at `url` and its database answers. */
export async function startReadyMain(env: Record<string, string>, url: string, file = MAIN): Promise<Main> {
  const main = startMain(env, file)
  await main.wrote(/"msg":"listening"/)
  while ((await fetch(`${url}/readyz`)).status !== 200) await sleep(READY_PAUSE_MS)
  return main
}
