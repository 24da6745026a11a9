import { freePort } from '@keymeter/local'
import { serverEnv, testAuth, testDatabase } from '@keymeter/local/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { accessToken, askUntilAnswered, type Customer, provision } from '../test/metering.ts'
import { type PostgresProxy, startPostgresProxy } from '../test/postgres-proxy.ts'
import { type Main, startReadyMain } from '../test/start-main.ts'
import { waitUntil, watchUsage } from '../test/watching.ts'

/** The listener, and the connection of /readyz. */
const OTHER_CONNECTIONS = 2
const READS = 200
/** Locked accounts whose batches are in flight at the same time. */
const LOCKED = 4

const database = testDatabase()
const auth = testAuth(database)
let proxy: PostgresProxy
beforeAll(async () => {
  proxy = await startPostgresProxy(database.urls.api)
})
afterAll(() => proxy?.close())
const started: Main[] = []
afterEach(() => {
  for (const { child } of started.splice(0)) child.kill('SIGKILL')
})

async function startServer(env: Record<string, string>) {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const main = await startReadyMain({ ...serverEnv(database, auth, port), DATABASE_URL: proxy.url, ...env }, url)
  started.push(main)
  return { ...main, url, serviceKey: auth.serviceKey }
}

describe('database connections of a server process', () => {
  it.each([
    ['the defaults', {}, 10, 8],
    ['the smallest allowed numbers', { DATABASE_CONNECTIONS_MAX: '5', METERING_CONNECTIONS_MAX: '6' }, 5, 6],
  ])(
    'with %s, a process under load opens no more connections than its settings allow, and charges do not wait for locked accounts',
    async (_, env, callsMax, meteringMax) => {
      await waitUntil(() => proxy.connections === 0)
      proxy.connectionsMax = 0
      const server = await startServer(env)
      const customers = await Promise.all(
        Array.from(
          { length: LOCKED + 1 },
          async () => await provision(server.url, auth.jwtSecret, await database.createUser()),
        ),
      )
      const locked = customers.slice(0, LOCKED)
      const free = customers.slice(LOCKED)
      let charges = 0
      const charge = async (customer: Customer) =>
        await askUntilAnswered(server, { action: 'charge', customer, credits: 1, idempotencyKey: `charge-${charges++}` })
      const tokens = customers.map(({ userId }) => accessToken(auth.jwtSecret, userId))
      const watching = await Promise.all(tokens.map(async (token) => await watchUsage(server.url, token)))

      const locker = await database.owner.connect()
      await locker.query('begin')
      await locker.query('select from billing_accounts where user_id = any($1) for update', [
        locked.map(({ userId }) => userId),
      ])
      let answered = 0
      const waiting = locked.map(async (customer) => await charge(customer).finally(() => answered++))
      const reads = Array.from({ length: READS }, async (_, n) => {
        const headers = { authorization: `Bearer ${tokens[n % tokens.length]}` }
        return (await fetch(`${server.url}/trpc/keys.usage`, { headers })).status
      })
      for (const customer of free) for (let n = 0; n < 10; n++) await charge(customer)
      // The charges of the locked accounts wait, and did not delay the other charges.
      expect(answered).toBe(0)
      expect(new Set(await Promise.all(reads))).toEqual(new Set([200]))
      expect((await fetch(`${server.url}/readyz`)).status).toBe(200)
      await locker.query('rollback')
      locker.release()
      for (const { verdict } of await Promise.all(waiting)) expect(verdict).toMatchObject({ verdict: 'charged' })
      const used = () => watching.map(({ snapshots }) => snapshots.at(-1)?.data.creditsUsed)
      await waitUntil(() => JSON.stringify(used()) === JSON.stringify([...locked.map(() => 1), ...free.map(() => 10)]))
      for (const { close } of watching) close()

      expect(proxy.connectionsMax).toBeLessThanOrEqual(callsMax + meteringMax + OTHER_CONNECTIONS)
      // The load was high enough to use the whole pool for calls, and a connection for each locked account.
      expect(proxy.connectionsMax).toBeGreaterThan(callsMax + LOCKED)
    },
  )
})
