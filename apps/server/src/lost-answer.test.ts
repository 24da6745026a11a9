import { createHash } from 'node:crypto'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { freePort } from '@keymeter/local'
import { serverEnv, testAuth, testDatabase } from '@keymeter/local/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Main, startReadyMain } from '../test/start-main.ts'

/** The procedures that return a secret. */
const PROCEDURES = ['auth.provision', 'keys.create', 'keys.rotate', 'keys.replaceLostSecret'] as const
/** With `KEYMETER_CHAOS=1`, the server is killed more often. */
const KILLS_EACH = process.env['KEYMETER_CHAOS'] === '1' ? 5 : 1

const database = testDatabase()
const auth = testAuth(database)

/**
 * A proxy between the server and Postgres. If `onCommit` is set, the proxy calls it at the next commit and drops the response
 * of Postgres. The server then does not learn about the commit.
 */
let proxy: Server
let proxyUrl: string
let port: number
let url: string
let onCommit: (() => void) | null = null
/** The number of commits that come before the one at which the proxy calls `onCommit`. */
let commitsBefore = 0
let server: Main | undefined

const start = async () => await startReadyMain({ ...serverEnv(database, auth, port), DATABASE_URL: proxyUrl }, url)

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
      if (commitsBefore > 0) {
        commitsBefore -= 1
        return client.write(data)
      }
      onCommit()
      onCommit = null
      client.destroy()
    })
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  postgres.port = String((proxy.address() as AddressInfo).port)
  proxyUrl = postgres.href
  port = await freePort()
  url = `http://127.0.0.1:${port}`
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

/** Creates a user only at the auth server. The user has no Keymeter account yet, as after a first sign-in with an OAuth provider. */
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

describe('lost secrets', () => {
  it.each(PROCEDURES)('a secret from %s can be replaced if the server dies between commit and response', async (procedure) => {
    for (let kill = 0; kill < KILLS_EACH; kill++) {
      server ??= await start()
      const token = await signIn(`${procedure}-${kill}@example.com`)
      const first = procedure === 'auth.provision' ? null : await call(url, token, 'auth.provision', {})
      const { id, keyPrefix } = first?.data.defaultKey ?? {}
      const input =
        procedure === 'keys.create'
          ? { name: 'lost' }
          : procedure === 'keys.replaceLostSecret'
            ? { id, keyPrefix, idempotencyKey: 'first' }
            : id === undefined
              ? {}
              : { id }

      const { child, ended } = server
      // `auth.provision` first reads the memberships, the invitations and the account, and every other call the membership, in transactions
      // of their own.
      commitsBefore = procedure === 'auth.provision' ? 3 : 1
      onCommit = () => child.kill('SIGKILL')
      await expect(call(url, token, procedure, input)).rejects.toThrow()
      await ended
      expect(onCommit).toBeNull()
      server = await start()

      // The test now does what the dashboard does: it provisions the account, lists the keys, and replaces each secret that was
      // not saved.
      expect((await call(url, token, 'auth.provision', {}))?.data.defaultKey).toBeNull()
      const keys = (await call(url, token, 'keys.list'))?.data.data ?? []
      expect(keys).toHaveLength(procedure === 'keys.create' ? 2 : 1)
      for (const key of keys.filter(({ isSecretSaved }) => !isSecretSaved)) {
        const replaced = await call(url, token, 'keys.replaceLostSecret', {
          id: key.id,
          keyPrefix: key.keyPrefix,
          idempotencyKey: `second-${key.id}`,
        })
        expect(replaced?.data.id).toBe(key.id)
        expect(await isWorking(replaced?.data.secret ?? '')).toBe(true)
      }
      expect(keys[0]?.isSecretSaved).toBe(false)
    }
  })

  it.each(['keys.create', 'keys.rotate', 'keys.replaceLostSecret'] as const)(
    'a repeat of %s returns a working secret and makes no second key, if the server dies between commit and response',
    async (procedure) => {
      server ??= await start()
      const token = await signIn(`repeat-${procedure}@example.com`)
      const { id, keyPrefix, secret } = (await call(url, token, 'auth.provision', {}))?.data.defaultKey ?? {}
      const input = {
        idempotencyKey: 'first',
        ...(procedure === 'keys.create' ? { name: 'lost' } : procedure === 'keys.rotate' ? { id } : { id, keyPrefix }),
      }
      const { child, ended } = server
      commitsBefore = 1
      onCommit = () => child.kill('SIGKILL')
      await expect(call(url, token, procedure, input)).rejects.toThrow()
      await ended
      expect(onCommit).toBeNull()
      server = await start()

      const repeated = (await call(url, token, procedure, input))?.data
      expect(await isWorking(repeated?.secret ?? '')).toBe(true)
      const keys = (await call(url, token, 'keys.list'))?.data.data ?? []
      expect(keys.map((key) => key.id)).toEqual(procedure === 'keys.create' ? [repeated?.id, id] : [id])
      const { rows } = await database.owner.query(
        'select valid_until is null or valid_until > now() as works from api_key_secrets where key_hash = $1',
        [
          createHash('sha256')
            .update(secret ?? '')
            .digest(),
        ],
      )
      // The client knows that it never received the secret that it replaces.
      expect(rows).toEqual([{ works: procedure !== 'keys.replaceLostSecret' }])
    },
  )
})
