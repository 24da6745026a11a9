/** The entry point of `pnpm keymeter <command>`. `pnpm keymeter --help` lists the commands. */
import { createInterface } from 'node:readline/promises'
import { readSetting } from './read-setting.ts'
import { run } from './run.ts'

process.exitCode = await run(process.argv.slice(2), {
  readSetting: (name) => readSetting(name, process.env),
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  isInteractive: process.stderr.isTTY,
  confirm: async (question) => {
    if (!process.stdin.isTTY) return false
    const lines = createInterface({ input: process.stdin, output: process.stderr })
    const answer = await lines.question(question)
    lines.close()
    return /^y(es)?$/i.test(answer.trim())
  },
})
