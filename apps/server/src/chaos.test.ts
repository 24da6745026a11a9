import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '@keymeter/local'
import { ownPostgres, serverEnv, type TestDatabase, testAuth, testDatabase } from '@keymeter/local/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { expectExact } from '../test/expect-exact.ts'
import { load } from '../test/load.ts'
import { type Answered, type Ask, askUntilAnswered, type Customer, provision, startClients, tryOnce } from '../test/metering.ts'
import { type PostgresProxy, startPostgresProxy } from '../test/postgres-proxy.ts'
import { type Main, startReadyMain } from '../test/start-main.ts'
import { waitUntil } from '../test/watching.ts'

/** True in `pnpm test:chaos`, which causes more faults. */
const IS_LONG = process.env['KEYMETER_CHAOS'] === '1'
const SERVER_KILLS = IS_LONG ? 20 : 3
const POSTGRES_STOPS = IS_LONG ? 10 : 2
const CUT_REQUESTS = IS_LONG ? 2000 : 300
const CUT_CHANCE = 0.2
const CLIENTS = 6
const REQUESTS_BETWEEN_FAULTS = IS_LONG ? 150 : 75
/** An account with so few credits runs out during a test, so the clients also retry refused requests. */
const POOR_CREDITS = 100
const RICH_CREDITS = 1_000_000
/** The engine answers a call within this time. A call that first waits for another batch can take twice as long. */
const ANSWERED_WITHIN_MS = 10_000
/** The engine resends a batch that has no response after this time. A faster call did not wait for a dead connection. */
const TRY_MS_MAX = 6_000
/** With this pause between calls, some calls are in the batch that hangs, and other calls wait for the next batch. */
const CALLS_APART_MS = 3_000
/** The verdicts that each action can get in this file. */
const VERDICTS: Record<Ask['action'], string[]> = {
  charge: ['charged', 'insufficient_credits'],
  hold: ['held', 'insufficient_credits'],
  settle: ['settled', 'hold_ended'],
  release: ['released', 'hold_ended'],
  refund: ['refunded', 'exceeds_charge'],
}

const database = testDatabase()
const auth = testAuth(database)
const postgres = await ownPostgres('chaos')

interface Server extends Main {
  port: number
  url: string
  serviceKey: string
}
let proxy: PostgresProxy
/** This server connects to the test database through the proxy. */
let behindProxy: Server
/** This server uses the Postgres cluster that only this test file uses. */
let onOwnPostgres: Server
beforeAll(async () => {
  proxy = await startPostgresProxy(database.urls.api)
  behindProxy = await startServer(proxy.url)
  onOwnPostgres = await startServer(postgres.urls.api)
})

/** Ends all faults, also if the test failed. */
afterEach(() => {
  Object.assign(proxy, { cutChance: 0, delayMs: 0 })
  proxy.resume()
  postgres.resume()
})

const servers: Server[] = []
afterAll(() => {
  for (const { child } of servers) child.kill('SIGKILL')
  proxy?.close()
})

type Store = Pick<TestDatabase, 'owner' | 'ownerDb' | 'createUser'>

async function startServer(databaseUrl: string, onPort?: number): Promise<Server> {
  const port = onPort ?? (await freePort())
  const url = `http://127.0.0.1:${port}`
  const main = await startReadyMain({ ...serverEnv(database, auth, port), DATABASE_URL: databaseUrl }, url)
  const server = { ...main, port, url, serviceKey: auth.serviceKey }
  servers.push(server)
  return server
}

/** Creates one account with plenty of credits, and one that runs out of credits. */
async function createCustomers({ owner, createUser }: Store, url: string): Promise<Customer[]> {
  const customers: Customer[] = []
  for (const credits of [RICH_CREDITS, POOR_CREDITS]) {
    // The auth server has its own database, and the user must exist in both.
    const customer = await provision(url, auth.jwtSecret, await database.createUser(await createUser()))
    await owner.query('update billing_accounts set credits_per_cycle = $2 where user_id = $1', [customer.userId, credits])
    customers.push(customer)
  }
  return customers
}

describe('requests that are retried until they are answered', () => {
  it(`a retried request is recorded exactly once, even if the server is killed ${SERVER_KILLS} times under load`, async () => {
    let server = await startServer(database.urls.api)
    const customers = await createCustomers(database, server.url)
    const clients = startClients(server, CLIENTS, load(customers, 'server'))
    for (let kill = 0; kill < SERVER_KILLS; kill++) {
      await clients.moreAnswered(REQUESTS_BETWEEN_FAULTS)
      await sleep(randomInt(20))
      server.child.kill('SIGKILL')
      await server.ended
      server = await startServer(database.urls.api, server.port)
    }
    const kinds = new Set(Object.values(VERDICTS).flat())
    const kindsAnswered = () => new Set(clients.answered.map(({ verdict }) => verdict.verdict))
    // The requests are random. Continue until each verdict has occurred.
    do await clients.moreAnswered(REQUESTS_BETWEEN_FAULTS)
    while (kindsAnswered().size < kinds.size)
    await clients.stop()
    expect(clients.answered.filter(({ tries }) => tries > 1).length).toBeGreaterThanOrEqual(SERVER_KILLS)
    expect(kindsAnswered()).toEqual(kinds)
    await expectExact(database, customers, clients.answered)
  })

  it(`a retried request is recorded exactly once, even if Postgres is killed ${POSTGRES_STOPS} times under load, without a restart of the server`, async () => {
    const server = onOwnPostgres
    const customers = await createCustomers(postgres, server.url)
    const clients = startClients(server, CLIENTS, load(customers, 'postgres'))
    for (let stop = 0; stop < POSTGRES_STOPS; stop++) {
      await clients.moreAnswered(REQUESTS_BETWEEN_FAULTS)
      await sleep(randomInt(20))
      await postgres.kill(stop % 2 === 0 ? 'SIGKILL' : 'SIGQUIT')
      // Every second outage is longer than the time in which the engine retries a batch.
      await sleep(stop % 2 === 0 ? 0 : 2_000)
      await postgres.start()
    }
    await clients.moreAnswered(REQUESTS_BETWEEN_FAULTS)
    await clients.stop()
    expect(server.child.exitCode ?? server.child.signalCode).toBeNull()
    expect(server.output()).toMatch(/a batch of charges[^"]*: sending it again/)
    await expectExact(postgres, customers, clients.answered)
  })
})

describe('metering engine', () => {
  it(`each of ${CUT_REQUESTS} requests gets its verdict, even if database connections are cut between commit and response`, async () => {
    const server = behindProxy
    const customers = await createCustomers(database, server.url)
    const nextAsk = load(customers, 'cut')
    proxy.cutChance = CUT_CHANCE
    const answered: Answered[] = []
    let asked = 0
    await Promise.all(
      Array.from({ length: CLIENTS }, async () => {
        while (asked++ < CUT_REQUESTS) {
          const ask = nextAsk(answered)
          const { verdict, status } = await tryOnce(server, ask)
          expect([status, verdict?.verdict]).toEqual([200, expect.toBeOneOf(VERDICTS[ask.action])])
          if (verdict !== undefined) answered.push({ ...ask, verdict, tries: 1 })
        }
      }),
    )
    expect(answered).toHaveLength(CUT_REQUESTS)
    expect(proxy.cuts).toBeGreaterThan((proxy.batches * CUT_CHANCE) / 6)
    await expectExact(database, customers, answered)
  })

  it('the metering engine answers every request at the first try when Postgres is slow', async () => {
    const server = behindProxy
    const customers = await createCustomers(database, server.url)
    const nextAsk = load(customers, 'slow')
    const answered: Answered[] = []
    const askTwenty = async () =>
      answered.push(
        ...(await Promise.all(Array.from({ length: 20 }, async () => await askUntilAnswered(server, nextAsk(answered))))),
      )
    // The first requests create holds and charges, which later requests settle, release and refund.
    await askTwenty()
    proxy.delayMs = 500
    await askTwenty()
    expect(answered.every(({ tries }) => tries === 1)).toBe(true)
    await expectExact(database, customers, answered)
  })

  it.each(['network', 'database'] as const)(
    'the metering engine answers `database_unavailable` within its time limit while the %s hangs, and is fast and exact again afterwards',
    async (what) => {
      const store = what === 'database' ? postgres : database
      const { hang, resume } = what === 'database' ? { hang: postgres.pause, resume: postgres.resume } : proxy
      const server = what === 'database' ? onOwnPostgres : behindProxy
      const customers = await createCustomers(store, server.url)
      const nextAsk = load(customers, `hung-${what}`)
      // These requests open all connections of the pool, so that each of them hangs later.
      const answered = await Promise.all(Array.from({ length: 20 }, async () => await askUntilAnswered(server, nextAsk([]))))

      await hang()
      const hung = Array.from({ length: IS_LONG ? 12 : 3 }, () => nextAsk(answered))
      const answers = await Promise.all(
        hung.map(async (ask, n) => {
          await sleep(n * CALLS_APART_MS)
          const start = performance.now()
          const answer = await tryOnce(server, ask)
          return { ...answer, isInTime: performance.now() - start < 2 * ANSWERED_WITHIN_MS }
        }),
      )
      expect(answers).toEqual(
        hung.map(() => ({ status: 503, verdict: undefined, reason: 'database_unavailable', isInTime: true })),
      )

      resume()
      let slowestMs = 0
      const askAgain = async (ask: Ask) => {
        const start = performance.now()
        answered.push(await askUntilAnswered(server, ask))
        slowestMs = Math.max(slowestMs, performance.now() - start)
      }
      await Promise.all(hung.map(askAgain))
      for (let n = 0; n < 20; n++) await askAgain(nextAsk(answered))
      expect(slowestMs).toBeLessThan(TRY_MS_MAX)
      await waitUntil(async () => (await fetch(`${server.url}/readyz`)).status === 200)
      await expectExact(store, customers, answered)
    },
  )
})
