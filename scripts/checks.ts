export interface Check {
  name: string
  command: string[]
}

/** The checks of `pnpm check`. `pnpm test` runs them before the tests. */
export const CHECKS: Check[] = [
  { name: 'format and lint', command: ['biome', 'check', '--error-on-warnings', '.'] },
  { name: 'types', command: ['turbo', 'run', 'typecheck', '--output-logs=errors-only'] },
  { name: 'unused code and dependencies', command: ['knip'] },
  { name: 'one version of each dependency', command: ['sherif'] },
  { name: 'package boundaries', command: ['node', 'scripts/boundaries.ts'] },
  { name: 'generated files are up to date', command: ['node', 'packages/local/src/commands/generate.ts', '--check'] },
  { name: 'API reference is up to date', command: ['node', 'packages/api/scripts/reference.ts', '--check'] },
]
