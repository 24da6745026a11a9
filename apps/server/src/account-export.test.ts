import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { freePort } from '@keymeter/local'
import { serverEnv, testAuth, testDatabase } from '@keymeter/local/testing'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { accessToken, askUntilAnswered, type Customer, provision } from '../test/metering.ts'
import { startReadyMain } from '../test/start-main.ts'
import { testApp } from '../test/test-app.ts'

/** With `KEYMETER_SOAK=1`, the test exports more events. */
const EVENTS = inject('isSoak') ? 1_000_000 : 100_000
const MEMORY_GROWTH_MIB_MAX = 100

const database = testDatabase()
const auth = testAuth(database)
/** A server that waits only shortly for a client that does not read. */
const impatient = testApp(database, auth, { patienceMs: 500 })
let url: string
let main: Awaited<ReturnType<typeof startReadyMain>>
beforeAll(async () => {
  const port = await freePort()
  url = `http://127.0.0.1:${port}`
  main = await startReadyMain(serverEnv(database, auth, port), url)
})
afterAll(() => void main?.child.kill('SIGKILL'))

const customer = async (): Promise<Customer> => await provision(url, auth.jwtSecret, await database.createUser())

async function get(userId: string, account: string | null = null): Promise<Response> {
  const authorization = `Bearer ${accessToken(auth.jwtSecret, userId)}`
  return await fetch(`${url}/export/account.json`, {
    headers: { authorization, ...(account !== null && { 'x-keymeter-account': account }) },
  })
}

async function join(account: string, role: string | null): Promise<string> {
  const member = await database.createUser()
  await database.owner.query(
    'insert into account_members (user_id, member_id, role, email, removed_at) values ($1, $2, $3, $4, $5)',
    [account, member, role, `${member}@example.com`, role === null ? new Date() : null],
  )
  return member
}

/** Inserts events without roll-ups, because an export does not read roll-ups. */
async function write({ userId }: Customer, count: number): Promise<void> {
  await database.owner.query(
    `insert into api_key_usage (user_id, sequence, created_at, api_key_id, idempotency_key, operation, verdict,
                                credits_requested, credits_charged, remaining, cycle_start, cycle_end)
     select $1::uuid, n, now() - interval '1 day', (select id from api_keys where user_id = $1), 'request-' || n, 'load', 'charged', 1, 1, 1, now(), now()
       from generate_series(1, $2::int) as n`,
    [userId, count],
  )
  await database.owner.query('update billing_accounts set last_event_sequence = $2, last_event_at = now() where user_id = $1', [
    userId,
    count,
  ])
}

const ids = (rows: { id: string }[]) => rows.map(({ id }) => id).sort()

describe('GET /export/account.json', () => {
  it('the export contains every row of the account once, without secrets, hashes, and the operator’s calls, and nothing of others', async () => {
    const one = await customer()
    const { userId } = one
    const backend = { url, serviceKey: auth.serviceKey }
    const held = await askUntilAnswered(backend, { action: 'hold', customer: one, credits: 600, idempotencyKey: 'held' })
    if (held.verdict.verdict !== 'held') throw new Error(held.verdict.verdict)
    const member = await join(userId, 'viewer')
    const removed = await join(userId, null)
    const { owner } = database
    // More rows than one page contains.
    await owner.query("insert into api_keys (user_id, name) select $1, 'key ' || n from generate_series(1, 2100) as n", [
      userId,
    ])
    await owner.query(
      `insert into ledger_entries (user_id, sequence, created_at, cycle_start, kind, credits, idempotency_key, note)
       select $1, n, now(), now(), 'top_up', n, 'top-up-' || n, 'note ' || n from generate_series(1, 2100) as n`,
      [userId],
    )
    await owner.query(
      `insert into alerts (user_id, cycle_start, period, kind, threshold, created_at, plan, credits_used, credits_left, credits_granted)
       select $1, date_trunc('milliseconds', now()), n, kind, 50, now(), 'free', 1, 1, 1 from generate_series(1, 600) as n, unnest(array['percent', 'credits_left']) as kind`,
      [userId],
    )
    await owner.query(
      `insert into account_invitations (user_id, token_hash, email, role, created_at, expires_at)
       select $1, sha256(n::text::bytea), 'invited-' || n || '@example.com', 'viewer', now(), now() + interval '7 days' from generate_series(1, 3) as n`,
      [userId],
    )
    const origin = "row('r', '192.0.2.77', 'an agent of the operator')::keymeter.call_origin"
    await owner.query(`select keymeter.set_suspended($1, true, ${origin})`, [userId])
    for (let n = 0; n < 1005; n++) await owner.query(`select keymeter.set_suspended($1, ${n % 2 === 1}, ${origin})`, [userId])

    const response = await get(userId)
    expect(response.status).toBe(200)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'application/json',
      'content-disposition': expect.stringMatching(/^attachment; filename="keymeter-account-\d{4}-\d\d-\d\d\.json"$/),
      'cache-control': 'no-store',
    })
    const text = await response.text()
    const file = JSON.parse(text)
    expect(Object.keys(file)).toEqual([
      'format',
      'version',
      'begunAt',
      'account',
      'members',
      'invitations',
      'keys',
      'billingCycles',
      'ledger',
      'alerts',
      'auditLog',
      'usageEvents',
      'isComplete',
    ])
    expect(file).toMatchObject({
      format: 'keymeter-account',
      version: 1,
      isComplete: true,
      account: { id: userId, plan: 'free', creditsHeld: 600 },
    })
    expect(Math.abs(Date.parse(file.begunAt) - Date.now())).toBeLessThan(600_000)
    expect(ids(file.members)).toEqual([userId, member, removed].sort())
    expect(file.members.find(({ id }: { id: string }) => id === removed)).toMatchObject({
      role: null,
      removedAt: expect.any(String),
    })
    const keys = (await owner.query('select id from api_keys where user_id = $1', [userId])).rows
    expect(ids(file.keys)).toEqual(ids(keys))
    expect(file.ledger.map(({ sequence }: { sequence: number }) => sequence)).toEqual(
      Array.from({ length: 2100 }, (_, n) => n + 1),
    )
    expect(file.alerts).toHaveLength(1200)
    expect(new Set(file.alerts.map((alert: object) => JSON.stringify(alert))).size).toBeGreaterThan(1)
    expect(file.invitations).toHaveLength(3)
    const { rows: log } = await owner.query('select sequence::int from audit_log where user_id = $1 order by sequence desc', [
      userId,
    ])
    expect(file.auditLog.map(({ sequence }: { sequence: number }) => sequence)).toEqual(log.map(({ sequence }) => sequence))
    expect(file.usageEvents).toMatchObject([{ action: 'hold', verdict: 'held', idempotencyKey: 'held', creditsRequested: 600 }])

    expect(text).not.toContain(one.secret)
    for (const hidden of ['192.0.2.77', 'an agent of the operator', 'top-up-1']) expect(text).not.toContain(hidden)
    const { rows: hashes } = await owner.query(
      `select encode(key_hash, 'hex') as hex from api_key_secrets where user_id = $1
       union all select encode(token_hash, 'hex') from account_invitations where user_id = $1
       union all select encode(hash, 'hex') from audit_log where user_id = $1 and sequence > 1000`,
      [userId],
    )
    for (const { hex } of hashes) {
      expect(text).not.toContain(hex)
      expect(text).not.toContain(Buffer.from(hex, 'hex').toString('base64').slice(0, 40))
    }
    const other = await customer()
    const own = await (await get(other.userId)).text()
    expect(own).not.toContain(userId)
  })

  it('only owners and admins export an account, and others get the answer of an unknown account', async () => {
    const { userId } = await customer()
    const reasonOf = async (member: string, account = userId) => {
      const response = await get(member, account)
      return response.ok
        ? response.status
        : ((await response.json()) as { error: { data: { reason: string } } }).error.data.reason
    }
    const outcomes = []
    for (const role of ['owner', 'admin', 'developer', 'viewer', null]) outcomes.push(await reasonOf(await join(userId, role)))
    expect(outcomes).toEqual([200, 200, 'role_insufficient', 'role_insufficient', 'not_a_member'])
    expect(await reasonOf((await customer()).userId)).toBe('not_a_member')
    const signedOut = await fetch(`${url}/export/account.json`)
    expect(signedOut.status).toBe(401)
  })

  describe(`an account with ${EVENTS.toLocaleString('en')} events`, () => {
    let one: Customer
    beforeAll(async () => {
      one = await customer()
      await write(one, EVENTS)
    })

    it('the export is complete and needs little memory', async () => {
      await (await get(one.userId)).text()
      const before = memoryMib()
      let highest = before
      const watching = setInterval(() => (highest = Math.max(highest, memoryMib())), 20)
      const file = JSON.parse(await (await get(one.userId)).text())
      clearInterval(watching)
      expect(file.usageEvents).toHaveLength(EVENTS)
      expect(file.usageEvents.every(({ sequence }: { sequence: number }, i: number) => sequence === EVENTS - i)).toBe(true)
      expect(highest - before).toBeLessThan(MEMORY_GROWTH_MIB_MAX)
    })

    it('an export that the client does not read ends, and frees its place', async () => {
      const accepted = once(impatient.server, 'connection') as Promise<[Socket]>
      const client = connect(impatient.port, '127.0.0.1').pause()
      client.on('error', () => {})
      client.write(
        `GET /export/account.json HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${accessToken(auth.jwtSecret, one.userId)}\r\n\r\n`,
      )
      const [socket] = await accepted
      await once(socket, 'close')
      await expect.poll(() => impatient.api.accountExports.size).toBe(0)
    })

    it('both exports of an account use the same places, and a removed member stops the export', async () => {
      const authorization = `Bearer ${accessToken(auth.jwtSecret, one.userId)}`
      const open = [await get(one.userId), await fetch(`${url}/export/usage.csv`, { headers: { authorization } })]
      const third = await get(one.userId)
      expect([third.status, ((await third.json()) as { error: { data: { reason: string } } }).error.data.reason]).toEqual([
        429,
        'account_busy',
      ])
      await database.owner.query("update account_members set role = 'viewer' where user_id = $1", [one.userId])
      // The rest of the file is not read from the database any more, so the file has no end.
      await expect(open[0]?.text()).rejects.toThrow()
      await database.owner.query("update account_members set role = 'owner' where user_id = $1", [one.userId])
      await open[1]?.body?.cancel()
    })
  })
})

function memoryMib(): number {
  const [, kib] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${main.child.pid}/status`, 'utf8')) ?? []
  return Number(kib) / 1024
}
