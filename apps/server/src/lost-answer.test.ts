import { createHash } from 'node:crypto'
import { connect, createServer, type Server } from 'node:net'
import { freePort } from '@keymeter/local'
import { serverEnv, testAuth, testDatabase } from '@keymeter/local/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startReadyMain } from '../test/start-main.ts'

const KILLS = 20

const database = testDatabase()
const auth = testAuth(database)

/** Between the server and Postgres: once armed, the next commit is Postgres' alone. The server never hears of it. */
let proxy: Server
let proxyUrl: string
let onCommit: (() => void) | null = null
let server: Awaited<ReturnType<typeof startReadyMain>> | undefined

beforeAll(async () => {
  const postgres = new URL(database.urls.api)
  const [postgresPort, postgresHost] = [Number(postgres.port), postgres.hostname]
  proxy = createServer((client) => {
    const upstream = connect(postgresPort, postgresHost)
    client.on('error', () => {}).on('close', () => upstream.destroy())
    upstream.on('error', () => {}).on('close', () => client.destroy())
    client.pipe(upstream)
    upstream.on('data', (data) => {
      if (onCommit === null || !data.includes('COMMIT\0')) return client.write(data)
      onCommit()
      onCommit = null
      client.destroy()
    })
  })
  const port = await freePort()
  await new Promise<void>((resolve) => proxy.listen(port, '127.0.0.1', resolve))
  postgres.port = String(port)
  proxyUrl = postgres.href
})
afterAll(() => {
  server?.child.kill('SIGKILL')
  proxy.close()
})

interface Answer {
  result?: {
    data: { id: string; secret: string; defaultKey: { id: string; secret: string; keyPrefix: string } | null; data: KeyRow[] }
  }
}
interface KeyRow {
  id: string
  keyPrefix: string
  isSecretSaved: boolean
  status: string
}

async function call(url: string, token: string, procedure: string, input?: unknown): Promise<Answer['result']> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const response =
    input === undefined
      ? fetch(`${url}/trpc/${procedure}`, { headers })
      : fetch(`${url}/trpc/${procedure}`, { method: 'POST', headers, body: JSON.stringify(input) })
  const answer = (await (await response).json()) as Answer
  if (answer.result === undefined) throw new Error(JSON.stringify(answer))
  return answer.result
}

/** A person known to the auth server alone, as after Google. */
async function signIn(email: string): Promise<string> {
  const response = await fetch(`${auth.supabaseUrl}/auth/v1/signup`, {
    method: 'POST',
    headers: { apikey: auth.publishableKey, 'content-type': 'application/json' },
    body: JSON.stringify({ email, password: 'a long password' }),
  })
  return ((await response.json()) as { access_token: string }).access_token
}

async function isWorking(secret: string): Promise<boolean> {
  const { rows } = await database.owner.query(
    'select 1 from api_key_secrets join api_keys on id = api_key_id where api_key_secrets.key_hash = $1 and valid_until is null and revoked_at is null',
    [createHash('sha256').update(secret).digest()],
  )
  return rows.length === 1
}

describe('a secret whose answer never arrived', () => {
  it(`leaves nobody without a working one: the server is killed between commit and answer, ${KILLS} times`, async () => {
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const start = async () => await startReadyMain({ ...serverEnv(database, auth, port), DATABASE_URL: proxyUrl }, url)
    server = await start()
    for (let kill = 0; kill < KILLS; kill++) {
      const token = await signIn(`lost-${kill}@example.com`)
      const calls = ['auth.provision', 'keys.create', 'keys.rotate', 'keys.replaceLostSecret']
      const procedure = calls[kill % calls.length] ?? ''
      const first = procedure === 'auth.provision' ? null : await call(url, token, 'auth.provision', {})
      const { id, keyPrefix } = first?.data.defaultKey ?? {}
      const input =
        procedure === 'keys.create'
          ? { name: 'lost' }
          : procedure === 'keys.replaceLostSecret'
            ? { id, keyPrefix }
            : id === undefined
              ? {}
              : { id }

      const { child, ended }: NonNullable<typeof server> = server
      onCommit = () => child.kill('SIGKILL')
      await expect(call(url, token, procedure, input)).rejects.toThrow()
      await ended
      expect(onCommit).toBeNull()
      server = await start()

      // What the dashboard does: provision on load, list, offer a new secret where one was not saved.
      expect((await call(url, token, 'auth.provision', {}))?.data.defaultKey).toBeNull()
      const keys = (await call(url, token, 'keys.list'))?.data.data ?? []
      expect(keys).toHaveLength(procedure === 'keys.create' ? 2 : 1)
      for (const key of keys.filter(({ isSecretSaved }) => !isSecretSaved)) {
        const replaced = await call(url, token, 'keys.replaceLostSecret', { id: key.id, keyPrefix: key.keyPrefix })
        expect(replaced?.data.id).toBe(key.id)
        expect(await isWorking(replaced?.data.secret ?? '')).toBe(true)
      }
      expect(keys[0]?.isSecretSaved).toBe(false)
    }
  }, 300_000)
})
