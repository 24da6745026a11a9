import { randomUUID } from 'node:crypto'
import { networkInterfaces } from 'node:os'
import { decodeJwt, jwtVerify } from 'jose'
import { describe, expect, it } from 'vitest'
import { testAuth, testDatabase } from './testing/index.ts'

const database = testDatabase()
const auth = testAuth(database)
const origin = 'http://127.0.0.1:3000'

describe('embedded auth server', () => {
  it('the embedded auth server lets a page of another origin sign in', async () => {
    const preflight = await fetch(`${auth.supabaseUrl}/auth/v1/token?grant_type=password`, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'apikey,authorization,content-type',
      },
    })
    expect(preflight.ok).toBe(true)
    expect(preflight.headers.get('access-control-allow-headers')).toMatch(/apikey.*authorization/)
    const answer = await fetch(`${auth.supabaseUrl}/auth/v1/settings`, { headers: { origin, apikey: auth.publishableKey } })
    expect(answer.headers.get('access-control-allow-origin')).toBe('*')
  })

  it('the embedded auth server does not serve Supabase’s REST API, with or without the publishable key', async () => {
    for (const headers of [{}, { apikey: auth.publishableKey }]) {
      for (const path of [
        '/rest/v1/',
        '/rest/v1/api_keys',
        '/auth/v1/../../rest/v1/api_keys',
        '/auth/v1/%2e%2e/%2e%2e/rest/v1/api_keys',
      ]) {
        expect((await fetch(auth.supabaseUrl + path, { headers })).status).toBe(404)
      }
    }
  })

  it('an access token contains when its user signed in, and a refresh does not change this time', async () => {
    const call = async (path: string, body: object) => {
      const headers = { apikey: auth.publishableKey, 'content-type': 'application/json' }
      const response = await fetch(`${auth.supabaseUrl}/auth/v1/${path}`, {
        method: 'POST',
        headers,
        body: JSON.stringify(body),
      })
      return (await response.json()) as { access_token: string; refresh_token: string; user: { id: string } }
    }
    const { user, ...session } = await call('signup', { email: `${randomUUID()}@example.com`, password: 'a long password' })
    const { iat = 0, session_id } = decodeJwt(session.access_token)
    const signedInAt = iat - 7_200
    await database.owner.query('update auth.sessions set created_at = to_timestamp($1) where id = $2', [signedInAt, session_id])
    const refreshed = await call('token?grant_type=refresh_token', { refresh_token: session.refresh_token })
    const { payload } = await jwtVerify(refreshed.access_token, new TextEncoder().encode(auth.jwtSecret))
    expect(payload).toMatchObject({ sub: user.id, session_id, aal: 'aal1' })
    expect(payload['amr']).toEqual([{ method: 'password', timestamp: signedInAt }])
    const headers = { apikey: auth.publishableKey, authorization: `Bearer ${refreshed.access_token}` }
    const asked = await fetch(`${auth.supabaseUrl}/auth/v1/user`, { headers })
    expect(await asked.json()).toMatchObject({ id: user.id })
  })

  it('the embedded auth server has no rights on our tables', async () => {
    const { rows } = await database.owner.query(`
      select table_name, grantee from information_schema.table_privileges
       where table_schema = 'public' and grantee not in ('postgres', 'keymeter_api')`)
    expect(rows).toEqual([])
    const { rows: rights } = await database.owner.query(
      "select has_table_privilege('supabase_auth_admin', 'public.api_keys', 'select') as may",
    )
    expect(rights).toEqual([{ may: false }])
  })

  it('the embedded auth server listens only on the loopback address', async ({ skip }) => {
    const address = Object.values(networkInterfaces())
      .flat()
      .find((candidate) => candidate?.family === 'IPv4' && !candidate.internal)?.address
    if (address === undefined) return skip('this machine has no other address')
    await expect(fetch(auth.supabaseUrl.replace('127.0.0.1', address))).rejects.toMatchObject({
      cause: { code: 'ECONNREFUSED' },
    })
  })
})
