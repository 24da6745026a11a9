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
  await database.owner.query(
    "insert into billing_accounts (user_id, credits_per_cycle, audit_length, audit_head) values ($1, 1000, 1, sha256('x'))",
    [userId],
  )
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
    await database.owner.query('select keymeter.create_account($1)', [userId])
    await database.owner.query('update billing_accounts set credits_used = 5 where user_id = $1', [userId])
    const differs = await keymeter(['reconcile'])
    expect(differs.code).toBe(1)
    expect(differs.stdout).toMatch(new RegExp(`Account ${userId}: balance, cycle .*: 5 is stored, 0 is expected\\.`))
    const { code, stdout } = await keymeter(['reconcile', '--json'])
    expect([code, JSON.parse(stdout)]).toMatchObject([
      1,
      { differences: [{ userId, what: 'balance', stored: '5', expected: '0' }] },
    ])
  })

  it('tops an account up, changes its plan, suspends and resumes it, by id or address', async () => {
    const userId = await database.createUser()
    await database.owner.query('select keymeter.create_account($1)', [userId])
    const { rows } = await database.owner.query<{ email: string }>('select email from auth.users where id = $1', [userId])
    const email = rows[0]?.email.toUpperCase() ?? ''
    expect((await keymeter(['account', email])).stdout).toMatch(
      new RegExp(`^${userId}\\n1000 credits left until .*, on free\\.\\n$`),
    )
    const json = async (...args: string[]) => JSON.parse((await keymeter([...args, '--json'])).stdout)

    const grant = ['top-up', email, '250', '--idempotency-key', 'invoice-7', '--note', 'paid']
    expect(await json(...grant)).toMatchObject({ accountId: userId, replayed: false, account: { creditsRemaining: 1250 } })
    expect((await keymeter(grant)).stdout).toContain('nothing was added')
    expect(await json('plan', 'pro', '--credits', '9000')).toEqual({ plan: 'pro', creditsPerCycle: 9000 })
    expect((await keymeter(['plans'])).stdout).toBe('free: 1000 credits per cycle\npro: 9000 credits per cycle\n')
    expect(await json('change-plan', userId, 'pro')).toMatchObject({ account: { plan: 'pro', creditsRemaining: 9250 } })
    expect(await json('suspend', userId)).toMatchObject({ account: { suspendedAt: expect.any(String) } })
    expect((await keymeter(['account', userId])).stdout).toContain(`${userId}, suspended since 2`)
    expect(await json('resume', email)).toMatchObject({ account: { suspendedAt: null } })
    expect(await json('account', userId)).toMatchObject({ accountId: userId, account: { plan: 'pro', suspendedAt: null } })

    // Should the answer be lost, the next try can be the same one.
    const { stderr } = await keymeter(['top-up', userId, '5'])
    const [, key = ''] = /--idempotency-key (\S+)\n/.exec(stderr) ?? []
    expect(await json('top-up', userId, '5', '--idempotency-key', key)).toMatchObject({ replayed: true })
    const newcomer = await database.createUser()

    for (const [args, why] of [
      [['top-up', 'nobody@example.org', '1'], 'There is no account nobody@example.org'],
      [['top-up', newcomer, '1'], `${newcomer} has no account yet`],
      [['top-up', userId, '0'], 'Grant at least 1 credit'],
      [['top-up', userId, ''], 'a whole number in digits alone'],
      [['plan', 'free', '--credits', ''], 'a whole number in digits alone'],
      [['plan', 'free', '--credits', '50,000'], 'a whole number in digits alone'],
      [['plan', 'free', '--credits', '1125899906842625'], 'Give at most 2^50 credits'],
      [['change-plan', userId, 'gold'], 'There is no such plan'],
      [['plan', 'Gold!', '--credits', '1'], 'Use 1 to 32'],
    ] as const)
      expect(await keymeter([...args])).toMatchObject({ code: 2, stderr: expect.stringContaining(why) })
  })

  it('drop-usage drops old months with exit code 0, and says with exit code 1 what stands against it', async () => {
    await database.owner.query('delete from billing_accounts')
    expect(await keymeter(['drop-usage', '--before', '2020-01'])).toMatchObject({
      code: 0,
      stdout: 'There are no events of that time.\n',
    })
    const refused = await keymeter(['drop-usage', '--before', '9999-01'])
    expect(refused.code).toBe(1)
    expect(refused.stdout).toMatch(/35 days[\s\S]*--before \d{4}-\d\d[\s\S]*Nothing was dropped of \d{4}-\d\d/)
    const userId = await database.createUser()
    await database.owner.query(
      `insert into billing_accounts (user_id, credits_per_cycle, billing_cycle_anchor, billing_cycle_start, last_event_sequence, last_event_at)
       values ($1, 1000, '2020-03-10Z', '2020-03-10Z', 1, '2020-03-20Z')`,
      [userId],
    )
    await database.owner.query('select keymeter.advance_accounts(array[$1::uuid], keymeter.now())', [userId])
    await database.owner.query(
      `insert into api_key_usage (user_id, sequence, created_at, api_key_id, operation, verdict, credits_requested, credits_charged, remaining, cycle_start, cycle_end)
       values ($1, 1, '2020-03-20Z', gen_random_uuid(), 'x', 'revoked', 1, 0, 1, '2020-03-10Z', '2020-04-10Z')`,
      [userId],
    )
    await database.owner.query("insert into operations values ($1, 'x')", [userId])
    const said = await keymeter(['drop-usage', '--before', '2020-04', '--dry-run', '--json'])
    // In no month's partition yet: it is moved to its own when something is dropped.
    expect([said.code, JSON.parse(said.stdout)]).toEqual([0, { months: [], isDropped: false, obstacles: [] }])
    const dropped = await keymeter(['drop-usage', '--before', '2020-04', '--json'])
    expect([dropped.code, JSON.parse(dropped.stdout)]).toEqual([0, { months: ['2020-03'], isDropped: true, obstacles: [] }])
    expect(await keymeter(['reconcile'])).toMatchObject({ code: 0 })
    expect(await keymeter(['drop-usage', '--before', 'March'])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/is invalid\. Name a month like 2026-01\.$/m),
    })
    expect((await keymeter(['drop-usage'])).code).toBe(2)
  })

  it('says with exit code 2 why it cannot run', async () => {
    const unreachable = await keymeter(['verify-audit'], 'postgresql://postgres:hidden@127.0.0.1:1/none')
    expect(unreachable).toMatchObject({ code: 2, stderr: expect.stringContaining('ECONNREFUSED') })
    expect(unreachable.stderr).not.toContain('hidden')
    expect(unreachable.stderr).toContain('Database: 127.0.0.1:1/none\n')
    // A slash that ought to be written %2F.
    for (const url of ['postgres://owner:12/hidden@127.0.0.1:1/none', 'postgres://owner:/hidden@127.0.0.1:1/none'])
      expect((await keymeter(['verify-audit'], url)).stderr).not.toContain('hidden')
    expect(await keymeter(['verify-audit'], 'postgresql://postgres@localhost:1/none')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('This did not work: connect ECONNREFUSED'),
    })
    expect((await keymeter(['verify-audits'])).code).toBe(2)
    expect(await keymeter(['--help'])).toMatchObject({ code: 0, stdout: expect.stringContaining('verify-audit') })
  })
})
