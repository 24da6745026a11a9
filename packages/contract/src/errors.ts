import { z } from 'zod'

/**
 * Why a call was refused or failed. Clients get the reason as `error.data.reason`. docs/errors.md describes each reason, its
 * HTTP status and its remedy, and a test compares this list with that document. A reason and a verdict never have the same
 * name.
 */
export const Reason = z.enum([
  'bad_request',
  'not_signed_in',
  'sign_in_too_old',
  'second_factor_required',
  'service_key_invalid',
  'not_a_member',
  'role_insufficient',
  'member_not_found',
  'last_owner',
  'already_member',
  'too_many_members',
  'invitation_not_found',
  'invitation_expired',
  'invitation_revoked',
  'invitation_used',
  'invitation_closed',
  'invitation_other_address',
  'email_not_confirmed',
  'account_exists',
  'too_many_accounts',
  'account_closed',
  'account_not_found',
  'plan_not_found',
  'top_up_not_found',
  'idempotency_key_reused',
  'key_not_found',
  'key_revoked',
  'key_limit_reached',
  'key_expired',
  'secret_changed',
  'secret_not_lost',
  'too_many_secrets',
  'procedure_not_found',
  'method_not_allowed',
  'content_type_not_supported',
  'request_too_large',
  'request_too_slow',
  'email_taken',
  'email_invalid',
  'password_weak',
  'sign_up_disabled',
  'sign_up_refused',
  'captcha_failed',
  'too_many_attempts',
  'too_many_key_changes',
  'too_many_streams',
  'account_busy',
  'auth_unavailable',
  'database_unavailable',
  'internal_error',
])
export type Reason = z.infer<typeof Reason>

/** One invalid field of an input. `field` is a dotted path, e.g. `name`. It is empty if the input as a whole is invalid. */
export const Issue = z.object({ field: z.string(), message: z.string() })
export type Issue = z.infer<typeof Issue>
