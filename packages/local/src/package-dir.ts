import { fileURLToPath } from 'node:url'

/**
 * Returns the folder of one of this package's dependencies, as pnpm links it. It reaches files that the package does not
 * export, and it works in Vitest, which has no `import.meta.resolve`.
 */
export function packageDir(name: string): string {
  return fileURLToPath(new URL(`../node_modules/${name}`, import.meta.url))
}
