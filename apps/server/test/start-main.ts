import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { endWithThisProcess } from './end-with-this-process.ts'

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url))

/** The production process, without a guard, to be ended by the test in its own way, or else with the test's process. */
export function startMain(env: Record<string, string>): {
  child: ChildProcess
  output(): string
  ended: Promise<number | null>
} {
  const child = spawn(process.execPath, [MAIN], { env })
  endWithThisProcess(child)
  let output = ''
  child.stdout.on('data', (data) => (output += data))
  child.stderr.on('data', (data) => (output += data))
  return { child, output: () => output, ended: new Promise<number | null>((resolve) => child.once('exit', resolve)) }
}

/** The same, as soon as it answers at `url`. */
export async function startReadyMain(env: Record<string, string>, url: string) {
  const main = startMain(env)
  while ((await fetch(`${url}/readyz`).catch(() => null))?.status !== 200)
    if (main.child.exitCode !== null) throw new Error(main.output())
  return main
}
