import { createDb } from '@keymeter/db'
import { testDatabase } from '@keymeter/local/testing'
import fc from 'fast-check'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { accessToken, contextOf, provisioned } from '../../test/caller.ts'
import { verifyAudit } from '../maintenance/verify-audit.ts'
import { appRouter } from '../router.ts'
import { chainHash } from './chain.ts'

const database = testDatabase()
const ownerDb = createDb(database.urls.owner, () => {})
afterAll(async () => await ownerDb.destroy())

describe('audit.list', () => {
  it('shows who made each change, to which key, when and from where, newest first', async () => {
    const { userId, defaultKey } = await provisioned(database)
    const caller = appRouter.createCaller(
      contextOf(database, await accessToken(userId), {
        requestId: 'the-request',
        clientAddress: '203.0.113.7',
        userAgent: 'curl/8',
      }),
    )
    const { id } = await caller.keys.create({ name: 'a', keyType: 'prod', creditLimit: 5 })
    await caller.keys.update({ id, name: 'b', creditLimit: null })
    await caller.keys.disable({ id })
    await caller.keys.enable({ id })
    await caller.keys.confirmSecretSaved({ id })
    const rotated = await caller.keys.rotate({ id, graceSeconds: 60 })
    await caller.keys.endGrace({ id })
    await caller.keys.replaceLostSecret({ id, keyPrefix: rotated.keyPrefix, idempotencyKey: 'lost' })
    await caller.keys.revoke({ id })

    const { data, nextCursor } = await caller.audit.list()
    expect(nextCursor).toBeNull()
    expect(data.map(({ sequence, action, keyId }) => [sequence, action, keyId])).toEqual([
      [11, 'key.revoked', id],
      [10, 'key.secret_replaced', id],
      [9, 'key.grace_ended', id],
      [8, 'key.rotated', id],
      [7, 'key.secret_saved', id],
      [6, 'key.enabled', id],
      [5, 'key.disabled', id],
      [4, 'key.updated', id],
      [3, 'key.created', id],
      [2, 'key.created', defaultKey.id],
      [1, 'account.free_credits_granted', null],
    ])
    expect(data[7]).toMatchObject({
      actor: 'member',
      keyName: 'b',
      keyPrefix: expect.stringMatching(/^km_prod_[0-9A-Za-z]{8}$/),
      detail: { name: { from: 'a', to: 'b' }, creditLimit: { from: 5, to: null } },
      requestId: 'the-request',
      clientAddress: '203.0.113.7',
      userAgent: 'curl/8',
    })
    expect(Math.abs(Date.parse(data[0]?.createdAt ?? '') - Date.now())).toBeLessThan(60_000)
  })

  it('has no entry for a call that changed nothing or was refused', async () => {
    const { caller, defaultKey } = await provisioned(database)
    const { id } = defaultKey
    await caller.keys.enable({ id })
    await caller.keys.endGrace({ id })
    await caller.keys.update({ id, name: defaultKey.name, expiresAt: null })
    await caller.keys.confirmSecretSaved({ id, keyPrefix: 'km_dev_another1' })
    await expect(caller.keys.update({ id, name: 'x', expiresAt: '2020-01-01T00:00:00Z' })).rejects.toThrow()
    expect((await caller.audit.list()).data).toHaveLength(2)
    for (let i = 0; i < 2; i++) await caller.keys.revoke({ id })
    await expect(caller.keys.rotate({ id })).rejects.toThrow()
    expect((await caller.audit.list()).data.map(({ action }) => action)).toEqual([
      'key.revoked',
      'key.created',
      'account.free_credits_granted',
    ])
  })

  it('never contains a secret', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    const secrets = [defaultKey.secret]
    const rotated = await caller.keys.rotate({ id: defaultKey.id })
    const replaced = await caller.keys.replaceLostSecret({
      id: defaultKey.id,
      keyPrefix: rotated.keyPrefix,
      idempotencyKey: 'lost',
    })
    secrets.push(rotated.secret, replaced.secret)
    const { rows } = await database.owner.query('select jsonb_agg(log)::text as log from audit_log log where user_id = $1', [
      userId,
    ])
    for (const secret of secrets) expect(rows[0].log).not.toContain(secret.slice(16))
  })

  it('filters by action, key and time, and shows each entry on only one page, even while entries are added', async () => {
    const { caller, defaultKey } = await provisioned(database)
    const other = await caller.keys.create({ name: 'other' })
    for (let i = 0; i < 5; i++) {
      await caller.keys.disable({ id: defaultKey.id })
      await caller.keys.enable({ id: defaultKey.id })
      await caller.keys.update({ id: other.id, name: `other ${i}` })
    }
    expect((await caller.audit.list({ action: 'key.disabled' })).data).toHaveLength(5)
    expect((await caller.audit.list({ keyId: other.id })).data).toHaveLength(6)
    expect((await caller.audit.list({ keyId: other.id, action: 'key.disabled' })).data).toEqual([])

    const all = (await caller.audit.list()).data
    const middle = all[8]?.createdAt ?? ''
    const before = (await caller.audit.list({ to: middle })).data.length
    const since = (await caller.audit.list({ from: middle })).data.length
    expect(before + since).toBe(all.length)
    expect(since).toBeGreaterThanOrEqual(9)

    const seen: number[] = []
    let cursor: number | null = null
    do {
      const page: Awaited<ReturnType<typeof caller.audit.list>> = await caller.audit.list({ limit: 4, cursor })
      seen.push(...page.data.map(({ sequence }) => sequence))
      cursor = page.nextCursor
      await caller.keys.update({ id: other.id, name: `other ${seen.length}` })
    } while (cursor !== null)
    expect(seen).toEqual(Array.from({ length: all.length }, (_, i) => all.length - i))
  })

  it.each([
    { limit: 0 },
    { limit: 101 },
    { cursor: 0 },
    { cursor: 1.5 },
    { from: 'yesterday' },
    { keyId: 'x' },
    { action: 'key.stolen' as 'key.created' },
    { userId: 'x' },
  ])('refuses %j', async (input) => {
    const { caller } = await provisioned(database)
    await expect(caller.audit.list(input)).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  })
})

describe('the hash of an audit entry', () => {
  it('is the same in SQL and in TypeScript, for every text', async () => {
    const text = fc.string({ unit: 'binary' }).map((any) => any.replaceAll('\0', ''))
    const entries = fc.sample(
      fc.record({
        previous: fc.option(fc.uint8Array({ minLength: 32, maxLength: 32 })),
        userId: fc.uuid(),
        sequence: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
        actor: text,
        actorId: fc.option(fc.uuid()),
        action: text,
        keyId: fc.option(fc.uuid()),
        detail: fc.dictionary(text, fc.option(text)).map((detail) => JSON.stringify(detail)),
        requestId: text,
        clientAddress: fc.option(text),
        userAgent: fc.option(fc.constantFrom('', '-', '1:a,-', '"', '\\', '\n\u001f\u007f', '\u2028', 'ä', '😀', 'a\u0301')),
        createdAt: fc
          .date({ min: new Date('2000-01-01Z'), max: new Date('9999-12-31Z'), noInvalidDate: true })
          .map((date) => date.toISOString()),
      }),
      500,
    )
    const { rows } = await database.owner.query<{ hash: string }>(
      `select encode(keymeter.audit_hash(decode(entry->>'previous', 'hex'),
                row((entry->>'userId')::uuid, (entry->>'sequence')::bigint, entry->>'actor', (entry->>'actorId')::uuid, entry->>'action', (entry->>'keyId')::uuid,
                    (entry->>'detail')::json, entry->>'requestId', entry->>'clientAddress', entry->>'userAgent',
                    (entry->>'createdAt')::timestamptz, null)::public.audit_log), 'hex') as hash
         from json_array_elements($1::json) with ordinality as entries (entry, n) order by n`,
      [
        JSON.stringify(
          entries.map((entry) => ({ ...entry, previous: entry.previous && Buffer.from(entry.previous).toString('hex') })),
        ),
      ],
    )
    expect(rows.map(({ hash }) => hash)).toEqual(
      entries.map(({ previous, ...entry }) => chainHash(previous && Buffer.from(previous), entry).toString('hex')),
    )
  })

  it.each([
    [{ requestId: 'a,1:b' }, { requestId: 'a', clientAddress: 'b' }],
    [{ clientAddress: '-' }, { clientAddress: null }],
    [{ clientAddress: '' }, { clientAddress: null }],
    [
      { clientAddress: 'ab', userAgent: 'c' },
      { clientAddress: 'a', userAgent: 'bc' },
    ],
  ])('differs between %j and %j', (a, b) => {
    const entry = {
      userId: 'a',
      sequence: 1,
      actor: 'member',
      actorId: null,
      action: 'key.created',
      keyId: null,
      detail: '{}',
      requestId: 'x',
      clientAddress: null,
      userAgent: null,
      createdAt: '2027-01-01T00:00:00.000Z',
    }
    expect(chainHash(null, { ...entry, ...a })).not.toEqual(chainHash(null, { ...entry, ...b }))
  })
})

describe('the check of the audit chain', () => {
  let userId: string
  beforeEach(async () => {
    await database.owner.query('delete from billing_accounts')
    await provisioned(database)
    const { caller, defaultKey, ...account } = await provisioned(database)
    userId = account.userId
    // With the free credits and the default key, the account has 7 entries.
    for (const change of [
      caller.keys.disable,
      caller.keys.enable,
      caller.keys.disable,
      caller.keys.enable,
      caller.keys.disable,
    ])
      await change({ id: defaultKey.id })
    await provisioned(database)
  })

  it('the audit chain is valid after any number of changes, including concurrent changes', async () => {
    const { caller, userId: crowded } = await provisioned(database)
    await Promise.all(Array.from({ length: 40 }, async (_, i) => await caller.keys.create({ name: `key ${i}` })))
    const { rows } = await database.owner.query('select audit_length from billing_accounts where user_id = $1', [crowded])
    expect(rows).toEqual([{ audit_length: '42' }])
    expect(await verifyAudit(ownerDb)).toEqual({ accounts: 4, entries: 7 + 2 + 2 + 42, faults: [] })
  })

  it.each([
    ['an edited detail', `update audit_log set detail = '{"x":1}' where user_id = $1 and sequence = 3`, 3, 'altered'],
    [
      'a detail with the same meaning in another spelling',
      `update audit_log set detail = '{ }' where user_id = $1 and sequence = 3`,
      3,
      'altered',
    ],
    [
      'another actor',
      `update audit_log set actor = 'operator', actor_id = null where user_id = $1 and sequence = 2`,
      2,
      'altered',
    ],
    ['another member', 'update audit_log set actor_id = gen_random_uuid() where user_id = $1 and sequence = 2', 2, 'altered'],
    ['another action', `update audit_log set action = 'key.created' where user_id = $1 and sequence = 5`, 5, 'altered'],
    ['another key', 'update audit_log set api_key_id = gen_random_uuid() where user_id = $1 and sequence = 5', 5, 'altered'],
    [
      'another time',
      `update audit_log set created_at = created_at + interval '1 ms' where user_id = $1 and sequence = 1`,
      1,
      'altered',
    ],
    ['another address', `update audit_log set client_address = null where user_id = $1 and sequence = 7`, 7, 'altered'],
    ['another request id', `update audit_log set request_id = 'x' where user_id = $1 and sequence = 4`, 4, 'altered'],
    ['another user agent', `update audit_log set user_agent = '' where user_id = $1 and sequence = 4`, 4, 'altered'],
    ['another hash', `update audit_log set hash = sha256('x') where user_id = $1 and sequence = 6`, 6, 'altered'],
    ['a removed entry', 'delete from audit_log where user_id = $1 and sequence = 4', 4, 'missing'],
    ['a removed first entry', 'delete from audit_log where user_id = $1 and sequence = 1', 1, 'missing'],
    ['a cut-off tail', 'delete from audit_log where user_id = $1 and sequence > 5', 6, 'missing'],
    ['an emptied log', 'delete from audit_log where user_id = $1', 1, 'missing'],
    [
      'a cut-off tail after which the length was changed to match',
      'with cut as (delete from audit_log where user_id = $1 and sequence = 7) update billing_accounts set audit_length = 6 where user_id = $1',
      6,
      'head altered',
    ],
    [
      'an added entry',
      `insert into audit_log select user_id, 8, actor, actor_id, action, api_key_id, detail, request_id, client_address, user_agent, created_at, hash from audit_log where user_id = $1 and sequence = 7`,
      8,
      'not counted',
    ],
    [
      'two swapped entries',
      'update audit_log set sequence = case sequence when 2 then 103 when 3 then 102 end where user_id = $1 and sequence in (2, 3); update audit_log set sequence = sequence - 100 where sequence > 100',
      2,
      'altered',
    ],
  ] as const)(
    'the check reports the first entry that does not match after this change: %s',
    async (_, sql, sequence, fault) => {
      for (const statement of sql.split('; '))
        await database.owner.query(statement.includes('$1') ? { text: statement, values: [userId] } : statement)
      expect((await verifyAudit(ownerDb)).faults).toEqual([{ userId, sequence, fault }])
    },
  )

  it('the check reports an entry that was changed together with its hash, because the hash of the next entry does not match', async () => {
    const { rows } = await database.owner.query(
      'select sequence::int, hash, request_id, created_at, api_key_id from audit_log where user_id = $1 order by sequence',
      [userId],
    )
    const forged = {
      userId,
      sequence: 3,
      actor: 'member',
      actorId: userId,
      action: 'key.disabled',
      keyId: rows[2].api_key_id,
      detail: '{"forged":true}',
      requestId: rows[2].request_id,
      clientAddress: '127.0.0.1',
      userAgent: 'a test',
      createdAt: rows[2].created_at.toISOString(),
    }
    await database.owner.query('update audit_log set detail = $2, hash = $3 where user_id = $1 and sequence = 3', [
      userId,
      forged.detail,
      chainHash(rows[1].hash, forged),
    ])
    expect((await verifyAudit(ownerDb)).faults).toEqual([{ userId, sequence: 4, fault: 'altered' }])
  })

  it('the check reads all pages from one database snapshot, so entries that are added during the check are not errors', async () => {
    const accounts = [await provisioned(database), await provisioned(database), await provisioned(database)]
    const whole = await verifyAudit(ownerDb)
    const paged = await verifyAudit(ownerDb, {
      accountsPage: 2,
      entriesPage: 3,
      report: async () => {
        for (const { caller, defaultKey } of accounts) await caller.keys.disable({ id: defaultKey.id })
        for (const { caller, defaultKey } of accounts) await caller.keys.enable({ id: defaultKey.id })
      },
    })
    expect(paged).toEqual(whole)
    expect(whole).toMatchObject({ accounts: 6, faults: [] })
    const last = (await database.owner.query('select user_id from billing_accounts order by user_id desc limit 1')).rows[0]
      .user_id
    await database.owner.query("update audit_log set request_id = 'x' where user_id = $1 and sequence = 1", [last])
    await database.owner.query("update audit_log set request_id = 'x' where user_id = $1 and sequence = 7", [userId])
    const { faults } = await verifyAudit(ownerDb, { accountsPage: 2, entriesPage: 3 })
    expect(new Set(faults.map((fault) => fault.userId))).toEqual(new Set([last, userId]))
  })

  it('the check covers all accounts even if some contain values that JavaScript cannot represent', async () => {
    const { rows } = await database.owner.query('select user_id from billing_accounts order by user_id')
    const [first, second, third] = rows.map(({ user_id }) => user_id)
    for (const table of ['audit_log', 'billing_accounts'])
      await database.owner.query(`
        do $$ declare name text; begin
          for name in select conname from pg_constraint where conrelid = '${table}'::regclass and contype = 'c' loop
            execute format('alter table ${table} drop constraint %I', name);
          end loop; end $$`)
    await database.owner.query("update audit_log set created_at = 'infinity' where user_id = $1 and sequence = 1", [first])
    await database.owner.query('update audit_log set sequence = 9007199254740993 where user_id = $1 and sequence = 1', [second])
    await database.owner.query('update billing_accounts set audit_length = 9223372036854775807 where user_id = $1', [third])
    const { faults } = await verifyAudit(ownerDb)
    expect(faults.map((fault) => [fault.userId, fault.fault])).toEqual([
      [first, 'altered'],
      [second, 'missing'],
      [third, 'missing'],
    ])
  })

  it('the check fails for a role that is subject to row level security, because the role would see no entries', async () => {
    await expect(verifyAudit(database.db)).rejects.toThrow('row-level security')
  })
})
