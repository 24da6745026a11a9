import { GoTrueClient } from '@supabase/auth-js'

/**
 * Creates a client of Supabase Auth that stores no session. supabase-js would also install clients of Supabase's storage, real time
 * and data, which the server never uses.
 *
 * @param options.url The URL of the Supabase project, without `/auth/v1`.
 * @param options.apiKey The publishable key or a secret key of the project.
 * @param options.timeoutMs A request that takes longer fails with a retryable error with the status 504. A request that did not
 *   reach the server has the status 0.
 */
export function createAuthClient({
  url,
  apiKey,
  headers = {},
  timeoutMs,
}: {
  url: string
  apiKey: string
  headers?: Record<string, string>
  timeoutMs: number
}): GoTrueClient {
  return new GoTrueClient({
    url: `${url.replace(/\/$/, '')}/auth/v1`,
    // For requests of a user, the client replaces `Authorization` by the token of the user, and finds only this spelling.
    headers: { ...headers, apikey: apiKey, Authorization: `Bearer ${apiKey}` },
    persistSession: false,
    autoRefreshToken: false,
    detectSessionInUrl: false,
    fetch: async (input, init) => {
      const signal = AbortSignal.timeout(timeoutMs)
      try {
        return await fetch(input, { ...init, signal })
      } catch (error) {
        if (signal.aborted) return new Response(null, { status: 504 })
        throw error
      }
    },
  })
}
