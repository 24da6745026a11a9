/**
 * `pnpm test`: the checks, the dashboard's build, then every test on real parts. Needs nothing running, can run next to
 * `pnpm dev`, leaves nothing behind. Its last line is `N passed, N failed`, each check and each test counting as one.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startVitest } from 'vitest/node'
import { check } from './check.ts'
import { CHECKS } from './checks.ts'

const steps = [...CHECKS, { name: 'build of the dashboard', command: ['turbo', 'run', 'build', '--output-logs=errors-only'] }]
const failedSteps = await check(steps)

const dir = mkdtempSync(join(tmpdir(), 'keymeter-report-'))
const report = join(dir, 'report.json')
const vitest = await startVitest('test', [], { watch: false, reporters: ['default', ['json', { outputFile: report }]] })
await vitest.close()
const { numPassedTests, numFailedTests, numTotalTestSuites } = JSON.parse(readFileSync(report, 'utf8'))
rmSync(dir, { recursive: true })

// A test file that does not load, or an error outside any test, fails the run without failing a test.
const brokenRuns = numFailedTests === 0 && (process.exitCode || numTotalTestSuites === 0) ? 1 : 0
const failed = failedSteps + numFailedTests + brokenRuns
console.log(`\n${numPassedTests + steps.length - failedSteps} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
