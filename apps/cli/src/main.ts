/** The entry point of `keymeter <command>`. `keymeter --help` lists the commands. */
import { confirm } from './confirm.ts'
import { readInput } from './read-input.ts'
import { readSetting } from './read-setting.ts'
import { run } from './run.ts'

// A reader like `head` closes the pipe early: the command still ends as usual. If the output cannot be written for another reason,
// the command has not done its work.
let isOutputLost = false
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') return
  isOutputLost = true
  process.stderr.write(`Error: The output cannot be written: ${error.message}\n`)
})
process.on('exit', () => {
  if (isOutputLost) process.exitCode = 2
})

process.exitCode = await run(process.argv.slice(2), {
  readSetting: (name) => readSetting(name, process.env),
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  isInteractive: process.stderr.isTTY,
  readInput,
  confirm: process.stdin.isTTY ? confirm : null,
})
