import { createClient, isAuthApiError, isAuthRetryableFetchError, type Session } from '@supabase/supabase-js'
import { createStore } from '../ui/store.ts'
import { settings } from './settings.ts'

/** The only file that talks to Supabase from the browser: signing in and out, and keeping the session. */
const supabase = createClient(settings.supabaseUrl, settings.supabasePublishableKey, { auth: { flowType: 'pkce' } })

const { data: kept, error: fault } = await supabase.auth.getSession()
// A session that cannot be refreshed at the moment is not over: better no page than the one for signing in.
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

/** True when Google, or Supabase on the way back from it, refused: it says so in the address. Read once, before it is gone. */
export const hasReturnedRefused = /[?&#]error(_code|_description)?=/.test(location.search + location.hash)

/** Who is signed in, or null. */
export const useSession = sessionStore.use
export const currentSession = sessionStore.get
/** True after a session was ended because the server no longer accepted it. */
export const useSessionExpired = expiredStore.use

/** Calls `listener` when someone else, or nobody, is signed in from now on. */
export function onUserChange(listener: (userId: string | null) => void): void {
  userListeners.add(listener)
}

/**
 * A token that is good now; refreshed when it is about to expire.
 *
 * @throws AuthError when Supabase cannot be reached to refresh it: that is no reason to end the session.
 */
export async function accessToken(): Promise<string | null> {
  const { data, error } = await supabase.auth.getSession()
  if (isAuthRetryableFetchError(error)) throw error
  return data.session?.access_token ?? null
}

/** Resolves to what went wrong, as a person should read it, or null. */
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

/** Takes over the session that `auth.signup` answered. */
export async function adoptSession(session: { accessToken: string; refreshToken: string }): Promise<void> {
  const { error } = await supabase.auth.setSession({ access_token: session.accessToken, refresh_token: session.refreshToken })
  if (error !== null) throw error
}

/** Leaves for Google, and comes back to this origin. */
export async function signInWithGoogle(): Promise<void> {
  const { error } = await supabase.auth.signInWithOAuth({ provider: 'google', options: { redirectTo: location.origin } })
  if (error !== null) throw error
}

/** Ends the session here, whether or not Supabase can be reached to end it there. */
export async function signOut(): Promise<void> {
  await supabase.auth.signOut({ scope: 'local' })
}

/** Ends the session whose token was refused. It may have been refreshed since, or be someone else's by now. */
export async function endExpiredSession(refusedAuthorization: string | null): Promise<void> {
  const session = sessionStore.get()
  if (session === null || refusedAuthorization !== `Bearer ${session.access_token}`) return
  expiredStore.set(true)
  await signOut()
}
