import { type AuthError, isAuthSessionMissingError, type User } from '@supabase/auth-js'
import { decodeJwt } from 'jose'
import { AppError } from '../errors.ts'
import { createAuthClient } from './auth-client.ts'
import { RequestQueue } from './request-queue.ts'

/** Shorter than the timeout of other requests to Supabase Auth, because a person waits for a change of a key. */
const SESSION_TIMEOUT_MS = 5_000

/** What the auth server knows about a signed-in user. */
export interface Person {
  /** Null if the user signed in without an e-mail address. */
  email: string | null
  isEmailConfirmed: boolean
}

/**
 * Asks the auth server about the session of an access token, and returns its user. `userId` is the user of the token, which is
 * already verified.
 *
 * @throws AppError `not_signed_in` if the user has signed out, is banned or was deleted since the token was issued.
 * @throws AppError `second_factor_required` if the user has a second factor, but gave no code of it in this session. An access token
 *   does not contain whether its user has a second factor. Without this check, a stolen password would be enough for a thief who
 *   calls the API without the dashboard.
 * @throws AppError `auth_unavailable` if the auth server does not answer, and `account_busy` if the user has too many requests in
 *   progress.
 */
export type SessionChecker = (authorization: string | null, userId: string) => Promise<Person>

/** The error codes of Supabase Auth with which it refuses the token, and not the request of this server. */
const REFUSES_TOKEN = /^(session_not_found|session_expired|user_not_found|user_banned|bad_jwt)$/

/**
 * Creates a session checker. An access token stays valid until it expires, even if its user has signed out. So the calls that
 * create or end secrets, and the export, ask the auth server too. No answer is kept: after a sign-out, no such call succeeds.
 */
export function createSessionChecker({ url, publishableKey }: { url: string; publishableKey: string }): SessionChecker {
  const auth = createAuthClient({ url, apiKey: publishableKey, timeoutMs: SESSION_TIMEOUT_MS })
  const queue = new RequestQueue()
  return async (authorization, userId) => {
    const token = authorization?.split(' ')[1]
    if (!token) throw new AppError('not_signed_in')
    const { data, error } = await queue.run(userId, async () => await auth.getUser(token))
    if (error !== null) throw refusal(error)
    if (data.user.id !== userId || isBanned(data.user)) throw new AppError('not_signed_in')
    if (hasSecondFactor(data.user) && decodeJwt(token)['aal'] !== 'aal2') throw new AppError('second_factor_required')
    return personOf(data.user)
  }
}

export function personOf({ email, email_confirmed_at }: User): Person {
  return { email: email || null, isEmailConfirmed: Boolean(email_confirmed_at) }
}

/** A factor without its first correct code is not verified, and does not count. */
function hasSecondFactor({ factors = [] }: User): boolean {
  return factors.some(({ status }) => status === 'verified')
}

/** Supabase Auth refuses banned users since version 2.195. Earlier versions return them. */
function isBanned({ banned_until }: User): boolean {
  return banned_until !== undefined && Date.parse(banned_until) > Date.now()
}

function refusal(error: AuthError): AppError {
  // auth-js turns the code `session_not_found` into an error class of its own.
  if (isAuthSessionMissingError(error) || REFUSES_TOKEN.test(error.code ?? ''))
    return new AppError('not_signed_in', { cause: error })
  // Every other error is a fault of the auth server or of the settings, e.g. a wrong publishable key. The log shows the cause.
  return new AppError('auth_unavailable', { cause: error })
}
