import { execFile, spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, matchesGlob, resolve } from 'node:path'
import { promisify } from 'node:util'
import { freePort } from '@keymeter/local'
import { serverEnv, testAuth, testDatabase } from '@keymeter/local/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startReadyMain } from '../test/start-main.ts'

const run = promisify(execFile)
const REPOSITORY = join(import.meta.dirname, '../../..')
const PLANTED = 'a-secret-that-must-stay-outside'

const database = testDatabase()
const auth = testAuth(database)
const dir = mkdtempSync(join(tmpdir(), 'keymeter-image-'))
afterAll(() => rmSync(dir, { recursive: true }))

/** The file system and the settings of one stage of the Dockerfile. Each stage has a folder in place of the root of an image. */
interface Stage {
  base: string
  root: string
  workdir: string
  settings: Record<string, string>
}

/**
 * Follows the steps of the Dockerfile in folders, because the machines of the tests have no Docker. The base images are replaced by
 * the Node and the npm of this machine. In `RUN`, only paths that are relative to `WORKDIR` work.
 */
async function build(context: string): Promise<Stage[]> {
  const stages = new Map<string, Stage>()
  let stage: Stage | undefined
  for (const { name, rest } of instructions()) {
    if (name === 'FROM') {
      const [base = '', , alias = String(stages.size)] = rest.split(' ')
      stage = { base, root: mkdtempSync(join(dir, `stage-${alias}-`)), workdir: '/', settings: {} }
      stages.set(alias, stage)
      continue
    }
    if (stage === undefined) throw new Error('The Dockerfile does not begin with FROM.')
    if (name === 'WORKDIR') {
      stage.workdir = resolve(stage.workdir, rest)
      mkdirSync(inside(stage), { recursive: true })
    } else if (name === 'COPY') {
      const [, from, paths = ''] = /^(?:--from=(\S+) )?(.*)$/.exec(rest) ?? []
      const source = from === undefined ? context : (stages.get(from)?.root ?? '')
      const sources = paths.split(' ')
      const target = sources.pop() ?? ''
      for (const path of sources) {
        const isFolder = statSync(join(source, path)).isDirectory()
        cpSync(join(source, path), inside(stage, target, isFolder ? '' : path), { recursive: true, verbatimSymlinks: true })
      }
    } else if (name === 'RUN') {
      const env = {
        ...process.env,
        PATH: `${dirname(process.execPath)}:${process.env['PATH']}`,
        npm_config_user_agent: undefined,
      }
      await run('sh', ['-c', rest], { cwd: inside(stage), env })
    } else stage.settings[name] = rest
  }
  return [...stages.values()]
}

const inside = ({ root, workdir }: Stage, ...paths: string[]) => join(root, workdir, ...paths)

function instructions(): { name: string; rest: string }[] {
  const text = readFileSync(join(REPOSITORY, 'Dockerfile'), 'utf8')
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => ({ name: line.split(' ')[0] ?? '', rest: line.slice(line.indexOf(' ') + 1) }))
}

/** Copies what `docker build` would send from a working copy: all files that .dockerignore does not exclude. */
async function createContext(): Promise<string> {
  const context = join(dir, 'context')
  const list = await run('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: REPOSITORY })
  const ignored = ['.env', '.env.production', '.local/secrets.json', 'node_modules/left-over/index.js', 'production/server.js']
  const isExcluded = excluded()
  for (const file of list.stdout.trim().split('\n')) {
    if (!isExcluded(file)) cpSync(join(REPOSITORY, file), join(context, file))
  }
  for (const file of ignored.filter((file) => !isExcluded(file))) {
    mkdirSync(dirname(join(context, file)), { recursive: true })
    writeFileSync(join(context, file), PLANTED)
  }
  return context
}

/** As in Docker, a pattern also excludes everything in the folders that it matches, and the last pattern that matches decides. */
function excluded(): (file: string) => boolean {
  const patterns = readFileSync(join(REPOSITORY, '.dockerignore'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
  return (file) => {
    const parents = file.split('/').map((_, i, parts) => parts.slice(0, i + 1).join('/'))
    const last = patterns.findLast((pattern) => parents.some((path) => matchesGlob(path, pattern.replace(/^!/, ''))))
    return last !== undefined && !last.startsWith('!')
  }
}

const filesIn = (parent: string): string[] =>
  readdirSync(parent, { withFileTypes: true }).flatMap((entry) => {
    const path = join(parent, entry.name)
    return entry.isDirectory() ? [path, ...filesIn(path)] : entry.isFile() ? [path] : []
  })

describe('Dockerfile', () => {
  let builder: Stage
  let image: Stage
  beforeAll(async () => {
    const [first, second, ...others] = await build(await createContext())
    if (first === undefined || second === undefined || others.length > 0) throw new Error('The Dockerfile has two stages.')
    builder = first
    image = second
  })

  it('both stages use the Node version of the repository', () => {
    const version = readFileSync(join(REPOSITORY, '.node-version'), 'utf8').trim()
    expect([builder.base, image.base]).toEqual([`node:${version}-bookworm-slim`, `node:${version}-bookworm-slim`])
  })

  it('the image runs as a user without rights who can read all its files and change none', () => {
    expect(image.settings['USER']).toBe('node')
    const modes = filesIn(inside(image)).map((file) => [file, statSync(file)] as const)
    expect(modes.length).toBeGreaterThan(1_000)
    const unreadable = modes.filter(([, stat]) => (stat.mode & (stat.isDirectory() ? 0o5 : 0o4)) === 0)
    expect(unreadable.map(([file]) => file)).toEqual([])
    expect(modes.filter(([, { mode }]) => mode & 0o2).map(([file]) => file)).toEqual([])
  })

  it('the command `keymeter` of compose.yaml is in the PATH of the image, and everybody can run it', async () => {
    const [, folder] = /\bPATH=([^:]+):\$PATH$/.exec(image.settings['ENV'] ?? '') ?? []
    expect(folder).toBe(image.workdir)
    expect(readFileSync(join(REPOSITORY, 'compose.yaml'), 'utf8')).toContain('entrypoint: [keymeter]')
    expect(statSync(inside(image, 'keymeter')).mode & 0o777).toBe(0o755)
    const env = { PATH: `${dirname(process.execPath)}:${process.env['PATH']}` }
    expect((await run(inside(image, 'keymeter'), ['--help'], { cwd: dir, env })).stdout).toContain('Usage: keymeter')
  })

  it('no stage contains settings, local data or packages of the working copy', () => {
    for (const stage of [builder, image]) {
      const own = filesIn(stage.root).filter((file) => !file.includes('/node_modules/.pnpm/') && statSync(file).isFile())
      expect(own.length).toBeGreaterThan(100)
      expect(own.filter((file) => readFileSync(file, 'utf8') === PLANTED)).toEqual([])
    }
  })

  it('the command starts the server, the health check succeeds only while it runs, and SIGTERM ends it', async () => {
    expect(JSON.parse(image.settings['CMD'] ?? '')).toEqual(['node', 'server.js'])
    const port = await freePort()
    const env = serverEnv(database, auth, port)
    const [, check] = /CMD (\[.*\])$/.exec(image.settings['HEALTHCHECK'] ?? '') ?? []
    const [, ...args] = JSON.parse(check ?? '[]') as string[]
    const isHealthy = async () =>
      await new Promise((resolve) => spawn(process.execPath, args, { env }).once('exit', (code) => resolve(code === 0)))
    expect(await isHealthy()).toBe(false)
    const server = await startReadyMain(env, `http://127.0.0.1:${port}`, inside(image, 'server.js'))
    expect(await isHealthy()).toBe(true)
    server.child.kill('SIGTERM')
    expect(await server.ended).toBe(0)
    expect(await isHealthy()).toBe(false)
  })
})
