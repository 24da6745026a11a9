import { fileURLToPath } from 'node:url'

/**
 * Returns the folder of a dependency of packages/local. We need folders, because the dependencies do not export the files that
 * we run. `import.meta.resolve` is not used, because Vitest does not have it.
 */
export function packageDir(name: string): string {
  return fileURLToPath(new URL(`../node_modules/${name}`, import.meta.url))
}
