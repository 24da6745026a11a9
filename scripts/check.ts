/** `pnpm check` runs every check and prints the output of the failed checks. */
import { CHECKS, type Check } from './checks.ts'
import { run } from './run.ts'

/** Runs the checks one after another and returns the number of failed checks. */
export async function check(checks: Check[]): Promise<number> {
  let failed = 0
  for (const { name, command } of checks) {
    const startedAt = Date.now()
    const { code, output } = await run(command)
    console.log(`${code === 0 ? '✓' : '✗'} ${name} (${((Date.now() - startedAt) / 1000).toFixed(1)} s)`)
    if (code === 0) continue
    failed++
    console.log(output.trim().replaceAll(/^/gm, '    '))
  }
  return failed
}

if (import.meta.main) process.exit((await check(CHECKS)) === 0 ? 0 : 1)
