import { createClient, isAuthApiError, isAuthRetryableFetchError, type Session } from '@supabase/supabase-js'
import { createStore } from '../ui/store.ts'
import { settings } from './settings.ts'

/** Only this file calls Supabase Auth. It keeps the session in local storage and refreshes it. */
const supabase = createClient(settings.supabaseUrl, settings.supabasePublishableKey, { auth: { flowType: 'pkce' } })

const { data: kept, error: fault } = await supabase.auth.getSession()
// A session that cannot be refreshed right now is still valid: fail to start instead of showing the sign-in page.
if (isAuthRetryableFetchError(fault)) throw fault
const sessionStore = createStore<Session | null>(kept.session)
const expiredStore = createStore(false)
const userListeners = new Set<(userId: string | null) => void>()
supabase.auth.onAuthStateChange((_, session) => {
  const previous = sessionStore.get()?.user.id ?? null
  sessionStore.set(session)
  if (session !== null) expiredStore.set(false)
  const userId = session?.user.id ?? null
  if (userId !== previous) for (const listener of userListeners) listener(userId)
})

/** True if Google or Supabase refused the sign-in and redirected here with an error. Read before the router changes the URL. */
export const hasReturnedRefused = /[?&#]error(_code|_description)?=/.test(location.search + location.hash)

/** The session of the user who is signed in, or null. */
export const useSession = sessionStore.use
export const currentSession = sessionStore.get
/** True after the session was ended because the server refused its token. */
export const useSessionExpired = expiredStore.use

/** Calls `listener` when another user signs in, or with null when the user signs out. */
export function onUserChange(listener: (userId: string | null) => void): void {
  userListeners.add(listener)
}

/**
 * A valid access token, refreshed if it is about to expire. Null if nobody is signed in.
 *
 * @throws AuthError if Supabase cannot be reached to refresh it. That must not end the session.
 */
export async function accessToken(): Promise<string | null> {
  const { data, error } = await supabase.auth.getSession()
  if (isAuthRetryableFetchError(error)) throw error
  return data.session?.access_token ?? null
}

/** Resolves to null, or to a message that says what went wrong. */
export async function signIn(email: string, password: string): Promise<string | null> {
  const { error } = await supabase.auth.signInWithPassword({ email, password })
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
  const { error } = await supabase.auth.setSession({ access_token: session.accessToken, refresh_token: session.refreshToken })
  if (error !== null) throw error
}

/** Leaves the page for Google, which redirects back to this origin. */
export async function signInWithGoogle(): Promise<void> {
  const { error } = await supabase.auth.signInWithOAuth({ provider: 'google', options: { redirectTo: location.origin } })
  if (error !== null) throw error
}

/** Ends the session in this browser, even if Supabase cannot be reached. */
export async function signOut(): Promise<void> {
  await supabase.auth.signOut({ scope: 'local' })
}

/** Ends the session if its current token is the refused one. It may have a newer token by now, or belong to another user. */
export async function endExpiredSession(refusedAuthorization: string | null): Promise<void> {
  const session = sessionStore.get()
  if (session === null || refusedAuthorization !== `Bearer ${session.access_token}`) return
  expiredStore.set(true)
  await signOut()
}
