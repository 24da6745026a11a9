import type { NewKey, SignUp, SignUpOutput } from '@keymeter/contract'
import { type AuthError, createClient, isAuthRetryableFetchError } from '@supabase/supabase-js'
import type { z } from 'zod'
import type { Context } from '../context.ts'
import { AppError } from '../errors.ts'
import { inAccount } from '../scope.ts'
import { provision } from './provision.ts'

const SUPABASE_TIMEOUT_MS = 10_000

/**
 * Signs a person up with Supabase Auth, and creates the account and its first key. If the account or the key cannot be
 * created, the sign-up still succeeds. The failure is logged, and the next call of `auth.provision` creates them.
 *
 * @throws AppError `email_taken`, `email_invalid`, `password_weak`, `sign_up_disabled`, `too_many_attempts`,
 *   `auth_unavailable`.
 */
export async function signUp(
  ctx: Context,
  { email, password }: SignUp,
): Promise<Omit<z.infer<typeof SignUpOutput>, 'requestId'>> {
  const supabase = supabaseFor(ctx)
  let { data, error } = await supabase.auth.signUp({ email, password })
  // If two requests sign up the same address concurrently, the second request violates a unique key of Supabase and gets status
  // 500. A retry gets the actual reason: the address is taken.
  if (error?.status === 500) ({ data, error } = await supabase.auth.signUp({ email, password }))
  if (error !== null) throw refusal(error)
  if (data.user === null)
    throw new AppError('auth_unavailable', { message: 'The auth server did not return a user: try again shortly.' })

  const user = { id: data.user.id, email: data.user.email ?? email }
  // If there is no session, the project requires e-mail confirmation first. Do not create an account here: for an address that
  // is already taken, Supabase returns an invented user.
  if (data.session === null) return { user, session: null, defaultKey: null }

  const { access_token, refresh_token, expires_at, expires_in } = data.session
  const expiresAt = new Date(expires_at === undefined ? Date.now() + expires_in * 1000 : expires_at * 1000)
  return {
    user,
    session: { accessToken: access_token, refreshToken: refresh_token, expiresAt: expiresAt.toISOString() },
    // People who sign in with Google never call `signUp`. For them, the dashboard calls `auth.provision` when it first loads a
    // session.
    defaultKey: await provisionOrWarn(ctx, user.id),
  }
}

async function provisionOrWarn(ctx: Context, userId: string): Promise<NewKey | null> {
  try {
    return await inAccount({ ...ctx, userId }, 'read write', provision)
  } catch (error) {
    ctx.log.warn({ err: error, userId }, 'a person signed up, but provisioning failed: the next auth.provision repeats it')
    return null
  }
}

/**
 * Returns a Supabase client for one request. The client stores no session. It sends the caller's address, so that Supabase
 * applies its rate limits to the caller instead of this server.
 */
function supabaseFor({ supabase, clientAddress }: Context) {
  return createClient(supabase.url, supabase.publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: {
      // Supabase uses this header only if the settings of the Supabase project allow it.
      headers: clientAddress === null ? {} : { 'sb-forwarded-for': clientAddress },
      fetch: (input, init) => fetch(input, { ...init, signal: AbortSignal.timeout(SUPABASE_TIMEOUT_MS) }),
    },
  })
}

/**
 * Converts an error of Supabase Auth to the error for the client. The error codes of Supabase Auth are listed at
 * https://supabase.com/docs/guides/auth/debugging/error-codes
 */
function refusal(error: AuthError): Error {
  switch (error.code) {
    case 'user_already_exists':
    case 'email_exists':
      return new AppError('email_taken', { field: 'email', cause: error })
    case 'weak_password':
      return new AppError('password_weak', { field: 'password', message: error.message, cause: error })
    case 'email_address_invalid':
    case 'email_address_not_authorized':
    case 'validation_failed':
      return new AppError('email_invalid', { field: 'email', cause: error })
    case 'signup_disabled':
    case 'email_provider_disabled':
      return new AppError('sign_up_disabled', { cause: error })
    case 'over_request_rate_limit':
    case 'over_email_send_rate_limit':
      return new AppError('too_many_attempts', { cause: error })
  }
  const status = error.status ?? 0
  if (status === 429) return new AppError('too_many_attempts', { cause: error })
  // If one of these conditions is true, the auth server is unreachable or has failed. Any other error is unexpected, e.g. a
  // wrong API key.
  return isAuthRetryableFetchError(error) || status === 0 || status >= 500
    ? new AppError('auth_unavailable', { cause: error })
    : error
}
