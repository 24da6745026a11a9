import { testDatabase } from '@keymeter/local/testing'
import { beforeEach, describe, expect, it } from 'vitest'
import { runCommand } from '../test/run-command.ts'

const database = testDatabase()
beforeEach(async () => {
  await database.owner.query('delete from billing_accounts')
  await database.owner.query('delete from auth.users')
})

async function keymeter(
  args: readonly string[],
  { url = database.urls.owner, isInteractive = false }: { url?: string; isInteractive?: boolean } = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  return await runCommand(args, { settings: { MIGRATION_DATABASE_URL: url }, isInteractive })
}

async function createAccount(): Promise<string> {
  const userId = await database.createUser()
  await database.owner.query(
    "select keymeter.create_account($1::uuid, $1::uuid, null, sha256($1::uuid::text::bytea), null, row('test', null, null))",
    [userId],
  )
  return userId
}

/** Creates an account with a broken audit log: the row of the account counts one entry, but the log is empty. */
async function breakChain(): Promise<string> {
  const userId = await database.createUser()
  await database.owner.query(
    "insert into billing_accounts (user_id, credits_per_cycle, audit_length, audit_head) values ($1, 1000, 1, sha256('x'))",
    [userId],
  )
  return userId
}

describe('keymeter', () => {
  it('`verify-audit` exits with code 0 if every audit log is complete; otherwise, it prints the faults and exits with code 1', async () => {
    expect(await keymeter(['verify-audit'])).toMatchObject({
      code: 0,
      stdout: '0 accounts, 0 entries: every chain is complete.\n',
    })
    const userId = await breakChain()
    const broken = await keymeter(['verify-audit'])
    expect(broken.code).toBe(1)
    expect(broken.stdout).toContain(`Account ${userId}: entry 1 is missing.`)
    const json = await keymeter(['verify-audit', '--json'])
    expect(json.code).toBe(1)
    expect(JSON.parse(json.stdout)).toEqual({ accounts: 1, entries: 0, faults: [{ userId, sequence: 1, fault: 'missing' }] })
  })

  it('`reconcile` exits with code 0 if all totals agree with the events; otherwise, it prints the differences and exits with code 1', async () => {
    expect(await keymeter(['reconcile'])).toMatchObject({ code: 0, stdout: 'All totals agree with the usage events.\n' })
    const userId = await createAccount()
    await database.owner.query('update billing_accounts set credits_used = 5 where user_id = $1', [userId])
    const differs = await keymeter(['reconcile'])
    expect(differs.code).toBe(1)
    expect(differs.stdout).toMatch(new RegExp(`Account ${userId}: balance, cycle .*: 5 is stored, 0 is expected\\.`))
    const { code, stdout } = await keymeter(['reconcile', '--json'])
    expect([code, JSON.parse(stdout)]).toMatchObject([
      1,
      { differences: [{ userId, what: 'balance', stored: '5', expected: '0' }] },
    ])
    const other = await createAccount()
    expect(await keymeter(['reconcile', other])).toMatchObject({ code: 0, stdout: 'All totals agree with the usage events.\n' })
    for (const account of [userId, `${userId}@example.com`])
      expect(await keymeter(['reconcile', account])).toMatchObject({ code: 1, stdout: expect.stringContaining(userId) })
    expect(await keymeter(['reconcile', 'nobody@example.org'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('There is no account nobody@example.org'),
    })
  })

  it('the CLI finds an account by id or e-mail address, and can top it up, change its plan, suspend it and resume it', async () => {
    const userId = await createAccount()
    const { rows } = await database.owner.query<{ email: string }>('select email from auth.users where id = $1', [userId])
    const email = rows[0]?.email.toUpperCase() ?? ''
    expect((await keymeter(['account', email])).stdout).toMatch(
      new RegExp(`^${userId}\\n1000 credits left until .*, on free\\.\\n\\nMEMBER .*\\n.* ${userId}  owner .*\\n$`),
    )
    const json = async (...args: string[]) => JSON.parse((await keymeter([...args, '--json'])).stdout)

    const grant = ['top-up', email, '250', '--idempotency-key', 'invoice-7', '--note', 'paid']
    expect(await json(...grant)).toMatchObject({ accountId: userId, replayed: false, account: { creditsRemaining: 1250 } })
    expect((await keymeter(grant)).stdout).toContain('Nothing was added')
    expect(await json('plan', 'pro', '--credits', '9000')).toEqual({ plan: 'pro', creditsPerCycle: 9000 })
    expect((await keymeter(['plans'])).stdout).toBe('free: 1000 credits per cycle\npro: 9000 credits per cycle\n')
    expect(await json('change-plan', userId, 'pro')).toMatchObject({ account: { plan: 'pro', creditsRemaining: 9250 } })
    expect(await json('suspend', userId)).toMatchObject({ account: { suspendedAt: expect.any(String) } })
    expect((await keymeter(['account', userId])).stdout).toContain(`${userId}, suspended since 2`)
    expect(await json('resume', email)).toMatchObject({ account: { suspendedAt: null } })
    expect(await json('account', userId)).toMatchObject({ accountId: userId, account: { plan: 'pro', suspendedAt: null } })

    // A retry with the idempotency key from stderr grants nothing more.
    const { stderr } = await keymeter(['top-up', userId, '5'])
    const [, key = ''] = /--idempotency-key (\S+)\n/.exec(stderr) ?? []
    expect(await json('top-up', userId, '5', '--idempotency-key', key)).toMatchObject({ replayed: true })

    const takeBack = [
      'take-back',
      email,
      'invoice-7',
      '--credits',
      '100',
      '--idempotency-key',
      'refund-7',
      '--note',
      'refunded',
    ]
    expect(await json(...takeBack)).toMatchObject({
      accountId: userId,
      creditsTakenBack: 100,
      creditsSpent: 0,
      replayed: false,
      account: { topUps: 155 },
    })
    expect((await keymeter(takeBack)).stdout).toContain('has already taken back 100 credits. Nothing more was taken back.')
    const rest = await keymeter(['take-back', userId, 'invoice-7'])
    expect(rest).toMatchObject({ stdout: expect.stringContaining('Took back 150 credits.\n') })
    const [, restKey = ''] = /--idempotency-key (\S+)\n/.exec(rest.stderr) ?? []
    expect(await json('take-back', userId, 'invoice-7', '--idempotency-key', restKey)).toMatchObject({
      replayed: true,
      creditsTakenBack: 150,
    })

    // A user who has never opened the dashboard has no account. The first change by the operator creates it.
    const newcomer = await database.createUser()
    expect(await json('account', newcomer)).toEqual({ accountId: newcomer, account: null })
    expect((await keymeter(['account', `${newcomer}@example.com`])).stdout).toContain('has no account yet')
    const none = { plan: 'free', freeCreditsRefusal: 'not_confirmed', creditsPerCycle: 0 }
    expect(await json('top-up', `${newcomer}@example.com`, '7')).toMatchObject({
      accountId: newcomer,
      account: { ...none, topUps: 7, creditsRemaining: 7 },
    })
    const commands = [['change-plan', 'pro'], ['suspend'], ['resume']]
    for (const [name = '', ...rest] of commands) {
      const user = await database.createUser()
      expect(await json(name, `${user}@example.com`, ...rest)).toMatchObject({ accountId: user })
      expect(await json('account', user)).toMatchObject({
        account: name === 'change-plan' ? { plan: 'pro', creditsRemaining: 9000 } : none,
      })
    }

    for (const [args, why] of [
      [['top-up', 'nobody@example.org', '1'], 'There is no account nobody@example.org'],
      [['top-up', userId, '0'], 'Grant at least 1 credit'],
      [['top-up', userId, ''], 'a whole number with digits only'],
      [['take-back', userId, 'invoice-8'], 'no top-up with this idempotency key'],
      [['take-back', userId, 'invoice-7', '--credits', '0'], 'Take back at least 1 credit'],
      [['take-back', userId, 'invoice-7', '--credits', '1.5'], 'a whole number with digits only'],
      [['take-back', userId, 'invoice-7', '--credits', '1', '--idempotency-key', 'refund-7'], 'used for a different request'],
      [['plan', 'free', '--credits', ''], 'a whole number with digits only'],
      [['plan', 'free', '--credits', '50,000'], 'a whole number with digits only'],
      [['plan', 'free', '--credits', '1125899906842625'], 'Give at most 2^50 credits'],
      [['change-plan', userId, 'gold'], 'There is no such plan'],
      [['plan', 'Gold!', '--credits', '1'], 'Use 1 to 32'],
    ] as const)
      expect(await keymeter([...args])).toMatchObject({ code: 2, stderr: expect.stringContaining(why) })
  })

  it('`drop-usage` drops old months and exits with code 0; if it cannot drop a month, it prints the reasons and exits with code 1', async () => {
    expect(await keymeter(['drop-usage', '--before', '2020-01'])).toMatchObject({
      code: 0,
      stdout: 'There are no usage events from before that month.\n',
    })
    const refused = await keymeter(['drop-usage', '--before', '9999-01'])
    expect(refused.code).toBe(1)
    expect(refused.stdout).toMatch(/35 days[\s\S]*--before \d{4}-\d\d[\s\S]*The events of \d{4}-\d\d[^\n]* were not dropped/)
    const userId = await database.createUser()
    await database.owner.query(
      `insert into billing_accounts (user_id, credits_per_cycle, free_credits_refusal, billing_cycle_anchor, billing_cycle_start, last_event_sequence, last_event_at)
       values ($1, 1000, 'not_offered', '2020-03-10Z', '2020-03-10Z', 1, '2020-03-20Z')`,
      [userId],
    )
    await database.owner.query("insert into account_members (user_id, member_id, role) values ($1, $1, 'owner')", [userId])
    await database.owner.query('select keymeter.advance_accounts(array[$1::uuid], keymeter.now())', [userId])
    await database.owner.query(
      `insert into api_key_usage (user_id, sequence, created_at, api_key_id, operation, verdict, credits_requested, credits_charged, remaining, cycle_start, cycle_end)
       values ($1, 1, '2020-03-20Z', gen_random_uuid(), 'x', 'revoked', 1, 0, 1, '2020-03-10Z', '2020-04-10Z')`,
      [userId],
    )
    await database.owner.query("insert into operations values ($1, 'x')", [userId])
    const dryRun = await keymeter(['drop-usage', '--before', '2020-04', '--dry-run', '--json'])
    // The event is in the default partition, so the dry run finds no month to drop. The real run first moves the event to a
    // partition for its month, and then drops this partition.
    expect([dryRun.code, JSON.parse(dryRun.stdout)]).toEqual([0, { months: [], isDropped: false, obstacles: [] }])
    const dropped = await keymeter(['drop-usage', '--before', '2020-04', '--json'])
    expect([dropped.code, JSON.parse(dropped.stdout)]).toEqual([0, { months: ['2020-03'], isDropped: true, obstacles: [] }])
    expect(await keymeter(['reconcile'])).toMatchObject({ code: 0 })
    expect(await keymeter(['drop-usage', '--before', 'March'])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/is invalid\. Write a month like 2026-01\.$/m),
    })
    expect((await keymeter(['drop-usage'])).code).toBe(2)
  })

  it('a CLI command that cannot run prints an error and exits with code 2, but never prints the password of the database', async () => {
    const unreachable = await keymeter(['verify-audit'], { url: 'postgresql://postgres:hidden@127.0.0.1:1/none' })
    expect(unreachable).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('ECONNREFUSED') })
    expect(unreachable.stderr).not.toContain('hidden')
    expect(unreachable.stderr).toContain('Database: 127.0.0.1:1/none\n')
    // The password in these URLs contains a slash that is not written as %2F, so the URLs are invalid.
    for (const url of ['postgres://owner:12/hidden@127.0.0.1:1/none', 'postgres://owner:/hidden@127.0.0.1:1/none'])
      expect((await keymeter(['verify-audit'], { url })).stderr).not.toContain('hidden')
    expect(await keymeter(['verify-audit'], { url: 'postgresql://postgres@localhost:1/none' })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Error: connect ECONNREFUSED'),
    })
    expect((await keymeter(['verify-audits'])).code).toBe(2)
    expect((await keymeter(['suspend'])).code).toBe(2)
  })

  it('the CLI shows help with exit code 0, and every command has the option --json', async () => {
    const help = await keymeter(['--help'])
    expect(help).toMatchObject({ code: 0, stdout: expect.stringContaining('verify-audit'), stderr: '' })
    const commands = [...help.stdout.matchAll(/^ {2}([a-z-]+) \[options\]/gm)].map(([, name = '']) => name)
    expect(commands).toHaveLength(23)
    for (const name of commands) expect((await keymeter([name, '--help'])).stdout).toContain('--json')
  })

  it('the CLI prints its progress only to an interactive terminal, and never with --json', async () => {
    expect((await keymeter(['reconcile'], { isInteractive: true })).stderr).toContain('balance …\n')
    for (const args of [['reconcile'], ['reconcile', '--json']])
      expect((await keymeter(args, { isInteractive: args.includes('--json') })).stderr).not.toContain('balance')
  })
})
