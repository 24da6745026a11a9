import { reconcile } from '@keymeter/api/server'
import { freePort, withClient } from '@keymeter/local'
import { serverEnv, testAuth, testDatabase } from '@keymeter/local/testing'
import { afterAll, describe, expect, it } from 'vitest'
import { accessToken, askUntilAnswered, provision } from '../test/metering.ts'
import { isPgbouncerInstalled, startPgbouncer } from '../test/pgbouncer.ts'
import { startReadyMain } from '../test/start-main.ts'
import { waitUntil, watchUsage } from '../test/watching.ts'

const SERVERS = 3
const CLIENTS = 8
const CHARGES_EACH = 25
const CONNECTIONS = 4
/** If each of these charges waited for the server's regular read, 15 seconds, the test would take longer than its timeout. */
const SHOWN_CHARGES = 25

const database = testDatabase()
const auth = testAuth(database)
const started: (() => void)[] = []
afterAll(() => {
  for (const end of started) end()
})

async function startServer(databaseUrl: string, env: Record<string, string> = {}) {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const main = await startReadyMain({ ...serverEnv(database, auth, port), DATABASE_URL: databaseUrl, ...env }, url)
  started.push(() => main.child.kill('SIGKILL'))
  return { ...main, url, serviceKey: auth.serviceKey }
}

describe.skipIf(!isPgbouncerInstalled)('behind PgBouncer in transaction mode', () => {
  it(`${SERVERS} servers share ${CONNECTIONS} connections through PgBouncer, and each account is charged exactly`, async () => {
    const pooler = await startPgbouncer(database.urls.api, CONNECTIONS)
    started.push(pooler.stop)
    const servers = await Promise.all(
      Array.from({ length: SERVERS }, async () => await startServer(pooler.url, { DATABASE_DIRECT_URL: database.urls.api })),
    )
    const serverOf = (n: number) => {
      const server = servers[n % SERVERS]
      if (server === undefined) throw new Error('no server')
      return server
    }
    const customers = await Promise.all(
      Array.from(
        { length: CLIENTS },
        async (_, i) => await provision(serverOf(i).url, auth.jwtSecret, await database.createUser()),
      ),
    )
    await Promise.all(
      customers.map(async (customer) => {
        for (let n = 0; n < CHARGES_EACH; n++) {
          const ask = { action: 'charge' as const, customer, credits: 2, idempotencyKey: `pooled-${n}` }
          // Two servers get the same request concurrently. One server decides it, and the other one replays the verdict.
          const answered = await Promise.all([0, 1].map(async (other) => await askUntilAnswered(serverOf(n + other), ask)))
          expect(answered.map(({ verdict }) => ('replayed' in verdict ? verdict.replayed : null)).sort()).toEqual([false, true])
          for (const { verdict, tries } of answered)
            expect([verdict, tries]).toMatchObject([{ verdict: 'charged', remaining: 1000 - 2 * (n + 1) }, 1])
        }
      }),
    )
    expect(await reconcile(database.ownerDb)).toEqual([])
    for (const { output } of servers) expect(output()).not.toMatch(/"level":(40|50|60)/)
  })

  it('without a direct URL, a server warns that notifications do not arrive, and still shows its own charges', async () => {
    const pooler = await startPgbouncer(database.urls.api, CONNECTIONS)
    started.push(pooler.stop)
    const server = await startServer(pooler.url)
    const customer = await provision(server.url, auth.jwtSecret, await database.createUser())
    const watching = await watchUsage(server.url, accessToken(auth.jwtSecret, customer.userId))
    const used = () => watching.snapshots.at(-1)?.data.creditsUsed
    for (let n = 1; n <= SHOWN_CHARGES; n++) {
      const ask = { action: 'charge' as const, customer, credits: 1, idempotencyKey: `shown-${n}` }
      await askUntilAnswered(server, ask)
      await waitUntil(() => used() === n)
    }
    watching.close()
    await server.wrote(/announcements of usage do not arrive[^\n]*set DATABASE_DIRECT_URL/)
  })

  it('a call through PgBouncer leaves no state on its connection: the next client sees no account, and has the role’s time limit', async () => {
    const pooler = await startPgbouncer(database.urls.api, 1)
    started.push(pooler.stop)
    const server = await startServer(pooler.url)
    await provision(server.url, auth.jwtSecret, await database.createUser())
    // The pool has only one connection, so this client gets the connection that the call `provision` used.
    await withClient(pooler.url, async (next) => {
      expect((await next.query('select user_id from billing_accounts')).rows).toEqual([])
      expect((await next.query('show statement_timeout')).rows).toEqual([{ statement_timeout: '5s' }])
    })
  })
})
