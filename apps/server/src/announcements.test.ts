import { randomUUID } from 'node:crypto'
import { freePort, withClient } from '@keymeter/local'
import { serverEnv, testAuth, testDatabase } from '@keymeter/local/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { accessToken, askUntilAnswered, type Customer, provision } from '../test/metering.ts'
import { type PostgresProxy, startPostgresProxy } from '../test/postgres-proxy.ts'
import { type Main, startReadyMain } from '../test/start-main.ts'
import { waitUntil, watchUsage } from '../test/watching.ts'

/**
 * The server reads every watched account every 15 seconds. If each of these charges waited for this read, the test would take
 * longer than its timeout.
 */
const CHARGES = 25
const WARNING = /announcements of usage do not arrive/g

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
  Object.assign(proxy, { deliversNotifications: true, holdsAnnouncements: false, held: 0 })
})

async function startServer(env: Record<string, string> = {}) {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const main = await startReadyMain({ ...serverEnv(database, auth, port), DATABASE_URL: proxy.url, ...env }, url)
  started.push(main)
  return { ...main, url, serviceKey: auth.serviceKey }
}
type Server = Awaited<ReturnType<typeof startServer>>

let charges = 0
const charge = async (server: Server, customer: Customer, credits: number) =>
  await askUntilAnswered(server, { action: 'charge', customer, credits, idempotencyKey: `announced-${charges++}` })
const createCustomer = async ({ url }: Server) => await provision(url, auth.jwtSecret, await database.createUser())

describe('a server that receives no notifications', () => {
  it('warns once with the remedy, also after a reconnect, and shows its own charges without waiting for the regular read', async () => {
    proxy.deliversNotifications = false
    const server = await startServer()
    const customer = await createCustomer(server)
    const watching = await watchUsage(server.url, accessToken(auth.jwtSecret, customer.userId))
    const used = () => watching.snapshots.at(-1)?.data.creditsUsed
    await waitUntil(() => used() === 0)
    for (let n = 1; n <= CHARGES; n++) {
      await charge(server, customer, 2)
      await waitUntil(() => used() === 2 * n)
    }
    watching.close()

    await server.wrote(WARNING)
    expect(server.output()).toContain('set DATABASE_DIRECT_URL')
    const broken = /the connection that listens for usage broke/
    await withClient(
      database.urls.superuser,
      async (client) =>
        await client.query(
          "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'keymeter listener'",
        ),
    )
    await server.wrote(broken)
    // Another server is started after the reconnect. When it warns, the first server has tested its new connection too.
    await (await startServer()).wrote(WARNING)
    expect(server.output().match(WARNING)).toHaveLength(1)
  })

  it('does not warn if notifications arrive on the direct connection', async () => {
    proxy.deliversNotifications = false
    const direct = await startServer({ DATABASE_DIRECT_URL: database.urls.api })
    await (await startServer()).wrote(WARNING)
    expect(direct.output()).not.toMatch(WARNING)
  })
})

describe('a server that stops', () => {
  it('first sends the announcements that are still pending', async () => {
    const server = await startServer()
    const [first, second] = [await createCustomer(server), await createCustomer(server)]
    await withClient(database.urls.api, async (client) => {
      const messages: string[] = []
      client.on('notification', ({ payload = '' }) => messages.push(payload))
      await client.query('listen keymeter_usage')

      proxy.holdsAnnouncements = true
      await charge(server, first, 1)
      await waitUntil(() => proxy.held === 1)
      // The announcement of this charge waits for the previous announcement, which has no answer yet.
      await charge(server, second, 1)
      server.child.kill('SIGTERM')
      await waitUntil(
        async () =>
          await fetch(`${server.url}/livez`).then(
            () => false,
            () => true,
          ),
      )
      proxy.holdsAnnouncements = false
      expect(await server.ended).toBe(0)

      const last = randomUUID()
      await client.query("select pg_notify('keymeter_usage', $1)", [last])
      await waitUntil(() => messages.includes(last))
      for (const { userId } of [first, second]) expect(messages.filter((message) => message.includes(userId))).toHaveLength(1)
    })
  })
})
