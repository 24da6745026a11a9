import { defineConfig } from 'vitest/config'

/** Test files that need neither a database nor another process. */
const UNIT = [
  'packages/contract/src/**/*.test.ts',
  'packages/api/src/{account-queue,errors,input-fault}.test.ts',
  'packages/api/src/doctor/check-connection.test.ts',
  'packages/api/src/auth/{mailbox,request-queue,verify-access-token}.test.ts',
  'packages/api/src/limits/network.test.ts',
  'packages/api/src/keys/{secret-scanning,token}.test.ts',
  'packages/api/src/metering/{event-id,lane,verdict}.test.ts',
  'packages/api/src/usage/without-formulas.test.ts',
  'apps/server/src/{client-address,env,log,refusal-log,warn-about-plain-connections}.test.ts',
  'apps/cli/src/{printable,read-setting}.test.ts',
  'apps/dashboard/src/**/*.test.ts',
  'scripts/require-node.test.ts',
]

/** True for `pnpm test:soak` and `pnpm test:chaos`, whose tests can take hours. */
const isLong = ['KEYMETER_SOAK', 'KEYMETER_CHAOS'].some((name) => process.env[name] === '1')
/**
 * A test, a hook or a poll that takes longer than this has hung. It is longer than every time limit of the product, so a test
 * does not fail because the machine is slow.
 */
const HANGS_AFTER_MS = isLong ? 24 * 3_600_000 : 300_000
const patience = {
  testTimeout: HANGS_AFTER_MS,
  hookTimeout: HANGS_AFTER_MS,
  expect: { poll: { timeout: HANGS_AFTER_MS } },
}

/** This file starts Postgres once for the whole run. All projects that name it share this Postgres. */
const globalSetup = 'packages/local/src/testing/global-setup.ts'
const SCHEMA = 'packages/local/src/{baseline,catalog,draft-migration,migrations}.test.ts'

export default defineConfig({
  test: {
    // By default, Vitest runs only one file at a time on two cores. Two files at a time are faster, because a test mostly
    // waits for other processes.
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
