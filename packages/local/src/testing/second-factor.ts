import { randomUUID } from 'node:crypto'
import type { Context, Hono } from 'hono'
import { decodeJwt } from 'jose'
import { Secret, TOTP } from 'otpauth'
import type { TokenCompleter } from '../complete-token.ts'
import { withClient } from '../database.ts'

interface Factor {
  id: string
  userId: string
  friendly_name: string
  factor_type: 'totp'
  status: 'unverified' | 'verified'
  created_at: string
  updated_at: string
}

interface Options {
  databaseUrl: string
  completeToken: TokenCompleter
  /** Passes a request on to the embedded auth server. */
  passOn: (c: Context) => Promise<Response>
}

/** A code of the previous or the next 30 seconds is accepted, as by Supabase Auth. */
const WINDOW = 1
const CHALLENGE_SECONDS = 300

/**
 * Adds Supabase Auth's endpoints for a second factor, which the embedded auth server does not have, for tests. The answers are
 * those of the sources of Supabase Auth (internal/api/mfa.go). Factors are kept in memory.
 */
export function addSecondFactor(app: Hono, { databaseUrl, completeToken, passOn }: Options): void {
  const factors = new Map<string, Factor & { totp: TOTP }>()
  const challenges = new Map<string, string>()
  const factorsOf = (userId: unknown) =>
    [...factors.values()].filter((factor) => factor.userId === userId).map(({ totp: _, userId: __, ...factor }) => factor)
  const sql = async <Row extends object>(text: string, values: unknown[]) =>
    (await withClient(databaseUrl, async (client) => await client.query<Row>(text, values))).rows
  const refuse = (c: Context, status: 400 | 401 | 403 | 404 | 422, code: string) => {
    c.header('x-supabase-api-version', '2024-01-01')
    return c.json({ code, message: 'for developers' }, status)
  }
  /** Returns the session of the request and its user, or the refusal of the embedded auth server. */
  const authenticate = async (c: Context) => {
    const url = new URL('/auth/v1/user', c.req.url)
    const { apikey = '', authorization = '' } = c.req.header()
    const answer = await fetch(url, { headers: { apikey, authorization } })
    if (!answer.ok) return null
    const user = (await answer.json()) as { id: string; email: string }
    const [, token = ''] = authorization.split(' ')
    const { session_id } = decodeJwt(token)
    const [session] = await sql<{ aal: string | null }>('select aal from auth.sessions where id = $1', [session_id])
    return { user, token, sessionId: String(session_id), isSecondFactor: session?.aal === 'aal2' }
  }

  app.post('/auth/v1/factors', async (c) => {
    const { friendly_name = '', issuer = 'x' } = await c.req.json()
    const caller = await authenticate(c)
    if (caller === null) return refuse(c, 403, 'session_not_found')
    const own = factorsOf(caller.user.id)
    if (own.some((factor) => factor.friendly_name === friendly_name)) return refuse(c, 422, 'mfa_factor_name_conflict')
    if (own.some(({ status }) => status === 'verified') && !caller.isSecondFactor) return refuse(c, 403, 'insufficient_aal')
    const totp = new TOTP({ issuer, label: caller.user.email, secret: new Secret() })
    const now = new Date().toISOString()
    const factor = { id: randomUUID(), friendly_name, factor_type: 'totp', status: 'unverified' } as const
    factors.set(factor.id, { ...factor, userId: caller.user.id, created_at: now, updated_at: now, totp })
    // The real image has styles in its elements, too.
    const qr_code =
      '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><rect width="20" height="20" style="fill:#000;stroke:none"/></svg>'
    return c.json({
      id: factor.id,
      type: 'totp',
      friendly_name,
      totp: { qr_code, secret: totp.secret.base32, uri: totp.toString() },
    })
  })

  app.post('/auth/v1/factors/:id/challenge', async (c) => {
    const caller = await authenticate(c)
    const factor = factors.get(c.req.param('id'))
    if (caller === null) return refuse(c, 403, 'session_not_found')
    if (factor?.userId !== caller.user.id) return refuse(c, 404, 'mfa_factor_not_found')
    const id = randomUUID()
    challenges.set(id, factor.id)
    return c.json({ id, type: 'totp', expires_at: Math.floor(Date.now() / 1000) + CHALLENGE_SECONDS })
  })

  app.post('/auth/v1/factors/:id/verify', async (c) => {
    const { challenge_id, code = '' } = await c.req.json()
    const caller = await authenticate(c)
    const factor = factors.get(c.req.param('id'))
    if (caller === null) return refuse(c, 403, 'session_not_found')
    if (factor?.userId !== caller.user.id) return refuse(c, 404, 'mfa_factor_not_found')
    if (challenges.get(challenge_id) !== factor.id) return refuse(c, 422, 'mfa_factor_not_found')
    if (code === '') return refuse(c, 400, 'validation_failed')
    if (factor.totp.validate({ token: code, window: WINDOW }) === null) return refuse(c, 422, 'mfa_verification_failed')
    challenges.delete(challenge_id)
    factor.status = 'verified'
    for (const other of factorsOf(caller.user.id)) if (other.status === 'unverified') factors.delete(other.id)
    await sql("update auth.sessions set aal = 'aal2', factor_id = $2 where id = $1", [caller.sessionId, factor.id])
    await sql("delete from auth.sessions where user_id = $1 and aal is distinct from 'aal2'", [caller.user.id])
    const [refresh] = await sql<{ token: string }>(
      'select token from auth.refresh_tokens where session_id = $1 and not revoked order by created_at desc limit 1',
      [caller.sessionId],
    )
    const access_token = await completeToken(caller.token)
    const { exp = 0, iat = 0 } = decodeJwt(access_token)
    const user = { ...caller.user, factors: factorsOf(caller.user.id) }
    return c.json({
      access_token,
      token_type: 'bearer',
      expires_in: exp - iat,
      expires_at: exp,
      refresh_token: refresh?.token,
      user,
    })
  })

  app.delete('/auth/v1/factors/:id', async (c) => {
    const caller = await authenticate(c)
    const factor = factors.get(c.req.param('id'))
    if (caller === null) return refuse(c, 403, 'session_not_found')
    if (factor?.userId !== caller.user.id) return refuse(c, 404, 'mfa_factor_not_found')
    if (factor.status === 'verified' && !caller.isSecondFactor) return refuse(c, 422, 'insufficient_aal')
    factors.delete(factor.id)
    await sql("update auth.sessions set aal = 'aal1', factor_id = null where factor_id = $1", [factor.id])
    return c.json({ id: factor.id })
  })

  app.all('/auth/v1/:path{user|token|signup|verify}', async (c) => {
    const { method } = c.req
    if (method === 'PUT') {
      const caller = await authenticate(c)
      const hasFactor = factorsOf(caller?.user.id).some(({ status }) => status === 'verified')
      if (caller !== null && hasFactor && !caller.isSecondFactor) return refuse(c, 401, 'insufficient_aal')
    }
    const response = await passOn(c)
    if (!response.ok || !response.headers.get('content-type')?.startsWith('application/json')) return response
    const body = (await response.json()) as { id?: string; user?: { id: string } }
    const user = body.user ?? body
    Object.assign(user, { factors: factorsOf(user.id) })
    const headers = new Headers(response.headers)
    headers.delete('content-length')
    return new Response(JSON.stringify(body), { status: response.status, headers })
  })
}
