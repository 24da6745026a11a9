import { fileURLToPath } from 'node:url'

/**
 * The folder of one of this package's dependencies: where pnpm links it. For files that a package's exports hide, and in
 * tests, where `import.meta.resolve` does not exist.
 */
export function packageDir(name: string): string {
  return fileURLToPath(new URL(`../node_modules/${name}`, import.meta.url))
}
