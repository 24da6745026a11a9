import { randomUUID } from 'node:crypto'
import { ACCOUNTS_PAGE_MAX, type AccountSummary, ListAccounts } from '@keymeter/contract'
import { withClient } from '@keymeter/local'
import { testDatabase } from '@keymeter/local/testing'
import { beforeAll, describe, expect, it } from 'vitest'
import { backend, charge, contextOf, provisioned } from '../../test/caller.ts'
import { recordPlans, rowsRead } from '../../test/recorded-plans.ts'
import { ACCOUNTS_EXAMINED_MAX, listAccounts } from './list-accounts.ts'
import { readAsOperator } from './read-as-operator.ts'

const database = testDatabase()
/** The number of accounts besides those of `people`. They are older than the accounts of `people`. */
const OTHERS = 12_000

const call = (db = database.ownerDb) => ({ ...contextOf({ db }, null), osUser: 'tester', requestId: randomUUID() })

async function list(input: Partial<ListAccounts> = {}, db = database.ownerDb) {
  const parsed = ListAccounts.parse(input)
  return await readAsOperator(call(db), 'accounts', async (transaction) => ({
    result: await listAccounts(transaction, parsed),
    account: null,
    search: null,
  }))
}

async function listAll(input: Partial<ListAccounts>): Promise<AccountSummary[]> {
  const all: AccountSummary[] = []
  let cursor: string | null | undefined
  do {
    const page = await list({ ...input, cursor })
    all.push(...page.data)
    cursor = page.nextCursor
  } while (cursor !== null)
  return all
}

const people: Awaited<ReturnType<typeof provisioned>>[] = []
let visitor: string

beforeAll(async () => {
  const { owner } = database
  await owner.query(
    `insert into auth.users (id, email, created_at) select gen_random_uuid(), 'other-' || n || '@example.org', '2020-01-01Z'
       from generate_series(1, $1) as n`,
    [OTHERS],
  )
  // Many accounts have the same time of creation, so a page can end between two of them.
  await owner.query(
    `insert into billing_accounts (user_id, credits_per_cycle, created_at)
     select id, 1000, timestamptz '2020-01-01Z' + (substr(email, 7, 3)::int % 7) * interval '1 microsecond'
       from auth.users where email ~ '^other-[0-9]{3}' on conflict do nothing`,
  )
  await owner.query(
    "insert into account_members (user_id, member_id, role) select user_id, user_id, 'owner' from billing_accounts",
  )
  await owner.query('delete from auth.users where id not in (select user_id from billing_accounts)')
  for (let i = 0; i < 4; i++) people.push(await provisioned(database))
  visitor = await database.createUser()
  await owner.query('analyze')
})

const found = ({ data }: { data: AccountSummary[] }) => data.map(({ accountId }) => accountId)
const ids = (...numbers: number[]) => numbers.map((n) => people[n]?.userId)

describe('the operator’s list of accounts', () => {
  it('the list contains each account once, newest first or oldest first, over all pages', async () => {
    const newest = await listAll({ limit: ACCOUNTS_PAGE_MAX })
    const { rows } = await database.owner.query<{ id: string }>(
      'select user_id as id from billing_accounts order by created_at desc, user_id desc',
    )
    expect(newest.map(({ accountId }) => accountId)).toEqual(rows.map(({ id }) => id))
    expect(newest.slice(0, 4).map(({ accountId }) => accountId)).toEqual(ids(3, 2, 1, 0))
    let oldest = await list({ limit: 80, sort: 'oldest' })
    const first = oldest.data
    oldest = await list({ limit: 80, sort: 'oldest', cursor: oldest.nextCursor })
    expect([...first, ...oldest.data].map(({ accountId }) => accountId)).toEqual(
      rows
        .map(({ id }) => id)
        .reverse()
        .slice(0, 160),
    )
  })

  it('the list shows what the customer sees: the plan, the credits of the current cycle, the live keys, the last use and a suspension', async () => {
    const [person] = people
    if (person === undefined) throw new Error('There is no first person.')
    const extra = await person.caller.keys.create({ name: 'extra' })
    await person.caller.keys.revoke({ id: (await person.caller.keys.create({ name: 'gone' })).id })
    await charge(database, extra.secret, 30)
    const { operator } = backend(database)
    await operator.grantTopUp({ accountId: person.userId, credits: 500, idempotencyKey: 'list' })
    await operator.suspend({ accountId: person.userId })
    const [shown] = (await list({ search: person.userId })).data
    const { account } = await person.caller.billing.get()
    expect(shown).toEqual({
      accountId: person.userId,
      email: `${person.userId}@example.com`,
      status: 'suspended',
      createdAt: expect.stringMatching(/Z$/),
      plan: 'free',
      creditsUsed: 30,
      creditsRemaining: 1470,
      liveKeys: 2,
      lastUsedAt: (await person.caller.usage.events()).data[0]?.createdAt,
      suspendedAt: account?.suspendedAt,
    })
    expect(await list({ status: 'suspended' })).toEqual({ data: [shown], nextCursor: null })
    expect(found(await list({ status: 'active', limit: 3 }))).toEqual(ids(3, 2, 1))
    await operator.resume({ accountId: person.userId })
    expect((await list({ status: 'suspended' })).data).toEqual([])
  })

  it('the list shows the current cycle and the current plan of an account whose stored cycle ended long ago', async () => {
    const [, person] = people
    if (person === undefined) throw new Error('There is no second person.')
    await database.owner.query("insert into plans values ('small', 10), ('large', 5000)")
    await charge(database, person.defaultKey.secret, 400)
    await backend(database).operator.grantTopUp({ accountId: person.userId, credits: 50, idempotencyKey: 'list' })
    await backend(database).operator.changePlan({ accountId: person.userId, plan: 'small' })
    expect(found(await list({ plan: 'small' }))).toEqual([])
    await database.owner.query(
      `update billing_accounts set billing_cycle_anchor = billing_cycle_anchor - interval '70 days', billing_cycle_start = billing_cycle_start - interval '70 days',
              last_event_at = last_event_at - interval '70 days' where user_id = $1`,
      [person.userId],
    )
    const { account } = await person.caller.billing.get()
    expect(account).toMatchObject({ plan: 'small', creditsUsed: 0, creditsRemaining: 60 })
    const page = await list({ plan: 'small' })
    expect(page.data).toMatchObject([{ accountId: person.userId, plan: 'small', creditsUsed: 0, creditsRemaining: 60 }])
    expect(found(await list({ plan: 'free', limit: 3 }))).not.toContain(person.userId)
  })

  it('a search finds an id, a whole address and a part of an address, and converts the domain to ASCII', async () => {
    const [first = ''] = ids(0)
    await database.owner.query("insert into auth.users (id, email) values ($1, 'jo@xn--bcher-kva.example')", [randomUUID()])
    await database.owner.query(
      `with made as (insert into billing_accounts (user_id, credits_per_cycle)
                     select id, 0 from auth.users where email = 'jo@xn--bcher-kva.example' returning user_id)
       insert into account_members (user_id, member_id, role) select user_id, user_id, 'owner' from made`,
    )
    for (const search of [first, first.toUpperCase(), `${first}@example.com`, `${first.toUpperCase()}@Example.com.`])
      expect(await list({ search })).toMatchObject({ data: [{ accountId: first }], nextCursor: null })
    for (const search of ['jo@bücher.example', 'JO@xn--bcher', '@BÜCHER.example', 'bücher', 'xn--bcher-kva'])
      expect((await list({ search })).data.map(({ email }) => email)).toEqual(['jo@xn--bcher-kva.example'])
    expect((await listAll({ search: 'OTHER-500' })).map(({ email }) => email).sort()).toEqual(
      ['other-500', ...Array.from({ length: 10 }, (_, n) => `other-500${n}`)].map((name) => `${name}@example.org`).sort(),
    )
    expect(await listAll({ search: '%' })).toEqual([])
    expect(await listAll({ search: first, status: 'suspended' })).toEqual([])
    await database.owner.query(
      `with gone as (delete from auth.users where email = 'jo@xn--bcher-kva.example' returning id)
       delete from billing_accounts where user_id in (select id from gone)`,
    )
  })

  it('the list shows a user who has no account yet, by id, by address and by the status', async () => {
    const shown = {
      accountId: visitor,
      status: 'no_account',
      plan: null,
      creditsUsed: null,
      creditsRemaining: null,
      liveKeys: 0,
      lastUsedAt: null,
    }
    expect((await list({ search: visitor })).data).toMatchObject([shown])
    expect((await list({ search: `${visitor}@example.com` })).data).toMatchObject([shown])
    expect(await listAll({ status: 'no_account' })).toMatchObject([shown])
    expect(await listAll({ status: 'no_account', search: visitor.slice(0, 8) })).toMatchObject([shown])
    expect(await listAll({ status: 'no_account', search: 'other-' })).toEqual([])
  })

  it('the list refuses a whole secret, a page of more than 100 accounts, a plan of users without an account, and a cursor of another list', async () => {
    const secret = `km_prod_${'x'.repeat(55)}`
    expect(ListAccounts.safeParse({ search: `see ${secret}` }).error?.message).toContain('This is a whole secret')
    expect(ListAccounts.safeParse({ limit: ACCOUNTS_PAGE_MAX + 1 }).success).toBe(false)
    expect(ListAccounts.safeParse({ search: 'x'.repeat(255) }).success).toBe(false)
    const { error } = ListAccounts.safeParse({ plan: 'free', status: 'no_account' })
    expect(error?.issues).toMatchObject([
      { path: ['plan'], message: expect.stringContaining('leave out the plan or the status') },
    ])
    const { nextCursor } = await list({ limit: 1 })
    for (const input of [
      { cursor: nextCursor, sort: 'oldest' as const },
      { cursor: nextCursor, status: 'no_account' as const },
      { cursor: 'nonsense' },
    ])
      await expect(list(input)).rejects.toMatchObject({ reason: 'bad_request', issues: [{ field: 'cursor' }] })
  })
})

describe('the cost of the operator’s list of accounts', () => {
  const cost = async (input: Partial<ListAccounts>) => {
    let page: Awaited<ReturnType<typeof list>> | undefined
    const statements = await recordPlans(
      database,
      async (db) => {
        page = await list(input, db)
      },
      'postgres',
    )
    return { page, accounts: rowsRead(statements, 'billing_accounts'), users: rowsRead(statements, 'users') }
  }

  it('a page without a filter that skips accounts reads only the accounts of the page', async () => {
    const first = await cost({ limit: 10 })
    for (const { page, accounts, users } of [
      first,
      await cost({ limit: 10, sort: 'oldest' }),
      await cost({ limit: 10, cursor: first.page?.nextCursor ?? '' }),
    ]) {
      expect(page?.data).toHaveLength(10)
      // The accounts of the page and the next one, and two more reads of each shown account: one for its row and one for its cycles.
      expect(accounts).toBeLessThanOrEqual(31)
      expect(users).toBeLessThanOrEqual(10)
    }
  })

  it('the suspended accounts are found without a read of other accounts', async () => {
    await backend(database).operator.suspend({ accountId: ids(2)[0] ?? '' })
    const { page, accounts } = await cost({ status: 'suspended' })
    expect(page?.data).toHaveLength(1)
    expect(accounts).toBeLessThanOrEqual(3)
    await backend(database).operator.resume({ accountId: ids(2)[0] ?? '' })
  })

  it('an id and a whole address are found by an index', async () => {
    const [first = ''] = ids(0)
    for (const [search, byId] of [
      [first, 1],
      [`${first}@example.com`, 0],
    ] as const) {
      const { page, accounts, users } = await cost({ search })
      expect(page?.data).toHaveLength(1)
      expect([accounts, users]).toEqual([2 + byId, 2])
    }
  })

  it('a page of a search without a match examines at most the maximum number of accounts', async () => {
    for (const input of [{ search: 'no such part' }, { plan: 'no-such-plan' }]) {
      const { page, accounts, users } = await cost(input)
      expect(page).toEqual({ data: [], nextCursor: expect.any(String) })
      expect(accounts).toBe(ACCOUNTS_EXAMINED_MAX)
      // The address of the last examined account is read twice.
      expect(users).toBeLessThanOrEqual(ACCOUNTS_EXAMINED_MAX + 1)
    }
    const { page, users } = await cost({ status: 'no_account', search: 'no such part' })
    expect(page).toEqual({ data: [], nextCursor: expect.any(String) })
    expect(users).toBeLessThanOrEqual(2 * ACCOUNTS_EXAMINED_MAX + 1)
  })
})

describe('the operator’s log', () => {
  const entries = async () => (await database.owner.query('select * from operator_log order by created_at, request_id')).rows

  it('the log contains each read with its command, account, search and users, and the id of the command', async () => {
    await database.owner.query('delete from operator_log')
    const who = call()
    await readAsOperator(who, 'usage', async () => ({ result: 1, account: visitor, search: 'x' }))
    expect(await entries()).toEqual([
      {
        created_at: expect.any(Date),
        request_id: who.requestId,
        command: 'usage',
        user_id: visitor,
        search: 'x',
        os_user: 'tester',
        database_user: 'postgres',
      },
    ])
  })

  it('a read whose entry cannot be written returns nothing, and a read that fails leaves no entry', async () => {
    await database.owner.query('delete from operator_log')
    const read = async (search: string | null) =>
      await readAsOperator(call(), 'usage', async () => ({ result: 'data', account: null, search }))
    await expect(read(`km_dev_${'x'.repeat(55)}`)).rejects.toThrow('operator_log_search_check')
    await expect(read('')).rejects.toThrow('operator_log_search_check')
    await expect(read('x'.repeat(401))).rejects.toThrow('operator_log_search_check')
    expect(await read('x'.repeat(400))).toBe('data')
    await database.owner.query('delete from operator_log')
    const failing = readAsOperator(call(), 'usage', async () => {
      throw new Error('not found')
    })
    await expect(failing).rejects.toThrow('not found')
    expect(await entries()).toEqual([])
    await withClient(database.urls.owner, async (client) => {
      await client.query('alter table operator_log rename to moved')
      await expect(read('x')).rejects.toThrow('operator_log')
      await client.query('alter table moved rename to operator_log')
    })
  })

  it('the deletion of a user keeps the entries about the account', async () => {
    await database.owner.query('delete from operator_log')
    const gone = await database.createUser()
    await readAsOperator(call(), 'usage', async () => ({ result: 1, account: gone, search: null }))
    await database.owner.query('delete from auth.users where id = $1', [gone])
    expect(await entries()).toMatchObject([{ user_id: gone }])
  })
})
