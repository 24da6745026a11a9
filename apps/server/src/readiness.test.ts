import { setTimeout as sleep } from 'node:timers/promises'
import { withClient } from '@keymeter/local'
import { testDatabase } from '@keymeter/local/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type PostgresProxy, startPostgresProxy } from '../test/postgres-proxy.ts'
import { createReadiness, type Readiness } from './readiness.ts'

const database = testDatabase()
let proxy: PostgresProxy
const broken: Error[] = []
const opened: Readiness[] = []
beforeAll(async () => {
  proxy = await startPostgresProxy(database.urls.api)
})
afterEach(async () => {
  proxy.resume()
  for (const readiness of opened.splice(0)) await readiness.close()
})
afterAll(() => proxy.close())

function start(url = proxy.url): Readiness {
  const readiness = createReadiness(url, (error) => broken.push(error))
  opened.push(readiness)
  return readiness
}

describe('readiness', () => {
  it('any number of callers cause at most one query per second, on one connection', async () => {
    const { isReady } = start()
    const before = proxy.pings
    const started = performance.now()
    const ask = async (count: number) => await Promise.all(Array.from({ length: count }, isReady))
    expect(await ask(100)).toEqual(Array(100).fill(true))
    expect([proxy.pings - before, proxy.connections]).toEqual([1, 1])
    for (let n = 0; n < 10; n++) expect(await ask(100)).toEqual(Array(100).fill(true))
    // The callers need only a moment. On a busy machine they can need longer, and then the database is asked again.
    const seconds = () => Math.floor((performance.now() - started) / 1000)
    expect(proxy.pings - before).toBeLessThanOrEqual(1 + seconds())
    while (proxy.pings - before < 3) {
      expect(await isReady()).toBe(true)
      expect(proxy.pings - before).toBeLessThanOrEqual(1 + seconds())
      await sleep(5)
    }
    expect(proxy.connections).toBe(1)
  })

  it('a database that is away is not ready, and it is ready again when it is back', async () => {
    const { isReady } = start()
    expect(await isReady()).toBe(true)
    proxy.hang()
    await expect.poll(isReady).toBe(false)
    // While the database hangs, the callers do not open more connections or send more queries.
    const { pings } = proxy
    for (let n = 0; n < 3; n++) expect(await isReady()).toBe(false)
    expect(proxy.pings).toBe(pings)
    expect(proxy.connections).toBeLessThanOrEqual(1)
    proxy.resume()
    await expect.poll(isReady).toBe(true)
  })

  it('a database that refuses connections is not ready, and no error ends the process', async () => {
    const { isReady } = start('postgresql://keymeter_api:x@127.0.0.1:1/postgres')
    expect(await isReady()).toBe(false)
  })

  it('a broken connection is replaced', async () => {
    const { isReady } = start()
    expect(await isReady()).toBe(true)
    // A role can end its own connections.
    await withClient(database.urls.api, async (client) => {
      await client.query(
        'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and usename = current_user and pid <> pg_backend_pid()',
      )
    })
    await expect.poll(() => proxy.connections).toBe(0)
    await expect.poll(async () => [await isReady(), proxy.connections]).toEqual([true, 1])
  })
})
