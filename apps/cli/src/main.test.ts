import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { provisioned } from '@keymeter/api/testing'
import { testDatabase } from '@keymeter/local/testing'
import { describe, expect, it } from 'vitest'

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url))
const database = testDatabase()

function keymeter(
  args: string[],
  env: Record<string, string>,
  input = '',
): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const { stdin } = execFile(process.execPath, [MAIN, ...args], { env }, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    )
    // The process can end before it has read the input.
    stdin?.on('error', () => {}).end(input)
  })
}

describe('process of `keymeter`', () => {
  it('a CLI command exits with code 0 if it found nothing wrong, or with code 1 if it found a fault', async () => {
    const env = { MIGRATION_DATABASE_URL: database.urls.owner }
    const { host, pathname } = new URL(database.urls.owner)
    expect(await keymeter(['verify-audit'], env)).toEqual({
      code: 0,
      stdout: '0 accounts, 0 entries: every chain is complete.\n',
      stderr: `Database: ${host}${pathname}\n`,
    })
    const userId = await database.createUser()
    await database.owner.query(
      "select keymeter.create_account($1::uuid, $1::uuid, null, sha256($1::uuid::text::bytea), null, row('test', null, null))",
      [userId],
    )
    await database.owner.query('update billing_accounts set credits_used = 5 where user_id = $1', [userId])
    const differs = await keymeter(['reconcile', '--json'], env)
    expect(differs.code).toBe(1)
    expect(JSON.parse(differs.stdout)).toMatchObject({ differences: [{ userId, what: 'balance' }] })
  })

  it('a secret is read from the only line of the standard input, and a revoke without a terminal needs --yes', async () => {
    const env = { MIGRATION_DATABASE_URL: database.urls.owner }
    const { userId, defaultKey } = await provisioned(database)
    const found = await keymeter(['find-key', '--json'], env, `\n${defaultKey.secret}\r\n\n`)
    expect(found.code).toBe(0)
    expect(JSON.parse(found.stdout)).toMatchObject({ keys: [{ accountId: userId, key: { id: defaultKey.id } }], fault: null })
    for (const command of [['find-key'], ['revoke-key', '-', '--yes']])
      expect(await keymeter(command, env, `${defaultKey.secret}\n${defaultKey.secret}\n`)).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('one secret at a time'),
      })
    expect(await keymeter(['find-key'], env)).toMatchObject({ code: 1, stdout: expect.stringContaining('not a secret') })
    expect(await keymeter(['find-key'], env, 'x'.repeat(100_000))).toMatchObject({ code: 2, stdout: '' })
    expect(await keymeter(['revoke-key', '-'], env, defaultKey.secret)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Pass --yes to confirm it'),
    })
    const revoked = await keymeter(['revoke-key', '-', '--yes', '--json'], env, defaultKey.secret)
    expect(JSON.parse(revoked.stdout)).toMatchObject({ isRevoked: true, key: { status: 'revoked' } })
  })

  it('a reader that closes the pipe early does not make a command fail, and a full disk does', async () => {
    const env = { MIGRATION_DATABASE_URL: database.urls.owner, PATH: process.env['PATH'] ?? '' }
    const inShell = async (command: string) =>
      await new Promise<{ code: number; stderr: string }>((resolve) => {
        execFile('bash', ['-c', `set -o pipefail; ${command}`], { env }, (error, _, stderr) =>
          resolve({ code: typeof error?.code === 'number' ? error.code : 0, stderr }),
        )
      })
    const plans = `'${process.execPath}' '${MAIN}' plans`
    expect(await inShell(`${plans} | (exec <&-; sleep 0)`)).toMatchObject({
      code: 0,
      stderr: expect.not.stringContaining('EPIPE'),
    })
    if (process.platform === 'linux')
      expect(await inShell(`${plans} > /dev/full`)).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('cannot be written'),
      })
  })

  it('a CLI command that cannot run prints an error on stderr and exits with code 2', async () => {
    expect(await keymeter(['plans'], { MIGRATION_DATABASE_URL: 'postgresql://postgres@127.0.0.1:1/none' })).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(/^Database: 127\.0\.0\.1:1\/none\nError: connect ECONNREFUSED/),
    })
  })
})
