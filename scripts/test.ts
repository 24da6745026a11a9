/**
 * `pnpm test` runs the checks, builds the dashboard, then runs all tests. The tests start their own Postgres, so `pnpm test`
 * can run at the same time as `pnpm dev`. The last line of the output is `N passed, N failed`. It counts each check, the build
 * and each test as one.
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

// If a test file cannot be loaded, or an error occurs outside of a test, the run fails but no test fails. This counts as one
// failure.
const brokenRuns = numFailedTests === 0 && (process.exitCode || numTotalTestSuites === 0) ? 1 : 0
const failed = failedSteps + numFailedTests + brokenRuns
console.log(`\n${numPassedTests + steps.length - failedSteps} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
