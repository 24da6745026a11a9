import { randomUUID } from 'node:crypto'
import { apiKey } from '@better-auth/api-key'
import { betterAuth } from 'better-auth'
import { getMigrations } from 'better-auth/db/migration'
import pg from 'pg'
import { closedLoop } from './measure.ts'

const POOL_CONNECTIONS_MAX = 10
/** The credits of each key. No measurement spends them all. */
const REMAINING = 1_000_000_000

/**
 * The library better-auth with its plugin for API keys. Keymeter is compared with this library. Each call of `verifyApiKey`
 * takes one credit from the column `remaining` of the key.
 */
export interface BetterAuth {
  /** Verifies one key after another, with `callers` concurrent callers. */
  verify(callers: number, seconds: number, keys: readonly string[]): Promise<{ perSecond: number; p50Ms: number }>
  keys: string[]
  /** @throws Error if the number of credits that all keys lost differs from the number of calls. */
  assertNothingLost(): Promise<void>
  close(): Promise<void>
}

export async function createBetterAuth(url: string, keyCount: number): Promise<BetterAuth> {
  const pool = new pg.Pool({ connectionString: url, max: POOL_CONNECTIONS_MAX })
  // `drop database … with (force)` can end a connection while the pool closes it. The connection then emits an error event.
  // These handlers ignore the event, because an error event without a handler would end the process.
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  const options = {
    database: pool,
    secret: randomUUID(),
    baseURL: 'http://127.0.0.1:3000',
    telemetry: { enabled: false },
    plugins: [apiKey({ rateLimit: { enabled: false } })],
  }
  await (await getMigrations(options)).runMigrations()
  const auth = betterAuth(options)
  const { adapter } = await auth.$context
  const now = new Date()
  const keys: string[] = []
  for (let n = 0; n < keyCount; n++) {
    const data = { email: `${n}@example.com`, name: `user ${n}`, emailVerified: true, createdAt: now, updatedAt: now }
    const user: { id: string } = await adapter.create({ model: 'user', data })
    const { key } = await auth.api.createApiKey({ body: { userId: user.id, name: 'default', remaining: REMAINING } })
    keys.push(key)
  }
  await pool.query('vacuum analyze')

  let calls = 0
  return {
    keys,
    verify: async (callers, seconds, keys) =>
      await closedLoop(callers, seconds, async () => {
        const { valid } = await auth.api.verifyApiKey({ body: { key: keys[calls++ % keys.length] ?? '' } })
        if (!valid) throw new Error('a key was refused')
      }),
    assertNothingLost: async () => {
      const { rows } = await pool.query<{ taken: string }>(`select sum(${REMAINING} - remaining) as taken from apikey`)
      if (Number(rows[0]?.taken) !== calls) throw new Error(`better-auth took ${rows[0]?.taken} credits in ${calls} calls`)
    },
    close: async () => await pool.end(),
  }
}
