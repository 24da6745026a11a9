import type { GoTrueClient } from '@supabase/auth-js'
import type { Context } from '../context.ts'
import { createAuthClient } from './auth-client.ts'

const SUPABASE_TIMEOUT_MS = 10_000

/**
 * Creates a client of Supabase Auth for one request of a caller who is not signed in. It sends the caller's address, so that
 * Supabase applies its rate limits to the caller instead of this server. Supabase uses the address only if "IP address forwarding"
 * is on in the settings of the project and the request has a secret key of the project.
 *
 * The client does not use PKCE. The link in a mail would otherwise work only in the browser that keeps the verifier, and people open
 * mails on other devices.
 */
export function createCallersAuthClient({ supabase, clientAddress }: Context): GoTrueClient {
  return createAuthClient({
    url: supabase.url,
    apiKey: supabase.secretKey ?? supabase.publishableKey,
    headers: clientAddress === null ? {} : { 'sb-forwarded-for': clientAddress },
    timeoutMs: SUPABASE_TIMEOUT_MS,
  })
}
