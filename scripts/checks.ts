/** One step of `pnpm check`. */
export interface Check {
  name: string
  command: string[]
}

/** Everything about the source that can be said without running it. `pnpm test` begins with these. */
export const CHECKS: Check[] = [
  { name: 'format and lint', command: ['biome', 'check', '--error-on-warnings', '.'] },
  { name: 'types', command: ['turbo', 'run', 'typecheck', '--output-logs=errors-only'] },
  { name: 'unused code and dependencies', command: ['knip'] },
  { name: 'one version of each dependency', command: ['sherif'] },
  { name: 'package boundaries', command: ['node', 'scripts/boundaries.ts'] },
  { name: 'generated files in step', command: ['node', 'packages/local/src/commands/generate.ts', '--check'] },
  { name: 'API reference in step', command: ['node', 'packages/api/scripts/reference.ts', '--check'] },
]
