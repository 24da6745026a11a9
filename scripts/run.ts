import { spawn } from 'node:child_process'

/** Runs a command in a folder and returns its exit code and its output. The output contains no colours. */
export async function run(command: string[], cwd = process.cwd()): Promise<{ code: number; output: string }> {
  const [name = '', ...args] = command
  const child = spawn(name, args, {
    cwd,
    env: { ...process.env, NO_COLOR: '1', TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' },
  })
  let output = ''
  child.stdout.on('data', (data) => (output += data))
  child.stderr.on('data', (data) => (output += data))
  return await new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: 1, output: error.message }))
    child.once('close', (code) => resolve({ code: code ?? 1, output }))
  })
}
