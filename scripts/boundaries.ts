/**
 * The packages are the layers: this is the whole of who may depend on whom. pnpm makes any other import of a workspace
 * package fail; here a package.json that would allow one is found.
 */
import { readdirSync, readFileSync } from 'node:fs'

interface Manifest {
  dependencies?: Record<string, string>
  optionalDependencies?: Record<string, string>
  peerDependencies?: Record<string, string>
  devDependencies?: Record<string, string>
}

/** At run time, and then only in development and tests. */
const ALLOWED: Record<string, { always: string[]; inDevelopment: string[] }> = {
  'packages/contract': { always: [], inDevelopment: [] },
  'packages/db': { always: [], inDevelopment: [] },
  'packages/api': { always: ['contract', 'db'], inDevelopment: ['local'] },
  'packages/local': { always: [], inDevelopment: ['db'] },
  'apps/server': { always: ['api', 'contract', 'db'], inDevelopment: ['local'] },
  'apps/cli': { always: ['api', 'contract', 'db'], inDevelopment: ['local'] },
  'apps/dashboard': { always: ['contract'], inDevelopment: ['api', 'local'] },
  bench: { always: [], inDevelopment: ['api', 'db', 'local'] },
}
/** What some may depend on at run time at all. The embedded stack is for development: production must not install it. */
const ONLY: Record<string, string[]> = {
  'packages/contract': ['zod'],
  'packages/db': ['kysely', 'pg'],
  'packages/local': [],
}

const faults: string[] = []
const folders = ['packages', 'apps'].flatMap((parent) => readdirSync(parent).map((name) => `${parent}/${name}`))
for (const folder of [...folders, 'bench']) {
  const allowed = ALLOWED[folder]
  if (allowed === undefined) {
    faults.push(`${folder} is not in scripts/boundaries.ts: say there what it may depend on`)
    continue
  }
  const manifest: Manifest = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'))
  const atRunTime = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.peerDependencies })
  const inDevelopment = Object.keys(manifest.devDependencies ?? {})
  const ours = (names: string[]) =>
    names.flatMap((name) => (name.startsWith('@keymeter/') ? [name.slice('@keymeter/'.length)] : []))
  for (const name of ours(atRunTime)) {
    if (!allowed.always.includes(name)) faults.push(`${folder} must not depend on @keymeter/${name}`)
  }
  for (const name of ours(inDevelopment)) {
    if (!allowed.inDevelopment.includes(name))
      faults.push(`${folder} must not depend on @keymeter/${name}, in development neither`)
  }
  for (const name of atRunTime) {
    if (ONLY[folder]?.includes(name) === false) faults.push(`${folder} must not depend on ${name}`)
  }
}

const api: { exports: Record<string, unknown> } = JSON.parse(readFileSync('packages/api/package.json', 'utf8'))
if (JSON.stringify(Object.keys(api.exports['.'] ?? {})) !== '["types"]') {
  faults.push('packages/api must export "." as types alone, so that a value import of it resolves nowhere')
}

for (const fault of faults) console.error(fault)
process.exit(faults.length === 0 ? 0 : 1)
