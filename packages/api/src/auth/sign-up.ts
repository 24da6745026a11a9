import type { NewKey, SignUp, SignUpAnswer } from '@keymeter/contract'
import { type AuthError, createClient, isAuthRetryableFetchError } from '@supabase/supabase-js'
import type { z } from 'zod'
import type { Context } from '../context.ts'
import { AppError } from '../errors.ts'
import { inAccount } from '../scope.ts'
import { provision } from './provision.ts'

const SUPABASE_TIMEOUT_MS = 10_000

/**
 * Signs up at Supabase Auth, then provisions the account and its first key. Signing up counts even when provisioning
 * fails: that is logged, and the next `auth.provision` makes up for it.
 *
 * @throws AppError `email_taken`, `email_invalid`, `password_weak`, `sign_up_disabled`, `too_many_attempts`, `auth_unavailable`.
 */
export async function signUp(
  ctx: Context,
  { email, password }: SignUp,
): Promise<Omit<z.infer<typeof SignUpAnswer>, 'requestId'>> {
  const supabase = supabaseFor(ctx)
  let { data, error } = await supabase.auth.signUp({ email, password })
  // Of two sign-ups at once with one address, the second stumbles over Supabase's unique key; asked again, it is told why.
  if (error?.status === 500) ({ data, error } = await supabase.auth.signUp({ email, password }))
  if (error !== null) throw refusal(error)
  if (data.user === null) throw new AppError('auth_unavailable', { message: 'The auth server answered without a user.' })

  const user = { id: data.user.id, email: data.user.email ?? email }
  // No session: the project asks for e-mail confirmation first. For an address that is taken Supabase then answers a
  // made-up user, so there may be nobody to provision for.
  if (data.session === null) return { user, session: null, defaultKey: null }

  const { access_token, refresh_token, expires_at, expires_in } = data.session
  const expiresAt = new Date(expires_at === undefined ? Date.now() + expires_in * 1000 : expires_at * 1000)
  return {
    user,
    session: { accessToken: access_token, refreshToken: refresh_token, expiresAt: expiresAt.toISOString() },
    // People who sign in with Google never pass through here: their account is provisioned by `auth.provision`, which
    // the dashboard calls after every first load of a session.
    defaultKey: await provisionOrWarn(ctx, user.id),
  }
}

async function provisionOrWarn(ctx: Context, userId: string): Promise<NewKey | null> {
  try {
    return await inAccount({ ...ctx, userId }, 'read write', provision)
  } catch (error) {
    ctx.log.warn({ err: error, userId }, 'signed up, but provisioning failed: the next auth.provision will make up for it')
    return null
  }
}

/** A client for this request alone: it keeps no session, and Supabase counts its limits by the caller's address. */
function supabaseFor({ supabase, clientAddress }: Context) {
  return createClient(supabase.url, supabase.publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: {
      // Supabase heeds the header where the project allows it, and ignores it elsewhere.
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
  // Never reached, or failing inside. Any other refusal is one that we do not know: a wrong API key, say.
  return isAuthRetryableFetchError(error) || status === 0 || status >= 500
    ? new AppError('auth_unavailable', { cause: error })
    : error
}
