import type { NewKey, SignUp, SignUpOutput } from '@keymeter/contract'
import { type AuthError, createClient, isAuthRetryableFetchError } from '@supabase/supabase-js'
import type { z } from 'zod'
import type { Context } from '../context.ts'
import { AppError } from '../errors.ts'
import { inAccount } from '../scope.ts'
import { provision } from './provision.ts'

const SUPABASE_TIMEOUT_MS = 10_000

/**
 * Signs a person up at Supabase Auth, and provisions the account and its first key. When provisioning fails, the sign-up
 * still succeeds: the failure is logged, and the next `auth.provision` repeats the provisioning.
 *
 * @throws AppError `email_taken`, `email_invalid`, `password_weak`, `sign_up_disabled`, `too_many_attempts`, `auth_unavailable`.
 */
export async function signUp(
  ctx: Context,
  { email, password }: SignUp,
): Promise<Omit<z.infer<typeof SignUpOutput>, 'requestId'>> {
  const supabase = supabaseFor(ctx)
  let { data, error } = await supabase.auth.signUp({ email, password })
  // Of two concurrent sign-ups with one address, the second violates a unique key of Supabase. A retry gets the reason.
  if (error?.status === 500) ({ data, error } = await supabase.auth.signUp({ email, password }))
  if (error !== null) throw refusal(error)
  if (data.user === null)
    throw new AppError('auth_unavailable', { message: 'The auth server did not return a user: try again shortly.' })

  const user = { id: data.user.id, email: data.user.email ?? email }
  // Without a session, the project requires e-mail confirmation first. Supabase then returns an invented user for an address
  // that is taken, so there may be no user to provision.
  if (data.session === null) return { user, session: null, defaultKey: null }

  const { access_token, refresh_token, expires_at, expires_in } = data.session
  const expiresAt = new Date(expires_at === undefined ? Date.now() + expires_in * 1000 : expires_at * 1000)
  return {
    user,
    session: { accessToken: access_token, refreshToken: refresh_token, expiresAt: expiresAt.toISOString() },
    // People who sign in with Google are not signed up here. `auth.provision` provisions their accounts, and the dashboard
    // calls it when it first loads a session.
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

/** A client for one request. It keeps no session, and Supabase applies its limits to the address of the caller. */
function supabaseFor({ supabase, clientAddress }: Context) {
  return createClient(supabase.url, supabase.publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: {
      // Supabase uses this header if the project allows it, and ignores it otherwise.
      headers: clientAddress === null ? {} : { 'sb-forwarded-for': clientAddress },
      fetch: (input, init) => fetch(input, { ...init, signal: AbortSignal.timeout(SUPABASE_TIMEOUT_MS) }),
    },
  })
}

/** Supabase's error codes: https://supabase.com/docs/guides/auth/debugging/error-codes */
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
  // The auth server is unreachable or fails. Any other error is unexpected, e.g. a wrong API key.
  return isAuthRetryableFetchError(error) || status === 0 || status >= 500
    ? new AppError('auth_unavailable', { cause: error })
    : error
}
