/**
 * `pnpm assemble <folder>` writes the server, the CLI, the built dashboard and the migrations to a folder, with only the packages
 * that they need. The folder can be copied to another machine of the same platform, where it needs only Node.
 *
 * `pnpm deploy` does not work: it copies our packages into node_modules, and Node does not run TypeScript there.
 */
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { run } from './run.ts'

const USAGE = `pnpm assemble <folder> [--with-node]

Writes everything that runs in production to the folder. Replaces the folder if an earlier run wrote it.

  --with-node   add the Node of this workspace (130 MB), for a machine without Node 24.2 or later`

const REPOSITORY = join(import.meta.dirname, '..')
const NAME = 'keymeter-production'
/** The packages that start a process. */
const ENTRIES = { 'server.js': 'apps/server', 'keymeter.js': 'apps/cli' }
/**
 * The command `keymeter`. It works from every folder and through a symbolic link. It uses the Node of `--with-node` if the folder
 * contains it, and reads the settings in the file `.env` of the current folder, as the documented start of the server does.
 */
const COMMAND = `#!/bin/sh
folder=$(dirname "$(readlink -f "$0")")
PATH="$folder/node_modules/.bin:$PATH"
if [ -r .env ]; then exec node --env-file=.env "$folder/keymeter.js" "$@"; fi
exec node "$folder/keymeter.js" "$@"
`
/** pnpm reads these files. They are not needed after the installation. */
const INSTALLATION = ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml']
/** Written by pnpm. They contain paths of this machine. */
const TRACES = ['node_modules/.modules.yaml', 'node_modules/.pnpm-workspace-state-v1.json']
const DASHBOARD = 'apps/dashboard/dist'
const FILES = ['.env.example', DASHBOARD, 'scripts/require-node.cjs', 'supabase/migrations', 'supabase/schemas']

interface Manifest {
  name: string
  version: string
  engines: Record<string, string>
  dependencies?: Record<string, string>
}

try {
  const options = { 'with-node': { type: 'boolean' } } as const
  const { values, positionals } = parseArgs({ options, allowPositionals: true })
  const [folder, ...more] = positionals
  if (folder === undefined || more.length > 0) throw new Error(USAGE)
  const withNode = values['with-node'] === true
  await assemble(resolve(folder), withNode)
  const node = withNode ? join(folder, 'node_modules/.bin/node') : 'node'
  console.log(`${folder} is complete. Start the server with: ${node} --env-file=.env ${join(folder, 'server.js')}`)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}

async function assemble(folder: string, withNode: boolean): Promise<void> {
  requireReplaceable(folder)
  if (!existsSync(join(REPOSITORY, DASHBOARD, 'index.html')))
    throw new Error('The dashboard is not built. Run `pnpm build` first.')
  mkdirSync(dirname(folder), { recursive: true })
  // The folder is complete or absent, also if this process is killed.
  const unfinished = mkdtempSync(`${folder}-`)
  try {
    for (const file of [...INSTALLATION, ...FILES]) copy(file, unfinished)
    const packages = workspacePackages(Object.values(ENTRIES))
    for (const path of packages) {
      copy(join(path, 'package.json'), unfinished)
      copy(join(path, 'src'), unfinished)
    }
    // With filters, pnpm accepts that the folder lacks packages of the lockfile.
    const filters = packages.map((path) => `--filter=./${path}`)
    await pnpm(
      unfinished,
      'install',
      ...filters,
      '--prod',
      '--frozen-lockfile',
      '--prefer-offline',
      ...(withNode ? [] : ['--no-optional']),
    )
    for (const file of [...INSTALLATION, ...TRACES]) rmSync(join(unfinished, file))
    writeEntries(unfinished)
    // `mkdtempSync` lets only its user enter the folder. The server should run as another user.
    chmodSync(unfinished, 0o755)
    rmSync(folder, { recursive: true, force: true })
    renameSync(unfinished, folder)
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
}

/** @throws Error if the folder contains anything that this command did not write. */
function requireReplaceable(folder: string): void {
  if (!existsSync(folder) || readdirSync(folder).length === 0) return
  const manifest = join(folder, 'package.json')
  if (existsSync(manifest) && readManifest(manifest).name === NAME) return
  throw new Error(`${folder} contains other files. Name a folder that does not exist.`)
}

/** Returns the folders of these packages and of all packages of the workspace that they need at run time. */
function workspacePackages(paths: string[]): string[] {
  const found = new Set(paths)
  for (const path of found) {
    for (const name of Object.keys(readManifest(join(REPOSITORY, path, 'package.json')).dependencies ?? {}))
      if (name.startsWith('@keymeter/')) found.add(`packages/${basename(name)}`)
  }
  return [...found]
}

function readManifest(file: string): Manifest {
  return JSON.parse(readFileSync(file, 'utf8')) as Manifest
}

function copy(path: string, folder: string): void {
  cpSync(join(REPOSITORY, path), join(folder, path), { recursive: true, filter: (file) => !file.endsWith('.test.ts') })
}

/** Writes the files that people start, and a package.json with which `npm start` works too. */
function writeEntries(folder: string): void {
  for (const [entry, path] of Object.entries(ENTRIES)) {
    writeFileSync(join(folder, entry), `import './scripts/require-node.cjs'\n\nawait import('./${path}/src/main.ts')\n`)
  }
  writeFileSync(join(folder, 'keymeter'), COMMAND, { mode: 0o755 })
  const { version, engines } = readManifest(join(REPOSITORY, 'package.json'))
  const scripts = { start: 'node server.js' }
  const manifest = { name: NAME, version, private: true, type: 'module', engines, scripts }
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
}

/**
 * Runs pnpm: the one that runs this script, or version 12 from npm.
 *
 * @throws Error with the output if pnpm fails.
 */
async function pnpm(cwd: string, ...args: string[]): Promise<void> {
  const { npm_execpath: running, npm_config_user_agent: agent } = process.env
  const command =
    running !== undefined && agent?.startsWith('pnpm/') ? [running] : ['npx', '--yes', '--prefer-offline', 'pnpm@12']
  const { code, output } = await run([...command, ...args], cwd)
  if (code !== 0) throw new Error(`pnpm ${args.join(' ')} failed:\n${output}`)
}
