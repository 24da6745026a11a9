/**
 * The packages are the layers: this is the whole of who may depend on whom. pnpm makes any other import of a workspace
 * package fail; here a package.json that would allow one is found.
 */
import { readFileSync } from 'node:fs'

interface Manifest {
  dependencies?: Record<string, string>
  devDependencies?: Record<string, string>
}

/** At run time, and then only in development and tests. */
const ALLOWED: Record<string, { always: string[]; inDevelopment: string[] }> = {
  'packages/contract': { always: [], inDevelopment: [] },
  'packages/db': { always: [], inDevelopment: [] },
  'packages/api': { always: ['contract', 'db'], inDevelopment: ['local'] },
  // All of it is for development: a production install must not have the embedded stack.
  'packages/local': { always: [], inDevelopment: ['db'] },
  'apps/server': { always: ['api', 'contract', 'db'], inDevelopment: ['local'] },
  'apps/dashboard': { always: ['contract'], inDevelopment: ['api', 'local'] },
}
/** What the innermost packages may depend on at all. */
const ONLY: Record<string, string[]> = {
  'packages/contract': ['zod'],
  'packages/db': ['kysely', 'pg'],
}

const faults: string[] = []
for (const [folder, { always, inDevelopment }] of Object.entries(ALLOWED)) {
  const manifest: Manifest = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'))
  const ours = (dependencies: Record<string, string> = {}) =>
    Object.keys(dependencies).flatMap((name) => (name.startsWith('@keymeter/') ? [name.slice('@keymeter/'.length)] : []))
  for (const name of ours(manifest.dependencies)) {
    if (!always.includes(name)) faults.push(`${folder} must not depend on @keymeter/${name}`)
  }
  for (const name of ours(manifest.devDependencies)) {
    if (!inDevelopment.includes(name)) faults.push(`${folder} must not depend on @keymeter/${name}, in development neither`)
  }
  for (const name of Object.keys(manifest.dependencies ?? {})) {
    if (ONLY[folder]?.includes(name) === false) faults.push(`${folder} must not depend on ${name}`)
  }
}

const api: { exports: Record<string, unknown> } = JSON.parse(readFileSync('packages/api/package.json', 'utf8'))
if (JSON.stringify(Object.keys(api.exports['.'] ?? {})) !== '["types"]') {
  faults.push('packages/api must export "." as types alone, so that a value import of it resolves nowhere')
}

for (const fault of faults) console.error(fault)
process.exit(faults.length === 0 ? 0 : 1)
