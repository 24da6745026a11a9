import { setTimeout as sleep } from 'node:timers/promises'
import { reconcile } from '@keymeter/api/server'
import { STREAMS_PER_ACCOUNT_MAX } from '@keymeter/contract'
import { freePort, withClient } from '@keymeter/local'
import { serverEnv, testAuth, testDatabase } from '@keymeter/local/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { accessToken, askUntilAnswered, type Customer, provision } from '../test/metering.ts'
import { isPgbouncerInstalled, startPgbouncer } from '../test/pgbouncer.ts'
import { startReadyMain } from '../test/start-main.ts'
import { type Watching, waitUntil, watchUsage } from '../test/watching.ts'

/**
 * The product promises that spending is shown within this time. A busy machine can be late once, so the test checks the median.
 */
const SHOWS_WITHIN_MS = 1_000
/**
 * The server reads watched accounts at this interval, even without an announcement. So a change that is shown earlier was
 * announced.
 */
const REREAD_INTERVAL_MS = 15_000

const database = testDatabase()
const auth = testAuth(database)
const started: (() => void)[] = []
afterAll(() => {
  for (const end of started) end()
})

type Server = Awaited<ReturnType<typeof startServer>>
async function startServer(env: Record<string, string> = {}) {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const main = await startReadyMain({ ...serverEnv(database, auth, port), LOG_LEVEL: 'trace', ...env }, url)
  started.push(() => main.child.kill('SIGKILL'))
  return { ...main, url, serviceKey: auth.serviceKey }
}

/** Two processes of the server. A charge at one process must be shown at the other process. */
let one: Server
let other: Server
beforeAll(async () => {
  one = await startServer()
  other = await startServer()
  await waitUntil(async () => (await listeners()).length === 2)
})

let customer: Customer
const open: Watching[] = []
beforeEach(async () => {
  customer = await provision(one.url, auth.jwtSecret, await database.createUser())
})
afterEach(async () => {
  for (const watching of open.splice(0)) watching.close()
  expect(await reconcile(database.ownerDb)).toEqual([])
})

const tokenOf = ({ userId }: Customer) => accessToken(auth.jwtSecret, userId)
async function watch(at: { url: string }, whom = customer, lastEventId?: string): Promise<Watching> {
  const watching = await watchUsage(at.url, tokenOf(whom), lastEventId)
  open.push(watching)
  return watching
}

let charges = 0
const charge = async (at: { url: string; serviceKey: string }, credits: number, whom = customer) =>
  await askUntilAnswered(at, { action: 'charge', customer: whom, credits, idempotencyKey: `watched-${charges++}` })

const listeners = async (): Promise<number[]> =>
  (
    await database.owner.query(
      "select pid from pg_stat_activity where datname = current_database() and application_name = 'keymeter listener' order by pid",
    )
  ).rows.map(({ pid }) => pid)
const used = ({ snapshots }: Watching) => snapshots.at(-1)?.data.creditsUsed
const shows = async (watching: Watching, credits: number) => await waitUntil(() => used(watching) === credits)

describe('watchers', () => {
  it('a watcher sees a charge within a second, no matter which server process made the charge', async () => {
    const [here, there] = [await watch(one), await watch(other)]
    await Promise.all([here, there].map(async (watching) => await shows(watching, 0)))
    const delays: number[] = []
    for (let n = 1; n <= 10; n++) {
      await charge(other, 7)
      const start = performance.now()
      await Promise.all([here, there].map(async (watching) => await shows(watching, 7 * n)))
      delays.push(performance.now() - start)
      // The pause is so long that each charge gets its own snapshot. The length of the pause varies, so that the charges do not
      // always coincide with the timers of the server.
      await sleep(300 + 17 * n)
    }
    delays.sort((a, b) => a - b)
    expect(delays[delays.length / 2]).toBeLessThan(SHOWS_WITHIN_MS)
    const latest = here.snapshots.at(-1)
    expect(latest).toMatchObject({ id: '10', data: { sequence: 10, creditsUsed: 70, creditsRemaining: 930 } })
    expect(latest?.data.billingCycle.end).toMatch(/Z$/)
    expect(latest?.data.requestId).toBe(here.headers.get('x-request-id'))
    // Each watcher gets one snapshot at the start, and one for each charge.
    expect([here.snapshots.length, there.snapshots.length]).toEqual([11, 11])
  })

  it('a watcher sees a top-up as soon as the top-up is announced', async () => {
    const opened = performance.now()
    const watching = await watch(one)
    await shows(watching, 0)
    const remaining = () => watching.snapshots.at(-1)?.data.creditsRemaining
    expect(remaining()).toBe(1000)
    const given = await fetch(`${other.url}/trpc/operator.grantTopUp`, {
      method: 'POST',
      headers: { authorization: `Bearer ${other.serviceKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ accountId: customer.userId, credits: 250, idempotencyKey: 'order-1' }),
    })
    expect(given.status).toBe(200)
    await waitUntil(() => remaining() === 1250)
    expect(performance.now() - opened).toBeLessThan(REREAD_INTERVAL_MS)
  })

  it('a watcher gets at most a few snapshots per second, even if the account spends fast, and the last snapshot is exact', async () => {
    const watching = await watch(one)
    await shows(watching, 0)
    const start = performance.now()
    await Promise.all(
      Array.from({ length: 2 }, async () => {
        while (watching.snapshots.length < 10) await charge(other, 0)
      }),
    )
    await charge(other, 1)
    await shows(watching, 1)
    const seconds = (performance.now() - start) / 1000
    expect(watching.snapshots.length).toBeLessThan(6 * seconds + 2)
    const sequences = watching.snapshots.map(({ data }) => data.sequence)
    expect(sequences).toEqual([...sequences].sort((a, b) => a - b))
  })

  it('a watcher does not see the spending of another account', async () => {
    const foreign = await provision(one.url, auth.jwtSecret, await database.createUser())
    const watching = await watch(one)
    const theirs = await watch(one, foreign)
    await shows(watching, 0)
    await charge(one, 5, foreign)
    await charge(other, 5, foreign)
    await shows(theirs, 10)
    await charge(other, 1)
    await shows(watching, 1)
    expect(watching.snapshots.map(({ data }) => data.creditsUsed)).toEqual([0, 1])
    expect(JSON.stringify(watching.snapshots)).not.toContain(foreign.userId)
  })
})

describe('watchers after an interruption', () => {
  it('a watcher whose connection drops misses nothing, because the next stream starts with the current state', async () => {
    const before = await watch(one)
    await shows(before, 0)
    const lastEventId = before.snapshots.at(-1)?.id ?? ''
    before.close()
    await charge(other, 3)
    const after = await watch(other, customer, lastEventId)
    await shows(after, 3)
    expect(after.snapshots).toMatchObject([{ id: '1', data: { sequence: 1 } }])
  })

  it('a watcher whose connections drop often under load misses nothing', async () => {
    let isDone = false
    const charging = (async () => {
      let credits = 0
      for (; !isDone; credits++) await charge(other, 1)
      return credits
    })()
    let watching = await watch(one)
    for (let drop = 0; drop < 20; drop++) {
      await waitUntil(() => watching.snapshots.length > 0)
      await sleep(drop * 7)
      watching.close()
      const last = watching.snapshots.at(-1)
      watching = await watch(drop % 2 === 0 ? one : other, customer, last?.id)
      await waitUntil(() => watching.snapshots.length > 0)
      expect(watching.snapshots[0]?.data.creditsUsed).toBeGreaterThanOrEqual(last?.data.creditsUsed ?? 0)
    }
    isDone = true
    await shows(watching, await charging)
  })

  it('a watcher misses nothing if the server loses its listening connection: the server reconnects and reads the missed changes', async () => {
    const opened = performance.now()
    const watching = await watch(one)
    await shows(watching, 0)
    for (let cut = 1; cut <= 3; cut++) {
      const before = await listeners()
      expect(before).toHaveLength(2)
      // A role can end its own connections, so the test uses the role of the server to cut them.
      await withClient(database.urls.api, async (client) => {
        await client.query('select pg_terminate_backend(pid) from unnest($1::int[]) as pid', [before])
      })
      await charge(other, 2)
      await shows(watching, 4 * cut - 2)
      await waitUntil(async () => (await listeners()).length === 2)
      expect(await listeners()).not.toEqual(expect.arrayContaining(before))
      await charge(other, 2)
      await shows(watching, 4 * cut)
    }
    expect(performance.now() - opened).toBeLessThan(REREAD_INTERVAL_MS)
    expect(one.output()).toContain('the connection that listens for usage broke')
  })
})

describe('streams', () => {
  it('a stream requires an access token in the header, and forbids caches and proxies to store or delay it', async () => {
    const token = tokenOf(customer)
    const watching = await watchUsage(one.url, token)
    open.push(watching)
    await shows(watching, 0)
    expect(watching.headers.get('content-type')).toBe('text/event-stream')
    expect(watching.headers.get('cache-control')).toBe('no-store, no-transform')
    expect(watching.headers.get('x-accel-buffering')).toBe('no')
    for (const bad of [null, 'nonsense', accessToken(auth.jwtSecret, customer.userId, -60), auth.serviceKey]) {
      const refused = await watchUsage(one.url, bad)
      await refused.ended
      expect([refused.status, refused.error?.data.reason, refused.snapshots]).toEqual([401, 'not_signed_in', []])
      expect(refused.error?.data.requestId).toBe(refused.headers.get('x-request-id'))
    }
    const inUrl = await fetch(
      `${one.url}/trpc/usage.watch?connectionParams=${encodeURIComponent(JSON.stringify({ authorization: `Bearer ${token}` }))}`,
    )
    expect([inUrl.status, await inUrl.text()]).toEqual([401, expect.stringContaining('not_signed_in')])
    expect(one.output()).not.toContain(token)
  })

  it('a stream ends when its access token expires, in a way that makes clients reconnect', async () => {
    // The token is valid long enough to open the stream on a busy machine.
    const ttlSeconds = 6
    const start = Date.now()
    const watching = await watchUsage(one.url, accessToken(auth.jwtSecret, customer.userId, ttlSeconds))
    const lasting = await watch(one)
    await shows(watching, 0)
    await watching.ended
    expect(Date.now() - start).toBeGreaterThan((ttlSeconds - 1.1) * 1000)
    // The stream must not end with the event `return` or with an error. After these, clients do not reconnect.
    expect(watching.events).toEqual(['connected', 'message'])
    await charge(one, 1)
    await shows(lasting, 1)
    expect(watching.snapshots).toHaveLength(1)
  })

  it(`a stream is refused if its account already has ${STREAMS_PER_ACCOUNT_MAX} open streams`, async () => {
    const streams = await Promise.all(Array.from({ length: STREAMS_PER_ACCOUNT_MAX }, async () => await watch(one)))
    await Promise.all(streams.map(async (watching) => await shows(watching, 0)))
    const tooMany = await watch(one)
    await tooMany.ended
    expect([tooMany.status, tooMany.error?.data.reason]).toEqual([429, 'too_many_streams'])
    expect(tooMany.headers.get('retry-after')).toBe('15')
    const foreign = await provision(one.url, auth.jwtSecret, await database.createUser())
    await shows(await watch(one, foreign), 0)
    streams[0]?.close()
    await waitUntil(async () => {
      const again = await watch(one)
      await waitUntil(() => again.snapshots.length > 0 || again.error !== null)
      return again.error === null
    })
    await charge(other, 1)
    await Promise.all(streams.slice(1).map(async (watching) => await shows(watching, 1)))
  })

  it('a stream needs no database connection of its own: 200 streams share the listening connection of their server process', async () => {
    const customers = await Promise.all(
      Array.from({ length: 10 }, async () => await provision(one.url, auth.jwtSecret, await database.createUser())),
    )
    const streams = await Promise.all(
      customers.flatMap((whom) => Array.from({ length: STREAMS_PER_ACCOUNT_MAX }, async () => await watch(one, whom))),
    )
    expect(streams).toHaveLength(200)
    await Promise.all(streams.map(async (watching) => await shows(watching, 0)))
    await Promise.all(customers.map(async (whom) => await charge(other, 9, whom)))
    await Promise.all(streams.map(async (watching) => await shows(watching, 9)))
    expect(await listeners()).toHaveLength(2)
    const { rows } = await database.owner.query(
      "select count(*)::int as open from pg_stat_activity where datname = current_database() and application_name like 'keymeter%'",
    )
    // Each of the two server processes has a pool of 10 connections, a pool of 8 connections, one listening connection, and one
    // connection of the readiness check.
    expect(rows[0].open).toBeLessThanOrEqual(2 * (10 + 8 + 1 + 1))
  })
})

it('a server process that stops ends its streams and announces its last charges', async () => {
  const stopping = await startServer()
  const streams = [await watch(stopping), await watch(stopping)]
  await Promise.all(streams.map(async (watching) => await shows(watching, 0)))
  const opened = performance.now()
  const elsewhere = await watch(one)
  await shows(elsewhere, 0)
  // The process is stopped immediately after these charges, before it has announced all of them.
  for (let n = 0; n < 10; n++) await charge(stopping, 1)
  stopping.child.kill('SIGTERM')
  // The exit code would be 1 if the process waited until the shutdown timeout because of its open streams.
  expect(await stopping.ended).toBe(0)
  await Promise.all(streams.map(async ({ ended }) => await ended))
  for (const { events } of streams) expect(events).not.toContain('return')
  await shows(elsewhere, 10)
  expect(performance.now() - opened).toBeLessThan(REREAD_INTERVAL_MS)
})

describe.skipIf(!isPgbouncerInstalled)('behind PgBouncer in transaction mode', () => {
  it('a watcher sees spending behind PgBouncer, because the server listens on a direct connection to Postgres', async () => {
    const pooler = await startPgbouncer(database.urls.api, 4)
    started.push(pooler.stop)
    const pooled = await startServer({ DATABASE_URL: pooler.url, DATABASE_DIRECT_URL: database.urls.api })
    const opened = performance.now()
    const watching = await watch(pooled)
    await shows(watching, 0)
    await charge(pooled, 6)
    await shows(watching, 6)
    await charge(one, 6)
    await shows(watching, 12)
    expect(performance.now() - opened).toBeLessThan(REREAD_INTERVAL_MS)
  })
})
