import { freePort, withClient } from '@keymeter/local'
import { ownPostgres, serverEnv, testAuth, testDatabase } from '@keymeter/local/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { expectExact } from '../test/expect-exact.ts'
import { load } from '../test/load.ts'
import { accessToken, provision, startClients } from '../test/metering.ts'
import { type PostgresProxy, startPostgresProxy } from '../test/postgres-proxy.ts'
import { type Main, startReadyMain } from '../test/start-main.ts'
import { waitUntil, watchUsage } from '../test/watching.ts'

const CLIENTS = 6
const REQUESTS = 75
const CREDITS = 1_000_000

const database = testDatabase()
const auth = testAuth(database)
const primary = await ownPostgres('primary')
const standby = await ownPostgres('standby', { standbyOf: primary })

/** The proxy is the address that a failover moves from one server to the other. */
let proxy: PostgresProxy
let server: Main & { url: string; serviceKey: string }
beforeAll(async () => {
  proxy = await startPostgresProxy(primary.urls.api)
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const main = await startReadyMain({ ...serverEnv(database, auth, port), DATABASE_URL: proxy.url }, url)
  server = { ...main, url, serviceKey: auth.serviceKey }
})
afterAll(() => {
  server?.child.kill('SIGKILL')
  proxy?.close()
})

const statusOf = async (path: string) => (await fetch(server.url + path)).status

describe('a failover', () => {
  it('while the old primary stays up read-only, calls are answered database_unavailable, and afterwards every acknowledged charge is stored', async () => {
    // The auth server has its own database, and the user must exist in both.
    const customer = await provision(server.url, auth.jwtSecret, await database.createUser(await primary.createUser()))
    await primary.owner.query('update billing_accounts set credits_per_cycle = $1', [CREDITS])
    const token = accessToken(auth.jwtSecret, customer.userId)
    const watching = await watchUsage(server.url, token)
    const clients = startClients(server, CLIENTS, load([customer], 'failover'))

    /** The HTTP status of each edit and of each read. */
    const edits: number[] = []
    const reads: number[] = []
    let isOver = false
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const callAgain = async (statuses: number[], path: string, init: RequestInit) => {
      while (!isOver) statuses.push((await fetch(`${server.url}/trpc/${path}`, { headers, ...init })).status)
    }
    const body = JSON.stringify({ thresholds: [50] })
    const others = Promise.all([
      callAgain(edits, 'alerts.setThresholds', { method: 'POST', body }),
      callAgain(reads, 'keys.usage', {}),
    ])

    await clients.moreAnswered(REQUESTS)
    await primary.stop()
    primary.follow(standby)
    await primary.start()
    await server.wrote(/"code":"25006"[^\n]*sending it again/)
    await waitUntil(async () => (await statusOf('/readyz')) === 503)
    expect(await statusOf('/livez')).toBe(200)
    const before = edits.length
    await waitUntil(() => edits.slice(before).includes(503))

    await standby.promote()
    // The connections to the old primary stay open. The server must close them itself.
    proxy.switchTo(standby.urls.api)
    await waitUntil(async () => (await statusOf('/readyz')) === 200)
    await clients.moreAnswered(REQUESTS)
    const after = edits.length
    await waitUntil(() => edits.slice(after).includes(200))
    isOver = true
    await clients.stop()
    await others

    // `startClients` throws if a charge gets another answer than a verdict or database_unavailable.
    expect(new Set([...edits, ...reads])).toEqual(new Set([200, 503]))
    await expectExact(standby, [customer], clients.answered)
    const { rows } = await standby.owner.query('select credits_used::int as used from billing_accounts')
    await waitUntil(() => watching.snapshots.at(-1)?.data.creditsUsed === rows[0]?.used)
    watching.close()
    const connections = async () =>
      await withClient(
        primary.urls.superuser,
        async (client) =>
          (await client.query("select from pg_stat_activity where application_name like 'keymeter%'")).rows.length,
      )
    await waitUntil(async () => (await connections()) === 0)
    expect(server.output()).not.toMatch(/"level":(50|60)/)
  })
})
