/** The entry point of `keymeter <command>`. `keymeter --help` lists the commands. */
import { confirm } from './confirm.ts'
import { readInput } from './read-input.ts'
import { readSetting } from './read-setting.ts'
import { run } from './run.ts'

process.exitCode = await run(process.argv.slice(2), {
  readSetting: (name) => readSetting(name, process.env),
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  isInteractive: process.stderr.isTTY,
  readInput,
  confirm: process.stdin.isTTY ? confirm : null,
})
