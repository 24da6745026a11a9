/**
 * The packages are layers. This script checks that each package depends only on allowed packages, and that no file imports from
 * another package by a relative path. To find the dependencies, the script reads only package.json. This is enough, because
 * with pnpm an import of an undeclared package fails.
 */
import { globSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

interface Manifest {
  dependencies?: Record<string, string>
  optionalDependencies?: Record<string, string>
  peerDependencies?: Record<string, string>
  devDependencies?: Record<string, string>
}

/**
 * The workspace packages that each package may use. `inDevelopment` lists the packages that may be used only in development and
 * in tests.
 */
const ALLOWED: Record<string, { always: string[]; inDevelopment: string[] }> = {
  'packages/contract': { always: [], inDevelopment: [] },
  'packages/db': { always: [], inDevelopment: [] },
  'packages/api': { always: ['contract', 'db'], inDevelopment: ['local'] },
  'packages/local': { always: [], inDevelopment: ['db'] },
  'apps/server': { always: ['api', 'contract', 'db'], inDevelopment: ['local'] },
  'apps/cli': { always: ['api', 'contract', 'db'], inDevelopment: ['local'] },
  // Only the build of the dashboard runs in production, and it contains everything that it needs.
  'apps/dashboard': { always: [], inDevelopment: ['api', 'contract', 'local'] },
  bench: { always: [], inDevelopment: ['api', 'db', 'local', 'server'] },
}
/**
 * The run-time dependencies that these packages may have. `packages/local` and `apps/dashboard` may have none, so a production
 * installation contains neither the embedded stack nor the libraries of the pages.
 */
const ONLY: Record<string, string[]> = {
  'packages/contract': ['zod'],
  'packages/db': ['kysely', 'pg'],
  'packages/local': [],
  'apps/dashboard': [],
}
/** Matches a relative path in quotes. The first group is not empty if the path belongs to an import. */
const RELATIVE_PATH = /(\bfrom\s*|\bimport\s*\(?\s*|)(['"`])(\.\.?\/[^'"`\n]*)\2/g
const CODE = /\.[cm]?[jt]sx?$/

const faults: string[] = []
const folders = [...['packages', 'apps'].flatMap((parent) => readdirSync(parent).map((name) => `${parent}/${name}`)), 'bench']

for (const folder of folders) {
  const allowed = ALLOWED[folder]
  if (allowed === undefined) {
    faults.push(`${folder} is not in scripts/boundaries.ts. Add the package and the packages that it may depend on.`)
    continue
  }
  const manifest: Manifest = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'))
  const atRunTime = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.peerDependencies })
  const inDevelopment = Object.keys(manifest.devDependencies ?? {})
  const ours = (names: string[]) =>
    names.flatMap((name) => (name.startsWith('@keymeter/') ? [name.slice('@keymeter/'.length)] : []))
  for (const name of ours(atRunTime)) {
    if (!allowed.always.includes(name)) faults.push(`${folder} must not depend on @keymeter/${name}.`)
  }
  for (const name of ours(inDevelopment)) {
    if (!allowed.inDevelopment.includes(name))
      faults.push(`${folder} must not depend on @keymeter/${name}, not even in development.`)
  }
  for (const name of atRunTime) {
    if (ONLY[folder]?.includes(name) === false) faults.push(`${folder} must not depend on ${name}.`)
  }
}

// A file may use the code of another package only through the exports of that package. A file may read files that are not code,
// e.g. SQL, by their path.
for (const folder of [...folders, 'scripts']) {
  for (const file of globSync(`${folder}/**/*.{ts,tsx,mts,cts,js,jsx,mjs,cjs}`, { exclude: ['**/node_modules', '**/dist'] })) {
    for (const [, importing, , path = ''] of readFileSync(file, 'utf8').matchAll(RELATIVE_PATH)) {
      const target = join(dirname(file), path)
      if (!target.startsWith(`${folder}/`) && (importing || CODE.test(path)))
        faults.push(`${file} must not use ${target} by its path. Export it from its package, and import it from there.`)
    }
  }
}

const api: { exports: Record<string, unknown> } = JSON.parse(readFileSync('packages/api/package.json', 'utf8'))
if (JSON.stringify(Object.keys(api.exports['.'] ?? {})) !== '["types"]') {
  faults.push('packages/api must export only types as ".", so that a value import of it fails.')
}

for (const fault of faults) console.error(fault)
process.exit(faults.length === 0 ? 0 : 1)
