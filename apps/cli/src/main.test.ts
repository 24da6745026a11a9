import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { testDatabase } from '@keymeter/local/testing'
import { describe, expect, it } from 'vitest'

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url))
const database = testDatabase()

function keymeter(args: string[], url = database.urls.owner): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) =>
    execFile(process.execPath, [MAIN, ...args], { env: { MIGRATION_DATABASE_URL: url } }, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    ),
  )
}

/** An account whose log says that it has one entry, and has none. */
async function breakChain(): Promise<string> {
  const userId = await database.createUser()
  await database.owner.query("insert into billing_accounts (user_id, audit_length, audit_head) values ($1, 1, sha256('x'))", [
    userId,
  ])
  return userId
}

describe('pnpm keymeter', () => {
  it('verify-audit says that all is well with exit code 0, and names a broken link with exit code 1', async () => {
    expect(await keymeter(['verify-audit'])).toMatchObject({
      code: 0,
      stdout: '0 accounts, 0 entries: every chain is whole.\n',
    })
    const userId = await breakChain()
    const broken = await keymeter(['verify-audit'])
    expect(broken.code).toBe(1)
    expect(broken.stdout).toContain(`Account ${userId}: entry 1 is missing.`)
    const json = await keymeter(['verify-audit', '--json'])
    expect(json.code).toBe(1)
    expect(JSON.parse(json.stdout)).toEqual({ accounts: 1, entries: 0, faults: [{ userId, sequence: 1, fault: 'missing' }] })
  })

  it('reconcile does the same for what is kept of usage', async () => {
    await database.owner.query('delete from billing_accounts')
    expect(await keymeter(['reconcile'])).toMatchObject({ code: 0, stdout: 'Everything agrees.\n' })
    const userId = await database.createUser()
    await database.owner.query('insert into billing_accounts (user_id) values ($1)', [userId])
    await database.owner.query('update billing_accounts set credits_used = 5 where user_id = $1', [userId])
    const differs = await keymeter(['reconcile'])
    expect(differs.code).toBe(1)
    expect(differs.stdout).toMatch(new RegExp(`Account ${userId}: balance, cycle .*: 5 is kept, the events say 0\\.`))
    const { code, stdout } = await keymeter(['reconcile', '--json'])
    expect([code, JSON.parse(stdout)]).toMatchObject([
      1,
      { differences: [{ userId, what: 'balance', kept: '5', counted: '0' }] },
    ])
  })

  it('says with exit code 2 why it cannot run', async () => {
    const unreachable = await keymeter(['verify-audit'], 'postgresql://postgres:hidden@127.0.0.1:1/none')
    expect(unreachable).toMatchObject({ code: 2, stderr: expect.stringContaining('ECONNREFUSED') })
    expect(unreachable.stderr).not.toContain('hidden')
    expect((await keymeter(['verify-audits'])).code).toBe(2)
    expect(await keymeter(['--help'])).toMatchObject({ code: 0, stdout: expect.stringContaining('verify-audit') })
  })
})
