import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { testAuth, testDatabase, testServer } from '@keymeter/local/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const REPOSITORY = join(import.meta.dirname, '../../..')
const PAGES = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'deploy/README.md', 'docs/operations.md', 'docs/operator.md']
/** These blocks of the README need more than a running product. Other tests run what they do. */
const NOT_RUN = [/pnpm@12 dev$/m, /pnpm@12 migrate$/m, /pnpm@12 assemble/, /usage\.watch/]
const SHELLS = ['bash', 'zsh'].filter((shell) => spawnSync(shell, ['--version']).error === undefined)
/** The blocks must not need jq. The CLI runs in place of pnpm, which would install the clone. */
const PRELUDE = `
set -eu
set -o pipefail
jq() { echo 'jq is not on this machine' >&2; return 127; }
npx() { [ "$1 $2 $3" = '-y pnpm@12 keymeter' ] || return 126; shift 3; "$NODE" "$CLI" "$@"; }
`
/**
 * The machines of the tests have no terminal. So the secret that a person would paste comes from a file, and `--yes` replaces the answer
 * of a person.
 */
const KEYMETER_WITHOUT_TERMINAL = `
keymeter() {
  case "$*" in
    find-key) "$NODE" "$CLI" find-key < secret.txt ;;
    'revoke-key - '*) "$NODE" "$CLI" "$@" ;;
    'revoke-key '*) "$NODE" "$CLI" "$@" --yes ;;
    *) "$NODE" "$CLI" "$@" ;;
  esac
}
`
/** A whole secret, an access token, or the service key of the tests. */
const SECRET = /km_(?:dev|prod)_[0-9A-Za-z]{55}|eyJ[\w-]+\.eyJ|keymeter_service_/

const database = testDatabase()
const auth = testAuth(database)
const server = testServer(database, auth)
const dir = mkdtempSync(join(tmpdir(), 'keymeter-readme-'))
afterAll(() => rmSync(dir, { recursive: true }))

function blocksOf(page: string, language: 'sh' | 'sql' = 'sh'): string[] {
  const text = readFileSync(join(REPOSITORY, page), 'utf8')
  const blocks = new RegExp(`^( *)\`\`\`${language}\\n([\\s\\S]*?)^ *\`\`\`$`, 'gm')
  return [...text.matchAll(blocks)].map(([, indent = '', block = '']) => block.replaceAll(new RegExp(`^${indent}`, 'gm'), ''))
}

describe('the blocks of shell commands', () => {
  it('contain no comments, because zsh accepts none when a person pastes them', () => {
    for (const page of PAGES) {
      const commented = blocksOf(page).filter((block) => /(^|\s)#(?! *!)/m.test(block.replaceAll(/'[^']*'|"[^"]*"/g, '')))
      expect([page, commented]).toEqual([page, []])
    }
  })

  it('of the README are run by this test, except those that need more than a running product', () => {
    for (const pattern of NOT_RUN)
      expect([pattern, blocksOf('README.md').filter((block) => pattern.test(block)).length]).toEqual([pattern, 1])
    expect(runnable().length).toBeGreaterThan(5)
  })

  describe.each(SHELLS)('of the README in %s', (shell) => {
    const clone = join(dir, shell)
    const settings = {
      DATABASE_URL: database.urls.api,
      MIGRATION_DATABASE_URL: database.urls.owner,
      SUPABASE_PUBLISHABLE_KEY: auth.publishableKey,
      SUPABASE_JWT_SECRET: auth.jwtSecret,
      KEYMETER_SERVICE_KEY: auth.serviceKey,
    }
    const git = (...args: string[]) => execFileSync('git', args, { cwd: clone, encoding: 'utf8' }).trim()
    let output = ''
    beforeAll(async () => {
      execFileSync('git', ['clone', '--quiet', '--no-hardlinks', REPOSITORY, clone])
      const supabase = { SUPABASE_URL: auth.supabaseUrl }
      const lines = Object.entries({ ...settings, ...supabase }).map(([name, value]) => `${name}=${value}\n`)
      mkdirSync(join(clone, '.local'))
      writeFileSync(join(clone, '.local/env'), lines.join(''))
      // The commands of the CLI are the same in each shell, and each takes about a second.
      const blocks = runnable().filter((block) => shell === SHELLS[0] || !/(^|pnpm@12 )keymeter /m.test(block))
      const script = blocks.flatMap((block) => [block, block]).join('\n')
      const env = {
        ...settings,
        ...supabase,
        PATH: process.env['PATH'],
        NODE: process.execPath,
        CLI: join(REPOSITORY, 'apps/cli/src/main.ts'),
      }
      output = await run(shell, PRELUDE + script.replaceAll('http://127.0.0.1:3000', server.url), { cwd: clone, env })
    })

    it('succeed when each block is pasted twice, without jq', () => {
      expect(output).not.toMatch(/"error":|TypeError/)
      for (const [text, times] of [
        ['"verdict":"charged"', 2],
        ['"verdict":"refunded"', 2],
        ['"name":"Production"', 4],
        ['Error:', 0],
      ] as const)
        expect([text, output.split(text).length - 1]).toEqual([text, times])
    })

    it('write nothing that git would add, and no secret into a file', () => {
      expect(git('status', '--porcelain')).toBe('')
      expect(git('status', '--porcelain', '--ignored').split('\n').toSorted()).toEqual(['!! .env', '!! .local/'])
      expect(statSync(join(clone, '.env')).mode & 0o777).toBe(0o600)
      expect(readFileSync(join(clone, '.env'), 'utf8')).not.toMatch(SECRET)
      // The test itself would find a secret.
      expect(output).toMatch(SECRET)
    })
  })
})

interface Answer {
  user: { id: string }
  defaultKey: { id: string; secret: string; keyPrefix: string }
  account: { billingCycle: { start: string } }
}

describe('docs/operator.md', () => {
  it('every command of the page succeeds for a customer, in the order of the page', async () => {
    const cwd = mkdtempSync(join(dir, 'operator-'))
    const email = 'demo@example.com'
    const post = async (procedure: string, token: string | null, input: object) => {
      const headers = { 'content-type': 'application/json', ...(token !== null && { authorization: `Bearer ${token}` }) }
      const response = await fetch(`${server.url}/trpc/${procedure}`, { method: 'POST', headers, body: JSON.stringify(input) })
      expect([procedure, response.status]).toEqual([procedure, 200])
      const body = (await response.json()) as { result: { data: Answer } }
      return body.result.data
    }
    const { user, defaultKey } = await post('auth.signup', null, { email, password: 'a long password' })
    const grant = { accountId: user.id, credits: 500, idempotencyKey: 'invoice-7' }
    const { account } = await post('operator.grantTopUp', auth.serviceKey, grant)
    writeFileSync(join(cwd, 'secret.txt'), `${defaultKey.secret}\n`)

    const examples = {
      '2026-10-09T23:54:22.466Z': account.billingCycle.start,
      km_prod_p25tbFCB: defaultKey.keyPrefix,
      '19b57173-45a4-4080-8c1e-23700c22c098': defaultKey.id,
    }
    const script = Object.entries(examples).reduce((text, [example, value]) => {
      expect(text).toContain(example)
      return text.replaceAll(example, value)
    }, blocksOf('docs/operator.md').join('\n'))
    const env = {
      MIGRATION_DATABASE_URL: database.urls.owner,
      PATH: process.env['PATH'],
      NODE: process.execPath,
      CLI: join(REPOSITORY, 'apps/cli/src/main.ts'),
    }
    const output = await run('bash', PRELUDE + KEYMETER_WITHOUT_TERMINAL + script, { cwd, env })
    for (const [text, times] of [
      ['works now        yes', 3],
      ['Revoked: The dev key "default"', 1],
      ['was already revoked', 1],
      ['All totals agree', 1],
      ['Took back 500 credits.', 1],
      ['Suspended since', 1],
      ['Resumed.', 1],
      ['Error:', 0],
    ] as const)
      expect([text, output.split(text).length - 1]).toEqual([text, times])
    expect(output).not.toMatch(SECRET)

    const statements = blocksOf('docs/operator.md', 'sql')
    expect(statements).toHaveLength(1)
    for (const statement of statements) await database.owner.query(statement)
  })
})

function runnable(): string[] {
  return blocksOf('README.md').filter((block) => !NOT_RUN.some((pattern) => pattern.test(block)))
}

/** @returns what the commands write. */
function run(shell: string, script: string, options: { cwd: string; env: NodeJS.ProcessEnv }): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(shell, ['-c', script], options, (error, stdout, stderr) => {
      const output = `${stdout}\n${stderr}`
      if (error) reject(new Error(`The blocks failed:\n${output}`))
      else resolve(output)
    })
    child.stdin?.end()
  })
}
