import { z } from 'zod'
import { type Finding, fault, ok, skipped } from './finding.ts'

const TIMEOUT_MS = 5_000
const Keys = z.object({ keys: z.array(z.unknown()) })

export interface AuthSettings {
  /** SUPABASE_INTERNAL_URL, or SUPABASE_URL if it is not set. */
  url: string | null
  /** SUPABASE_PUBLISHABLE_KEY. */
  publishableKey: string | null
  /** True if SUPABASE_JWT_SECRET is set. If it is not, access tokens are verified with the keys that the project publishes. */
  hasJwtSecret: boolean
}

/** Checks that the auth server answers, and that it publishes keys if they are needed. */
export async function checkAuthServer({ url, publishableKey, hasJwtSecret }: AuthSettings): Promise<Finding> {
  const name = 'auth server'
  if (url === null) return skipped(name, 'SUPABASE_URL is not set here.')
  const headers = publishableKey === null ? {} : { apikey: publishableKey }
  const get = async (path: string) => await fetch(`${url}/auth/v1${path}`, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) })
  try {
    const { status } = await get('/health')
    if (status !== 200)
      return fault(name, `${url}/auth/v1/health answers ${status}.`, 'Correct SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY.')
    if (hasJwtSecret) return ok(name, 'It answers. Access tokens are verified with SUPABASE_JWT_SECRET.')
    const { keys } = Keys.parse(await (await get('/.well-known/jwks.json')).json())
    return keys.length > 0
      ? ok(name, `It answers, and it publishes ${keys.length} keys that verify access tokens.`)
      : fault(name, 'It publishes no keys that verify access tokens.', 'Set SUPABASE_JWT_SECRET, or create signing keys.')
  } catch (error) {
    const reason = error instanceof Error && error.cause instanceof Error ? error.cause.message : 'no valid answer'
    return fault(name, `${url} cannot be used: ${reason}.`, 'Correct SUPABASE_URL, or start the auth server.')
  }
}
