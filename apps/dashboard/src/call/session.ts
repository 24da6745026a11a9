import { AuthClient, isAuthApiError, isAuthRetryableFetchError, type Session } from '@supabase/auth-js'
import { createStore } from '../ui/store.ts'
import { settings } from './settings.ts'

/** The key of the session in the browser's local storage. */
const STORAGE_KEY = 'keymeter-session'

const AUTH_SERVER = {
  url: new URL('/auth/v1', settings.supabaseUrl).href,
  // A client replaces `Authorization` by the user's token, and finds only this spelling.
  headers: { apikey: settings.supabasePublishableKey, Authorization: `Bearer ${settings.supabasePublishableKey}` },
}

/**
 * Only this file, credentials.ts and second-factor.ts call Supabase Auth. The client keeps the session in local storage and refreshes it. The dashboard uses no
 * other part of Supabase, so its bundle does not contain the rest of supabase-js.
 */
export const auth = new AuthClient({
  ...AUTH_SERVER,
  storageKey: STORAGE_KEY,
  flowType: 'pkce',
})

/** Creates a client that stores nothing. A sign-in with it does not change the session of this browser. */
export function temporaryAuth(): AuthClient {
  return new AuthClient({
    ...AUTH_SERVER,
    storageKey: `${STORAGE_KEY}-temporary`,
    persistSession: false,
    autoRefreshToken: false,
    detectSessionInUrl: false,
  })
}

const { data: kept, error: fault } = await auth.getSession()
// If Supabase cannot be reached, the session may still be valid. So fail to start, because the sign-in page would be wrong.
if (isAuthRetryableFetchError(fault)) throw fault
const sessionStore = createStore<Session | null>(kept.session)
const expiredStore = createStore(false)
const userListeners = new Set<(userId: string | null) => void>()
auth.onAuthStateChange((_, session) => {
  const previous = sessionStore.get()?.user.id ?? null
  sessionStore.set(session)
  if (session !== null) expiredStore.set(false)
  const userId = session?.user.id ?? null
  if (userId !== previous) for (const listener of userListeners) listener(userId)
})

/**
 * True if Google or Supabase refused the sign-in and redirected here with an error. The value is computed before the router
 * changes the URL.
 */
export const hasReturnedRefused = /[?&#]error(_code|_description)?=/.test(location.search + location.hash)

/** Returns the session of the signed-in user, or null. */
export const useSession = sessionStore.use
export const currentSession = sessionStore.get
/** Returns true if the session has ended because the server refused its token. */
export const useSessionExpired = expiredStore.use

/** Returns what an access token contains: its lifetime, and the level of the session (`aal2` after a code of a second factor). */
export function readAccessToken({ access_token }: Session): { lifetimeSeconds: number; level: unknown } {
  const [, payload = ''] = access_token.split('.')
  const { iat, exp, aal } = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')))
  return { lifetimeSeconds: exp - iat, level: aal }
}

/** Calls `listener` with the user's id when another user signs in, and with null when the user signs out. */
export function onUserChange(listener: (userId: string | null) => void): void {
  userListeners.add(listener)
}

/**
 * Returns a valid access token, or null if nobody is signed in. Refreshes a token that is about to expire.
 *
 * @throws AuthError if the token must be refreshed and Supabase cannot be reached. The caller must not end the session then.
 */
export async function accessToken(): Promise<string | null> {
  const { data, error } = await auth.getSession()
  if (isAuthRetryableFetchError(error)) throw error
  return data.session?.access_token ?? null
}

/** Signs in. Resolves to null, or to an error message for the user. */
export async function signIn(email: string, password: string): Promise<string | null> {
  const { error } = await auth.signInWithPassword({ email, password })
  if (error === null) return null
  if (!isAuthApiError(error)) return 'The sign-in server cannot be reached. Check your connection and try again.'
  switch (error.code) {
    case 'invalid_credentials':
      return 'Wrong e-mail address or password.'
    case 'email_not_confirmed':
      return 'Confirm your address first: the link is in your e-mail.'
    case 'over_request_rate_limit':
      return 'Too many attempts. Wait a minute, then try again.'
    default:
      return 'Signing in failed. Try again in a moment.'
  }
}

/** Starts the session that `auth.signup` returned. */
export async function adoptSession(session: { accessToken: string; refreshToken: string }): Promise<void> {
  const { error } = await auth.setSession({ access_token: session.accessToken, refresh_token: session.refreshToken })
  if (error !== null) throw error
}

/** Navigates to Google, which redirects back to this origin. */
export async function signInWithGoogle(): Promise<void> {
  const { error } = await auth.signInWithOAuth({ provider: 'google', options: { redirectTo: location.origin } })
  if (error !== null) throw error
}

/** Ends the session in this browser, even if Supabase cannot be reached. */
export async function signOut(): Promise<void> {
  await auth.signOut({ scope: 'local' })
}

/**
 * Ends the session after the server has refused its token. Does nothing if the session has another token by now, because it was
 * refreshed or another user has signed in.
 */
export async function endExpiredSession(refusedAuthorization: string | null): Promise<void> {
  const session = sessionStore.get()
  if (session === null || refusedAuthorization !== `Bearer ${session.access_token}`) return
  expiredStore.set(true)
  await signOut()
}
