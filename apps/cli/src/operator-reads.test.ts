import { createHash } from 'node:crypto'
import { userInfo } from 'node:os'
import { ACCOUNTS_EXAMINED_MAX } from '@keymeter/api/server'
import { backend, charge, provisioned } from '@keymeter/api/testing'
import { createDb } from '@keymeter/db'
import { testDatabase } from '@keymeter/local/testing'
import { beforeEach, describe, expect, it } from 'vitest'
import { runCommand } from '../test/run-command.ts'
import { showAccounts } from './accounts.ts'
import { operatorCall } from './operator-call.ts'

const database = testDatabase()
let person: Awaited<ReturnType<typeof provisioned>>
beforeEach(async () => {
  await database.owner.query('delete from billing_accounts')
  await database.owner.query('delete from auth.users')
  await database.owner.query('delete from operator_log')
  person = await provisioned(database)
})

interface Answers {
  input?: string
  confirm?: boolean
  keyBrand?: string
}

async function keymeter(args: string[], { input = '', confirm, keyBrand }: Answers = {}) {
  const questions: string[] = []
  const answer = async (question: string) => {
    questions.push(question)
    return confirm === true
  }
  const settings = { MIGRATION_DATABASE_URL: database.urls.owner, KEYMETER_KEY_BRAND: keyBrand ?? null }
  return { ...(await runCommand(args, { settings, input, confirm: confirm === undefined ? null : answer })), questions }
}

const json = async (args: string[], answers?: Answers) => {
  const { code, stdout, stderr } = await keymeter([...args, '--json'], answers)
  if (code === 2) throw new Error(stderr)
  return JSON.parse(stdout)
}
const email = () => `${person.userId}@example.com`
const log = async () =>
  (await database.owner.query('select command, user_id as account, search from operator_log order by created_at, request_id'))
    .rows

describe('keymeter accounts', () => {
  it('`accounts` prints an aligned table with numbers on the right, cuts long addresses, and prints the command for the next page', async () => {
    const other = await provisioned(database)
    await charge(database, other.defaultKey.secret, 7)
    const last = (await other.caller.usage.events()).data[0]?.createdAt ?? ''
    const { code, stdout } = await keymeter(['accounts'])
    expect(code).toBe(0)
    expect(stdout.split('\n')).toEqual([
      `ADDRESS${' '.repeat(33)}  ID${' '.repeat(34)}  PLAN  USED  LEFT  KEYS  LAST USE${' '.repeat(16)}  SUSPENDED`,
      `${other.userId}@ex…  ${other.userId}  free     7   993     1  ${last}  -`,
      `${person.userId}@ex…  ${person.userId}  free     0  1000     1  -${' '.repeat(23)}  -`,
      '',
    ])
    const page = await keymeter(['accounts', '--limit', '1', '--search', "@example.com'", '--status', 'active'])
    expect(page.stdout).toBe('No account matches.\n')
    const first = await keymeter(['accounts', '--limit', '1', '--search', '@EXAMPLE.com'])
    const [, cursor = ''] =
      /\n\nNext page: keymeter accounts --search @EXAMPLE\.com --limit 1 --cursor (\S+)\n$/.exec(first.stdout) ?? []
    expect(await json(['accounts', '--limit', '1', '--search', '@EXAMPLE.com', '--cursor', cursor])).toMatchObject({
      data: [{ accountId: person.userId, email: email(), creditsUsed: 0, creditsRemaining: 1000 }],
      nextCursor: null,
    })
  })

  it('`accounts` shows a user who has no account yet', async () => {
    const id = await database.createUser()
    expect((await keymeter(['accounts', '--search', id])).stdout).toContain('(no account yet)')
    expect(await json(['accounts', '--status', 'no_account'])).toMatchObject({
      data: [{ accountId: id, status: 'no_account' }],
      nextCursor: null,
    })
  })

  it('a search over several pages sees what was committed before each page, and adds one entry to the log', async () => {
    const { owner, urls } = database
    const createAccounts = async (name: string, count: number) =>
      await owner.query(
        `with users as (insert into auth.users (id, email)
                        select gen_random_uuid(), $1 || n || '@example.org' from generate_series(1, $2::int) as n returning id, email)
         insert into billing_accounts (user_id, credits_per_cycle, created_at)
         select id, 0, case when $1 = 'needle-' then timestamptz '2020-01-02Z' else '2020-01-01Z' end from users`,
        [name, count],
      )
    await createAccounts('other-', ACCOUNTS_EXAMINED_MAX)
    const db = createDb(urls.owner, () => {})
    let pages = 0
    const creatingAccount = db.withPlugin({
      transformQuery: ({ node }) => node,
      transformResult: async ({ result }) => {
        if (result.rows.some((row) => 'isFound' in row) && pages++ === 0) await createAccounts('needle-', 1)
        return result
      },
    })
    const input = { sort: 'oldest', search: 'needle' }
    const { json: page } = await showAccounts(operatorCall(creatingAccount, 'km'), input, () => {}).finally(() => db.destroy())
    expect(page).toMatchObject({ data: [{ email: 'needle-1@example.org' }], nextCursor: null })
    expect(pages).toBe(2)
    expect(await log()).toEqual([{ command: 'accounts', account: null, search: 'needle' }])
  })

  it('`accounts` refuses an order, a status and a limit that do not exist, names the allowed ones, and refuses filters that exclude each other', async () => {
    for (const [args, why] of [
      [['--sort', 'used'], 'Allowed choices are newest, oldest'],
      [['--status', 'happy'], 'Allowed choices are active, suspended, no_account'],
      [['--limit', '101'], 'Ask for at most 100 accounts'],
      [['--limit', 'x'], 'Write a whole number'],
      [['--cursor', 'x'], 'Start again without a cursor'],
      [['--status', 'no_account', '--plan', 'free'], 'leave out the plan or the status'],
    ] as const)
      expect(await keymeter(['accounts', ...args])).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(why) })
  })
})

describe('keymeter usage', () => {
  it('`usage` prints where the credits went', async () => {
    const { metering, operator } = backend(database)
    const key = person.defaultKey.secret
    await operator.grantTopUp({ accountId: person.userId, credits: 100, idempotencyKey: 'top-up' })
    await metering.charge({ key, credits: 300, operation: 'image', idempotencyKey: '1' })
    await metering.hold({ key, credits: 60, operation: 'search', idempotencyKey: '2' })
    await metering.charge({ key, credits: 5000, operation: 'image', idempotencyKey: '3' })
    const { code, stdout } = await keymeter(['usage', email()])
    expect(code).toBe(0)
    const prefix = person.defaultKey.keyPrefix
    for (const text of [
      `${email()} (${person.userId}), plan free\nCurrent cycle: 2`,
      'top-ups of earlier cycles     0\ngranted by the plan        1000\ntopped up                   100\nused                       -300\nheld                        -60\nleft                        740\n',
      `Used by key\nKEY      PREFIX           STATUS  CREDITS  CHARGES  HELD\ndefault  ${prefix}  active      300        1    60\n`,
      'Used by operation\nOPERATION  CREDITS  CHARGES\nimage          300        1\n',
      'Last refused requests\nTIME',
      'default  image           5000   740  insufficient_credits\n',
      'Open holds\nKEY      OPERATION  CREDITS  SINCE',
      'default  search          60  2',
    ])
      expect(stdout).toContain(text)
    expect(await json(['usage', person.userId])).toMatchObject({ creditsUsed: 300, creditsHeld: 60, creditsRemaining: 740 })
    expect(await keymeter(['usage', email(), '--cycle', '2020-01-01T00:00:00Z'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('No billing cycle of this account starts at this time'),
    })
    expect(await keymeter(['usage', email(), '--cycle', 'May'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Enter the start of a cycle as ISO-8601'),
    })
  })
})

describe('keymeter find-key', () => {
  it('`find-key` finds the key of a secret from the standard input, and prints the command that revokes it', async () => {
    const { id, secret, keyPrefix } = await person.caller.keys.create({ name: 'leaked', keyType: 'prod', creditLimit: 9 })
    for (const args of [['find-key'], ['find-key', '-'], ['find-key', keyPrefix]]) {
      const { code, stdout, stderr } = await keymeter(args, { input: ` ${secret} ` })
      expect(code).toBe(0)
      for (const text of [
        `secret           ${keyPrefix}…, the current secret of the key\n`,
        'works now        yes\n',
        `account          ${email()} (${person.userId})\n`,
        `key              "leaked" (${id})\n`,
        'type             prod\n',
        'status           active\n',
        'limit            9 credits per cycle\n',
        `To revoke the key: keymeter revoke-key ${id} --account ${person.userId} --reason`,
      ])
        expect(stdout).toContain(text)
      expect(stdout + stderr).not.toContain(secret)
    }
    await person.caller.keys.revoke({ id })
    expect((await keymeter(['find-key', keyPrefix])).stdout).toContain('The key is already revoked, since 2')
  })

  it('`find-key` exits with code 1 and the reason if no key is found, and with code 2 if the text is not a key prefix', async () => {
    const { secret } = person.defaultKey
    for (const [input, why] of [
      ['', 'This is not a secret'],
      [`${secret.slice(0, -1)}${secret.endsWith('x') ? 'y' : 'x'}`, 'The checksum of this secret is wrong'],
    ] as const) {
      const { code, stdout } = await keymeter(['find-key'], { input })
      expect([code, stdout.includes(why)]).toEqual([1, true])
      expect(stdout).not.toContain(secret.slice(0, -1))
    }
    // This token is well-formed, and no account has it.
    const token = 'acme_prod_X7Uxg0Tj4yJzhBpHhwHFYUkcUiG000000001VgEh72lXvTXkH2EdW31'
    for (const [keyBrand, why] of [
      ['acme', 'This secret is not in the database: it belongs to another deployment, or'],
      ['km', 'This secret has another brand than this deployment'],
    ] as const)
      expect((await keymeter(['find-key'], { input: token, keyBrand })).stdout).toContain(why)
    expect(await keymeter(['find-key', 'km_prod_AAAAAAAA'])).toMatchObject({
      code: 1,
      stdout: 'No secret with this key prefix is in the database.\n',
    })
    expect(await keymeter(['find-key', 'km_prod_A'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Enter a key prefix'),
    })
  })
})

describe('a whole secret as an argument', () => {
  it('every command refuses the secret, does not print it and does not store it', async () => {
    const { secret } = person.defaultKey
    for (const args of [
      ['find-key', secret],
      ['revoke-key', secret, '--yes'],
      ['accounts', '--search', secret],
      ['account', secret],
      ['usage', `x${secret}`],
      ['top-up', person.userId, '1', '--note', `see ${secret}`],
      ['top-up', person.userId, '1', `--idempotency-key=${secret}`],
      [secret],
    ]) {
      const { code, stdout, stderr } = await keymeter(args)
      expect([code, stdout]).toEqual([2, ''])
      expect(stderr).toContain('An argument contains a whole secret.')
      expect(stderr).not.toContain(secret.slice(0, 20))
    }
    expect(await log()).toEqual([])
  })
})

describe('keymeter revoke-key', () => {
  const status = async () => (await person.caller.keys.get({ id: person.defaultKey.id })).status
  const args = (...more: string[]) => ['revoke-key', person.defaultKey.id, '--account', email(), ...more]

  it('`revoke-key` revokes after a person has confirmed, and prints what stopped and when it was last used', async () => {
    await charge(database, person.defaultKey.secret, 1)
    const { lastUsedAt } = await person.caller.keys.get({ id: person.defaultKey.id })
    const refused = await keymeter(args(), { confirm: false })
    expect(refused).toMatchObject({ code: 1, stdout: 'Nothing was changed.\n' })
    expect(refused.questions).toEqual([expect.stringMatching(/^The dev key "default" \(km_dev_.*This cannot be undone/)])
    expect(await status()).toBe('active')
    const done = await keymeter(args('--reason', 'Found in public'), { confirm: true })
    expect(done.code).toBe(0)
    expect(done.stdout).toContain(`Revoked: The dev key "default" (${person.defaultKey.keyPrefix}…, ${person.defaultKey.id})`)
    expect(done.stdout).toContain(`It was last used at ${lastUsedAt}.\nIts secret is refused from now on.`)
    expect(await status()).toBe('revoked')
    expect((await person.caller.audit.list()).data[0]).toMatchObject({
      actor: 'operator',
      action: 'key.revoked',
      detail: { reason: 'Found in public' },
    })
    const again = await keymeter(args(), { confirm: true })
    expect(again).toMatchObject({
      code: 0,
      questions: [],
      stdout: expect.stringMatching(/was already revoked at 2.*Nothing was/),
    })
  })

  it('`revoke-key` needs --yes if nobody can be asked, and --account with the id of a key', async () => {
    expect(await keymeter(args())).toMatchObject({ code: 2, stderr: expect.stringContaining('Pass --yes to confirm it') })
    expect(await keymeter(['revoke-key', person.defaultKey.id, '--yes'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Name the account of the key with --account'),
    })
    expect(await keymeter(args('--yes', '--reason', 'x'.repeat(201)))).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Use at most 200 characters'),
    })
    expect(await status()).toBe('active')
    expect(await json(args('--yes'))).toMatchObject({
      accountId: person.userId,
      isRevoked: true,
      key: { id: person.defaultKey.id, status: 'revoked' },
    })
    expect(await json(args('--yes'))).toMatchObject({ isRevoked: false })
  })

  it('`revoke-key` revokes the key of a secret from the standard input, also of a previous secret', async () => {
    const { id } = person.defaultKey
    await person.caller.keys.rotate({ id })
    expect((await keymeter(['revoke-key', '-', '--yes'], { input: 'nonsense' })).stderr).toContain('This is not a secret')
    const { stdout } = await keymeter(['revoke-key', '-', '--yes'], { input: person.defaultKey.secret })
    expect(stdout).toContain('Its current secret and its previous secrets are refused from now on.')
    expect(await status()).toBe('revoked')
    expect(await charge(database, person.defaultKey.secret, 1)).toMatchObject({ verdict: 'revoked' })
  })
})

describe('keymeter operator-log', () => {
  const changes = () => [
    ['top-up', person.userId, '5', '--idempotency-key', 'one'],
    ['take-back', person.userId, 'one', '--idempotency-key', 'two'],
    ['change-plan', person.userId, 'free'],
    ['suspend', person.userId],
    ['resume', person.userId],
  ]

  it('the log contains an entry for each command that shows data of a customer, and no secret', async () => {
    const { defaultKey, userId } = person
    // The second run of each of these commands changes nothing, but also shows the account.
    for (const change of changes()) for (let times = 0; times < 2; times++) expect((await keymeter(change)).code).toBe(0)
    await keymeter(['accounts', '--search', 'example', '--plan', 'free'])
    await keymeter(['account', email()])
    await keymeter(['usage', userId])
    await keymeter(['find-key'], { input: defaultKey.secret })
    await keymeter(['find-key', 'km_dev_AAAAAAAA'])
    await keymeter(['revoke-key', '-', '--yes'], { input: defaultKey.secret })
    await keymeter(['usage', 'nobody@example.org'])
    const entries = [
      ...changes().flatMap(([command]) => Array(2).fill({ command, account: userId, search: null })),
      { command: 'accounts', account: null, search: 'example plan=free' },
      { command: 'account', account: userId, search: null },
      { command: 'usage', account: userId, search: null },
      { command: 'find-key', account: userId, search: defaultKey.keyPrefix },
      { command: 'find-key', account: null, search: 'km_dev_AAAAAAAA' },
      { command: 'revoke-key', account: userId, search: defaultKey.id },
    ]
    expect(await log()).toEqual(entries)
    const { entries: shown } = await json(['operator-log', '--account', email(), '--limit', '2'])
    expect(shown).toMatchObject([
      { command: 'revoke-key', accountId: userId, osUser: userInfo().username, databaseUser: 'postgres' },
      { command: 'find-key', accountId: userId },
    ])
    const revokes = await database.owner.query("select request_id from audit_log where action = 'key.revoked'")
    expect(revokes.rows).toEqual([{ request_id: shown[0].requestId }])
    const { stdout } = await keymeter(['operator-log'])
    expect(stdout).toMatch(/^TIME +USER +DATABASE USER +COMMAND +ACCOUNT +SEARCH\n/)
    expect(stdout.trim().split('\n')).toHaveLength(entries.length + 1)
    const { rows } = await database.owner.query('select operator_log::text as text from operator_log')
    const text = rows.map((row) => row.text).join('\n')
    for (const secret of [defaultKey.secret.slice(-20), createHash('sha256').update(defaultKey.secret).digest('hex')])
      expect(text + stdout).not.toContain(secret)
  })

  it('a command that cannot write its entry shows nothing and changes nothing', async () => {
    await keymeter(['top-up', person.userId, '5', '--idempotency-key', 'one'])
    const before = await person.caller.audit.list()
    await database.owner.query('alter table operator_log add constraint full_log check (false) not valid')
    try {
      const { secret, keyPrefix } = person.defaultKey
      for (const args of [['accounts'], ['account', email()], ['usage', email()], ['find-key', keyPrefix], ...changes()])
        expect(await keymeter(args)).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('full_log') })
      expect(await keymeter(['revoke-key', '-', '--yes'], { input: secret })).toMatchObject({ code: 2, stdout: '' })
    } finally {
      await database.owner.query('alter table operator_log drop constraint full_log')
    }
    expect(await person.caller.keys.get({ id: person.defaultKey.id })).toMatchObject({ status: 'active' })
    expect((await person.caller.audit.list()).data).toEqual(before.data)
  })
})
