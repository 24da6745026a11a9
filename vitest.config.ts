import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['packages/*/src/**/*.test.ts', 'apps/{cli,server}/src/**/*.test.ts', 'apps/dashboard/test/**/*.test.ts'],
    globalSetup: 'packages/local/src/testing/global-setup.ts',
    // On two cores vitest would run one file at a time: half of a test is waiting for a database, a server or a browser.
    maxWorkers: 2,
    // Real parts on a busy machine; nothing here is measured by the clock.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
