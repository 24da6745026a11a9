import type { OAuthProvider } from '@keymeter/contract'
import { AuthClient, type AuthError, isAuthApiError, isAuthRetryableFetchError, type Session } from '@supabase/auth-js'
import { createStore } from '../ui/store.ts'
import { type LinkType, type MailLink, takeArrival } from './arrival.ts'
import { settings } from './settings.ts'

/** The key of the session in the browser's local storage. */
const STORAGE_KEY = 'keymeter-session'
const OAUTH_STORAGE_KEY = 'keymeter-oauth'
/** The key of the PKCE verifier, which the browser keeps while a person signs in at an OAuth provider. */
const VERIFIER_KEY = `${OAUTH_STORAGE_KEY}-code-verifier`
/** The page to which a person returns after a sign-in at an OAuth provider. It is in the storage of the tab. */
const NEXT_STORAGE_KEY = 'keymeter-next'
/** In a window that another page has opened for a sign-in at an OAuth provider: the id of the person who must sign in there. */
const WINDOW_STORAGE_KEY = 'keymeter-provider-window'

const connection = {
  url: new URL('/auth/v1', settings.supabaseUrl).href,
  // The client replaces `Authorization` by the user's token, and finds only this spelling.
  headers: { apikey: settings.supabasePublishableKey, Authorization: `Bearer ${settings.supabasePublishableKey}` },
  // arrival.ts reads the URL. The client would sign in another person without a question.
  detectSessionInUrl: false,
}

/**
 * Only this folder calls Supabase Auth. The client keeps the session in local storage and refreshes it. The dashboard uses no
 * other part of Supabase, so its bundle does not contain the rest of supabase-js.
 *
 * The client does not use PKCE, because a mail is perhaps opened in a browser that does not have the verifier.
 */
export const auth = new AuthClient({ ...connection, storageKey: STORAGE_KEY })

/**
 * The client for sign-ins at OAuth providers, which use PKCE. It keeps one verifier, and no session. The client would also keep a
 * verifier for each sign-in that was begun, and would not delete it.
 */
const oauth = new AuthClient({
  ...connection,
  storageKey: OAUTH_STORAGE_KEY,
  flowType: 'pkce',
  autoRefreshToken: false,
  storage: {
    getItem: (key) => localStorage.getItem(key),
    setItem: (key, value) => {
      if (key === VERIFIER_KEY) localStorage.setItem(key, value)
    },
    removeItem: (key) => localStorage.removeItem(key),
  },
})

/** Creates a client that stores nothing. A sign-in with it does not change the session of this browser. */
export function temporaryAuth(): typeof auth {
  return new AuthClient({
    ...connection,
    storageKey: `${STORAGE_KEY}-temporary`,
    persistSession: false,
    autoRefreshToken: false,
  })
}

/** The client for links of mails. It keeps its session in memory, until the person has agreed to the sign-in. */
const linkAuth = temporaryAuth()

const arrival = takeArrival(localStorage.getItem(VERIFIER_KEY) !== null)
/** The link of a mail with which the page was opened, or null. It is kept only in memory. */
export const arrivedLink: MailLink | null = arrival.link
/** Why an OAuth provider or Supabase Auth has refused the sign-in and redirected here, as a sentence for the person, or null. */
export let returnRefusal: string | null = null
/**
 * The return from an OAuth provider to a window that another page has opened, or null. `session` is not started yet, because it can
 * belong to another person than `userId`, and can need a second factor. It is null if the sign-in was refused.
 */
export let providerReturn: { userId: string; session: Session | null } | null = null
if (arrival.code !== null || arrival.refusal !== null) {
  const exchange = arrival.code === null ? null : await oauth.exchangeCodeForSession(arrival.code)
  const returned = exchange?.data.session ?? null
  if (returned === null) returnRefusal = describeReturnRefusal(arrival.refusal ?? exchange?.error?.code ?? '')
  const userId = sessionStorage.getItem(WINDOW_STORAGE_KEY)
  const next = sessionStorage.getItem(NEXT_STORAGE_KEY) ?? '/'
  for (const name of [WINDOW_STORAGE_KEY, NEXT_STORAGE_KEY]) sessionStorage.removeItem(name)
  if (userId !== null) {
    providerReturn = { userId, session: returned }
    history.replaceState(null, '', '/provider')
  } else if (returned === null) {
    history.replaceState(null, '', `/sign-in?${new URLSearchParams({ next })}`)
  } else {
    await adopt(returned)
    history.replaceState(null, '', next)
  }
}

const { data: kept, error: fault } = await auth.getSession()
// If Supabase cannot be reached, the session may still be valid. So fail to start, because the sign-in page would be wrong.
if (isAuthRetryableFetchError(fault)) throw fault

const sessionStore = createStore<Session | null>(kept.session)
const endedStore = createStore(false)
const userListeners = new Set<(userId: string | null) => void>()
let isLeaving = false
let hasLeft = false
auth.onAuthStateChange((_, session) => {
  // The session has ended, but the person has not signed out here. The page and its forms stay until somebody signs in.
  if (session === null && sessionStore.get() !== null && !isLeaving) endedStore.set(true)
  else setSession(session)
})

function setSession(session: Session | null): void {
  const previous = sessionStore.get()?.user.id ?? null
  sessionStore.set(session)
  endedStore.set(false)
  if (session !== null) hasLeft = false
  const userId = session?.user.id ?? null
  if (userId !== previous) for (const listener of userListeners) listener(userId)
}

/** Returns the session of the person whose page this is, or null. If `useHasSessionEnded` is true, the session no longer works. */
export const useSession = sessionStore.use
export const currentSession = sessionStore.get
/**
 * Returns true if the session of this page has ended: the server refused its token, it could not be refreshed, or the person has
 * signed out in another tab.
 */
export const useHasSessionEnded = endedStore.use
/** Returns true if the person has signed out on this page. The next person must not continue on the page of this one. */
export const hasSignedOut = () => hasLeft

/** Returns claims of the access token. `level` is `aal2` after a code of a second factor, and otherwise `aal1`. */
export function readAccessToken({ access_token }: Session): { lifetimeSeconds: number; level: unknown; sessionId: unknown } {
  const [, payload = ''] = access_token.split('.')
  const { iat, exp, aal, session_id } = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')))
  return { lifetimeSeconds: exp - iat, level: aal, sessionId: session_id }
}

/** Calls `listener` with the user's id when another user signs in, and with null when the user signs out. */
export function onUserChange(listener: (userId: string | null) => void): void {
  userListeners.add(listener)
}

/** The session has ended, so a call would be refused. The call is not sent. */
export class SessionEndedError extends Error {}

/**
 * Returns a valid access token, or null if nobody is signed in. Refreshes a token that is about to expire.
 *
 * @throws AuthError if the token must be refreshed and Supabase cannot be reached. The caller must not end the session then.
 * @throws SessionEndedError
 */
export async function accessToken(): Promise<string | null> {
  const { data, error } = await auth.getSession()
  if (isAuthRetryableFetchError(error)) throw error
  if (endedStore.get()) throw new SessionEndedError()
  return data.session?.access_token ?? null
}

/** Why Supabase Auth refused a sign-in. `isUnconfirmed` is true if the person must first open the link in a mail. */
export interface SignInRefusal {
  message: string
  isUnconfirmed: boolean
}

/** Signs in. Resolves to null, or to the reason why not. */
export async function signIn(
  email: string,
  password: string,
  options: { captchaToken?: string },
): Promise<SignInRefusal | null> {
  const { error } = await auth.signInWithPassword({ email, password, options })
  return error === null ? null : { message: describeSignInFault(error), isUnconfirmed: error.code === 'email_not_confirmed' }
}

function describeSignInFault(error: AuthError): string {
  if (!isAuthApiError(error)) return UNREACHABLE
  switch (error.code) {
    case 'invalid_credentials':
      return 'Wrong e-mail address or password.'
    case 'email_not_confirmed':
      return 'Confirm your address first: the link is in your e-mail.'
    case 'captcha_failed':
      return 'The captcha is missing, or was not accepted. Solve it again.'
    case 'over_request_rate_limit':
      return 'Too many attempts. Wait a minute, then try again.'
    default:
      return 'Signing in failed. Try again in a moment.'
  }
}
const UNREACHABLE = 'The sign-in server cannot be reached. Check your connection and try again.'

/** Starts the session that `auth.signup` returned. */
export async function adoptSession(session: { accessToken: string; refreshToken: string }): Promise<void> {
  await adopt({ access_token: session.accessToken, refresh_token: session.refreshToken })
}

async function adopt({ access_token, refresh_token }: Pick<Session, 'access_token' | 'refresh_token'>): Promise<void> {
  const { error } = await auth.setSession({ access_token, refresh_token })
  if (error !== null) throw error
}

/** Navigates to an OAuth provider, which redirects back to this origin. The page `next` is shown then. */
export async function signInWithProvider(provider: OAuthProvider, next: string): Promise<true> {
  // The tab is perhaps a window of an earlier sign-in that the person has not finished.
  sessionStorage.removeItem(WINDOW_STORAGE_KEY)
  sessionStorage.setItem(NEXT_STORAGE_KEY, next)
  const { error } = await oauth.signInWithOAuth({ provider, options: { redirectTo: location.origin } })
  if (error !== null) throw error
  return true
}

/**
 * Opens a window in which the person of this page signs in again at an OAuth provider, so that this page keeps its forms. The window
 * returns to the page `/provider`. The client of Supabase Auth then shows the new session to all pages of this browser. Call it in the
 * handler of a press: browsers block other windows. Returns false if the browser has blocked this one.
 */
export async function openProviderWindow(provider: OAuthProvider, userId: string): Promise<boolean> {
  const opened = window.open('', '_blank', 'popup,width=520,height=720')
  if (opened === null) return false
  opened.sessionStorage.setItem(WINDOW_STORAGE_KEY, userId)
  const { data, error } = await oauth.signInWithOAuth({
    provider,
    options: { redirectTo: location.origin, skipBrowserRedirect: true },
  })
  if (error !== null) {
    opened.close()
    throw error
  }
  // Otherwise the site of the provider could lead this page to another one.
  opened.opener = null
  opened.location.replace(data.url)
  return true
}

/** The error codes of Supabase Auth for a sign-in at an OAuth provider. Its own messages are for developers. */
function describeReturnRefusal(code: string): string {
  switch (code) {
    case 'user_banned':
      return 'This account is blocked. Ask the operator.'
    case 'signup_disabled':
      return 'Signing up is disabled: ask the operator for an account.'
    case 'provider_email_needs_verification':
      return 'Your address is not confirmed yet. Open the link in the e-mail that you got, then sign in again.'
    case 'bad_oauth_state':
    case 'bad_code_verifier':
    case 'flow_state_expired':
    case 'flow_state_already_used':
    case 'flow_state_not_found':
      return 'This sign-in took too long, or was already used. Start it again.'
    default:
      return 'Signing in with the provider failed. Try again, or use your e-mail address.'
  }
}

/**
 * What an opened link led to. `session` is not started yet, because it can belong to another person than the one who is signed in.
 * `half` means that the other address of a change must be confirmed too. `used` means that the link has expired or was already
 * used. Supabase Auth does not distinguish the two. `refused` means that the person is blocked, and `failed` that the auth server had a
 * fault after the link had led to it: then the link is perhaps not used up.
 */
export type OpenedLink =
  | { outcome: 'session'; session: Session; type: LinkType }
  | { outcome: 'half' | 'unreachable' | 'limited' | LinkRefusal }

/** Why a link does not work. */
type LinkRefusal = 'used' | 'refused' | 'failed'

/** Opens the link of a mail. The token of the link is used up, unless the outcome is `unreachable` or `limited`. */
export async function openLink(link: MailLink): Promise<OpenedLink> {
  if (link.kind === 'half') return { outcome: 'half' }
  if (link.kind === 'refused') return { outcome: linkRefusalOf(link.errorCode) }
  const { type } = link
  const { data, error } =
    link.kind === 'unused'
      ? await linkAuth.verifyOtp({ token_hash: link.tokenHash, type })
      : await linkAuth.setSession({ access_token: link.accessToken, refresh_token: link.refreshToken })
  if (error === null) return data.session === null ? { outcome: 'half' } : { outcome: 'session', session: data.session, type }
  if (!isAuthApiError(error)) return { outcome: isAuthRetryableFetchError(error) ? 'unreachable' : 'used' }
  if (error.status === 429) return { outcome: 'limited' }
  if (error.status >= 500) return { outcome: 'unreachable' }
  return { outcome: linkRefusalOf(error.code ?? '') }
}

/** `errorCode` is the parameter `error_code` that Supabase Auth adds to a URL. If it is missing, it is the parameter `error`. */
export function linkRefusalOf(errorCode: string): LinkRefusal {
  if (errorCode === 'user_banned') return 'refused'
  return /^(unexpected_failure|request_timeout|server_error|temporarily_unavailable)$/.test(errorCode) ? 'failed' : 'used'
}

/**
 * Signs in the person of an opened link. If another person is signed in, signs that person out first, so that nothing of the
 * previous person remains.
 */
export async function startLinkSession(session: Session): Promise<void> {
  const current = sessionStore.get()
  if (current !== null && current.user.id !== session.user.id) await signOut()
  await adopt(session)
}

/** Ends the session of an opened link that the person does not want. */
export async function dropLinkSession(): Promise<void> {
  await linkAuth.signOut({ scope: 'local' })
}

/** The result of a new password. `isElsewhereSignedIn` is true if the other sessions of the person could not be ended. */
export type PasswordChange = { fault: string } | { isElsewhereSignedIn: boolean }

/** Sets the password of the signed-in person, and ends all other sessions of this person. */
export async function setPassword(password: string): Promise<PasswordChange> {
  const { error } = await auth.updateUser({ password })
  if (error !== null) return { fault: describePasswordFault(error) }
  // Supabase Auth ends the other sessions with the change, but the auth server of `pnpm dev` does not.
  const { error: others } = await auth.signOut({ scope: 'others' })
  return { isElsewhereSignedIn: others !== null }
}

function describePasswordFault(error: AuthError): string {
  if (isAuthRetryableFetchError(error)) return UNREACHABLE
  switch (error.code) {
    case 'same_password':
      return 'This is your present password. Choose another one, or sign in with it.'
    case 'weak_password':
      return 'This password is too weak. Choose a longer one with more kinds of characters.'
    case 'over_request_rate_limit':
      return 'Too many attempts. Wait a minute, then try again.'
    default:
      return 'The password could not be changed. Ask for another link and try again.'
  }
}

/** Ends the session in this browser, even if Supabase cannot be reached, and leaves the pages of the person. */
export async function signOut(): Promise<void> {
  isLeaving = true
  hasLeft = true
  try {
    await auth.signOut({ scope: 'local' })
  } finally {
    isLeaving = false
    if (sessionStore.get() !== null) setSession(null)
  }
}

/**
 * Ends the session after the server has refused its token. Does nothing if the session has another token by now, because it was
 * refreshed or another user has signed in.
 */
export async function endExpiredSession(refusedAuthorization: string | null): Promise<void> {
  const session = sessionStore.get()
  if (session === null || endedStore.get() || refusedAuthorization !== `Bearer ${session.access_token}`) return
  endedStore.set(true)
  await auth.signOut({ scope: 'local' })
}
