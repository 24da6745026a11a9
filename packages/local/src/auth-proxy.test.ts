import { networkInterfaces } from 'node:os'
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
