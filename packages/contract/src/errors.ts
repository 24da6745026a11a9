import { z } from 'zod'

/**
 * Why a call was refused or failed, as `error.data.reason`. docs/errors.md describes each reason, its status and its remedy. A
 * test compares this list with the document. No reason is also a verdict.
 */
export const Reason = z.enum([
  'bad_request',
  'not_signed_in',
  'service_key_invalid',
  'account_not_found',
  'plan_not_found',
  'idempotency_key_reused',
  'key_not_found',
  'key_revoked',
  'key_limit_reached',
  'secret_not_lost',
  'procedure_not_found',
  'method_not_allowed',
  'content_type_not_supported',
  'request_too_large',
  'email_taken',
  'email_invalid',
  'password_weak',
  'sign_up_disabled',
  'too_many_attempts',
  'too_many_streams',
  'auth_unavailable',
  'database_unavailable',
  'internal_error',
])
export type Reason = z.infer<typeof Reason>

/** One fault of an input. `field` is a dotted path, e.g. `name`, or empty when the fault is in the input as a whole. */
export const Issue = z.object({ field: z.string(), message: z.string() })
export type Issue = z.infer<typeof Issue>
