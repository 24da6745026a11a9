import { defineConfig } from 'vitest/config'

/** Test files that need neither a database nor another process. */
const UNIT = [
  'packages/contract/src/**/*.test.ts',
  'packages/api/src/errors.test.ts',
  'packages/api/src/auth/verify-access-token.test.ts',
  'packages/api/src/keys/{secret-scanning,token}.test.ts',
  'packages/api/src/metering/{event-id,lane,verdict}.test.ts',
  'apps/server/src/{client-address,env,log}.test.ts',
  'apps/cli/src/owner-url.test.ts',
]

/**
 * The time after which a hook, a test or a poll counts as hanging. Each waits for an event, or for a time limit of the product,
 * which is shorter. So a slow machine fails no test. The long forms of tests take hours, so they have no limit.
 */
const isLong = ['KEYMETER_SOAK', 'KEYMETER_CHAOS'].some((name) => process.env[name] === '1')
const HANGS_AFTER_MS = isLong ? 24 * 3_600_000 : 300_000
const patience = {
  testTimeout: HANGS_AFTER_MS,
  hookTimeout: HANGS_AFTER_MS,
  expect: { poll: { timeout: HANGS_AFTER_MS } },
}

/** Starts Postgres once for all projects of the run that need it. */
const globalSetup = 'packages/local/src/testing/global-setup.ts'
const SCHEMA = 'packages/local/src/{baseline,catalog,draft-migration,migrations}.test.ts'

export default defineConfig({
  test: {
    // On two cores, Vitest would run one file at a time. Most of the time of a test is spent in a database, a server or a browser.
    maxWorkers: 2,
    projects: [
      { test: { name: 'unit', include: UNIT, ...patience } },
      {
        test: {
          name: 'database',
          include: ['packages/api/src/**/*.test.ts', SCHEMA],
          exclude: UNIT,
          globalSetup,
          ...patience,
        },
      },
      {
        test: {
          name: 'process',
          include: ['packages/local/src/**/*.test.ts', 'apps/{cli,server}/src/**/*.test.ts'],
          exclude: [...UNIT, SCHEMA],
          globalSetup,
          ...patience,
        },
      },
      { test: { name: 'browser', include: ['apps/dashboard/test/**/*.test.ts'], globalSetup, ...patience } },
    ],
  },
})
