import type { OAuthProvider } from '@keymeter/contract'
import {
  type AuthError,
  isAuthApiError,
  isAuthRetryableFetchError,
  isAuthWeakPasswordError,
  type User,
} from '@supabase/auth-js'
import { auth, currentSession, temporaryAuth } from './session.ts'
import { settings } from './settings.ts'

/** What Supabase Auth knows about the signed-in user now. The session contains an older copy. */
export async function currentUser(): Promise<User> {
  const { data, error } = await auth.getUser()
  if (error !== null) throw error
  return data.user
}

/**
 * Returns false if the user has only signed in with OAuth providers. Somebody who has always signed in with a code in an e-mail counts
 * as a user with a password, because Supabase Auth does not tell the two apart. So does a user whose identities are not known.
 */
export function hasPassword({ identities }: Pick<User, 'identities'>): boolean {
  return identities === undefined || identities.some(({ provider }) => provider === 'email')
}

/** Returns the OAuth providers of this deployment with which the user has signed in, or all if this is not known. */
export function providersOf({ identities }: Pick<User, 'identities'>): OAuthProvider[] {
  return settings.oauthProviders.filter((name) => identities?.some(({ provider }) => provider === name) ?? true)
}

/** `needsCode` means that Supabase Auth has sent a code to the user's address, and wants it together with the same passwords. */
type PasswordChange = { outcome: 'changed' | 'needsCode' } | { outcome: 'refused'; fault: string }

/**
 * Changes the password of the signed-in user. Supabase Auth then ends all other sessions of the user.
 *
 * The current password is always verified, because a Supabase project does not ask for it by default. Otherwise anybody at an
 * unlocked computer could change the password.
 */
export async function changePassword(
  { current, next, code }: { current: string; next: string; code: string },
  captcha: { captchaToken?: string },
): Promise<PasswordChange> {
  const wrong = await refuseWrongPassword(current, captcha)
  if (wrong !== null) return { outcome: 'refused', fault: wrong }
  const nonce = code.trim()
  const { error } = await auth.updateUser({ password: next, current_password: current, ...(nonce !== '' && { nonce }) })
  if (error === null) return { outcome: 'changed' }
  if (error.code !== 'reauthentication_needed') return { outcome: 'refused', fault: describeAuthError(error) }
  const { error: notSent } = await auth.reauthenticate()
  return notSent === null ? { outcome: 'needsCode' } : { outcome: 'refused', fault: describeAuthError(notSent) }
}

/** Returns null if this is the password of the signed-in user, or an error message. The session of this browser stays. */
async function refuseWrongPassword(password: string, captcha: { captchaToken?: string }): Promise<string | null> {
  const email = currentSession()?.user.email
  if (email === undefined) return NOT_SIGNED_IN
  const client = temporaryAuth()
  const { error } = await client.signInWithPassword({ email, password, options: captcha })
  if (error !== null) return error.code === 'invalid_credentials' ? WRONG_PASSWORD : describeAuthError(error)
  await client.signOut({ scope: 'local' })
  return null
}

/**
 * Asks Supabase Auth to change the address of the signed-in user. Usually the address changes only after the user has opened a
 * link. Resolves to null, or to an error message for the user.
 */
export async function changeAddress(email: string): Promise<string | null> {
  const session = currentSession()
  if (session === null) return NOT_SIGNED_IN
  // The session's own client would bind the link to this browser (PKCE), but people also read e-mails on other devices.
  const client = temporaryAuth()
  await client.setSession(session)
  const { error } = await client.updateUser({ email }, { emailRedirectTo: `${location.origin}/settings` })
  if (error !== null) return describeAuthError(error)
  await auth.refreshSession()
  return null
}

/** Ends all sessions of the user, also that of this browser. Resolves to null, or to an error message for the user. */
export async function signOutEverywhere(): Promise<string | null> {
  const { error } = await auth.signOut({ scope: 'global' })
  return error && describeAuthError(error)
}

const NOT_SIGNED_IN = 'You are not signed in any more. Sign in again.'
const WRONG_PASSWORD = 'This is not your current password.'
const WRONG_CODE = 'This code is wrong or has expired. Enter the newest code.'
const TOO_MANY_ATTEMPTS = 'Too many attempts. Wait a minute, then try again.'

/** Sentences for the error codes of Supabase Auth. Its own messages are for developers. */
const REFUSALS: Record<string, string> = {
  invalid_credentials: WRONG_PASSWORD,
  current_password_required: WRONG_PASSWORD,
  current_password_mismatch: WRONG_PASSWORD,
  same_password: 'This is your current password. Choose another one.',
  reauthentication_not_valid: WRONG_CODE,
  otp_expired: WRONG_CODE,
  mfa_verification_failed: WRONG_CODE,
  mfa_challenge_expired: WRONG_CODE,
  mfa_factor_name_conflict: 'You already have an app with this name. Choose another name.',
  too_many_enrolled_mfa_factors: 'You have too many apps. Remove one first.',
  mfa_totp_enroll_not_enabled: 'This service does not offer a second factor. Ask its operator.',
  mfa_totp_verify_not_enabled: 'This service does not offer a second factor. Ask its operator.',
  insufficient_aal: 'This needs your second factor. Sign out, and sign in again with a code of your app.',
  // A sentence that names the cause would reveal whether somebody else has this address.
  email_exists: 'This address cannot be used. Use another one.',
  email_address_invalid: 'This address cannot be used. Use another one.',
  email_address_not_authorized: 'This address cannot be used. Use another one.',
  over_request_rate_limit: TOO_MANY_ATTEMPTS,
  over_email_send_rate_limit: 'Too many e-mails were sent. Wait a few minutes, then try again.',
}

/** Returns a sentence for the user about an error of Supabase Auth. */
export function describeAuthError(error: AuthError): string {
  if (isAuthRetryableFetchError(error)) return 'The sign-in server cannot be reached. Check your connection and try again.'
  // Only this message is for people: it names the rule of the project that the password breaks.
  if (isAuthWeakPasswordError(error)) return error.message
  if (error.status === 429) return REFUSALS[error.code ?? ''] ?? TOO_MANY_ATTEMPTS
  if (!isAuthApiError(error)) return NOT_SIGNED_IN
  return REFUSALS[error.code ?? ''] ?? 'This did not work. Try again in a moment.'
}
