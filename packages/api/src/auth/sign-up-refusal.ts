import { type AuthError, isAuthRetryableFetchError, isAuthWeakPasswordError } from '@supabase/auth-js'
import { AppError } from '../errors.ts'

const WEAK_BECAUSE: Record<string, string> = {
  length: 'It is too short.',
  characters: 'It needs more kinds of characters, e.g. lower case letters, upper case letters, digits and symbols.',
  pwned: 'It is in a public list of leaked passwords.',
}
/** The error codes with which Supabase Auth refuses the server's own API key. The operator must correct the settings. */
export const REFUSES_SERVER = /^(no_authorization|bad_jwt|not_admin)$/
const CONFLICT_RETRY_AFTER_MS = 1_000
const HOOK_RETRY_AFTER_MS = 60_000

/**
 * Converts an error of Supabase Auth at a sign-up to the error for the client. The message is always ours: the message of
 * Supabase Auth can contain internal details, and the message of a hook can contain anything. The error codes are listed at
 * https://supabase.com/docs/guides/auth/debugging/error-codes
 *
 * A refusal never becomes a 5xx error. `auth_unavailable` (503) means that the auth server is unreachable or has failed, or that it
 * does not accept the server's API key.
 */
export function signUpRefusal(error: AuthError): AppError {
  const cause = error
  const status = error.status ?? 0
  switch (error.code) {
    case 'user_already_exists':
    case 'email_exists':
      return new AppError('email_taken', { field: 'email', cause })
    case 'weak_password':
      return new AppError('password_weak', { field: 'password', message: describeWeakness(error), cause })
    case 'email_address_invalid':
    case 'email_address_not_authorized':
    case 'email_address_not_provided':
    case 'validation_failed':
      return new AppError('email_invalid', { field: 'email', cause })
    case 'signup_disabled':
    case 'email_provider_disabled':
    case 'provider_disabled':
      return new AppError('sign_up_disabled', { cause })
    case 'captcha_failed':
      return new AppError('captcha_failed', { cause })
    case 'over_request_rate_limit':
    case 'over_sms_send_rate_limit':
      return new AppError('too_many_attempts', { cause })
    case 'conflict': {
      const message = 'Another sign-up with this e-mail address is in progress: try again in a moment.'
      return new AppError('too_many_attempts', { message, retryAfterMs: CONFLICT_RETRY_AFTER_MS, cause })
    }
    case 'hook_timeout':
    case 'hook_timeout_after_retry': {
      const message = 'The operator’s check of this sign-up did not answer in time: try again in a minute.'
      return new AppError('sign_up_refused', { message, retryAfterMs: HOOK_RETRY_AFTER_MS, cause })
    }
  }
  if (status === 429) return new AppError('too_many_attempts', { cause })
  const isUnavailable =
    isAuthRetryableFetchError(error) ||
    status < 400 ||
    status >= 500 ||
    REFUSES_SERVER.test(error.code ?? '') ||
    // The gateway of Supabase refuses an API key with this status and without a code.
    (status === 401 && error.code === undefined)
  // All other errors are refusals: by a hook of the operator, by a quota of the project, or with a code that we do not know.
  return new AppError(isUnavailable ? 'auth_unavailable' : 'sign_up_refused', { cause })
}

function describeWeakness(error: AuthError): string {
  const reasons: string[] = isAuthWeakPasswordError(error) ? error.reasons : []
  const known = reasons.flatMap((reason) => WEAK_BECAUSE[reason] ?? [])
  return ['This password is too weak.', ...known, 'Choose a stronger one.'].join(' ')
}
