/** The entry point of `pnpm keymeter <command>`. `pnpm keymeter --help` lists the commands. */
import { readOwnerUrl } from './owner-url.ts'
import { run } from './run.ts'

process.exitCode = await run(process.argv.slice(2), {
  readOwnerUrl: () => readOwnerUrl(process.env),
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  isInteractive: process.stderr.isTTY,
})
