import { type Issue, KEYS_LIVE_MAX, type Reason, STREAMS_PER_ACCOUNT_MAX } from '@keymeter/contract'
import { type TRPC_ERROR_CODE_KEY, TRPCError } from '@trpc/server'
import { ZodError } from 'zod'

/** Each reason's code, and so its HTTP status, and what the caller reads when nothing more exact is known. */
const REASONS = {
  bad_request: {
    code: 'BAD_REQUEST',
    message:
      'The request could not be read: check its JSON, and that a batch holds at most 10 calls, all queries or all mutations.',
  },
  not_signed_in: { code: 'UNAUTHORIZED', message: 'Sign in, and send the access token as "authorization: Bearer <token>".' },
  service_key_invalid: {
    code: 'UNAUTHORIZED',
    message: 'Send the service key (KEYMETER_SERVICE_KEY of the server) as "authorization: Bearer <key>".',
  },
  account_not_found: { code: 'NOT_FOUND', message: 'There is no such account: check accountId.' },
  plan_not_found: { code: 'NOT_FOUND', message: 'There is no such plan: make it with "pnpm keymeter plan" first.' },
  idempotency_key_reused: {
    code: 'CONFLICT',
    message: 'This idempotency key was used for something else: send another one for another grant.',
  },
  key_not_found: { code: 'NOT_FOUND', message: 'There is no such key on this account.' },
  key_revoked: { code: 'CONFLICT', message: 'This key is revoked, for good: create another one.' },
  key_limit_reached: {
    code: 'CONFLICT',
    message: `An account has at most ${KEYS_LIVE_MAX} live keys: revoke one that is no longer needed.`,
  },
  secret_not_lost: {
    code: 'CONFLICT',
    message: 'This key’s secret has been saved, used or replaced meanwhile: reload, and rotate the key to get another one.',
  },
  procedure_not_found: { code: 'NOT_FOUND', message: 'There is no such procedure: check the path.' },
  method_not_allowed: { code: 'METHOD_NOT_SUPPORTED', message: 'Call a query with GET and a mutation with POST.' },
  content_type_not_supported: { code: 'UNSUPPORTED_MEDIA_TYPE', message: 'Send the body as "content-type: application/json".' },
  request_too_large: { code: 'PAYLOAD_TOO_LARGE', message: 'The request is too large: send fewer or smaller values.' },
  email_taken: { code: 'CONFLICT', message: 'There is an account for this address already: sign in instead.' },
  email_invalid: { code: 'BAD_REQUEST', message: 'Enter an e-mail address, like name@example.com.' },
  password_weak: { code: 'BAD_REQUEST', message: 'Choose a stronger password.' },
  sign_up_disabled: { code: 'FORBIDDEN', message: 'Signing up is switched off.' },
  too_many_attempts: { code: 'TOO_MANY_REQUESTS', message: 'Too many attempts: wait a minute, then try again.' },
  too_many_streams: {
    code: 'TOO_MANY_REQUESTS',
    message: `An account has at most ${STREAMS_PER_ACCOUNT_MAX} streams open: close one that is no longer looked at.`,
  },
  auth_unavailable: { code: 'SERVICE_UNAVAILABLE', message: 'Signing in is unavailable at the moment: try again shortly.' },
  database_unavailable: {
    code: 'SERVICE_UNAVAILABLE',
    message: 'The database is unavailable at the moment: try again shortly.',
  },
  internal_error: {
    code: 'INTERNAL_SERVER_ERROR',
    message: 'Something went wrong on our side: try again, or report the request id.',
  },
} as const satisfies Record<Reason, { code: TRPC_ERROR_CODE_KEY; message: string }>

/** The reason of an error that the framework itself raised, before any of our code ran. */
const FRAMEWORK_REASONS: Partial<Record<TRPC_ERROR_CODE_KEY, Reason>> = {
  PARSE_ERROR: 'bad_request',
  BAD_REQUEST: 'bad_request',
  NOT_FOUND: 'procedure_not_found',
  METHOD_NOT_SUPPORTED: 'method_not_allowed',
  UNSUPPORTED_MEDIA_TYPE: 'content_type_not_supported',
  PAYLOAD_TOO_LARGE: 'request_too_large',
}

/** A refusal: the caller is told `reason` and `message`. Its `cause` goes to the log alone. */
export class AppError extends TRPCError {
  readonly reason: Reason
  /** Faults of the input, by field. */
  readonly issues: Issue[]

  constructor(reason: Reason, options: { message?: string; field?: string; cause?: unknown } = {}) {
    const message = options.message ?? REASONS[reason].message
    super({ code: REASONS[reason].code, message, cause: options.cause })
    this.reason = reason
    this.issues = options.field === undefined ? [] : [{ field: options.field, message }]
  }
}

/** Anything that is neither a refusal nor a known fault of the request is ours: `internal_error`. */
export function reasonOf(error: TRPCError): Reason {
  if (error instanceof AppError) return error.reason
  return FRAMEWORK_REASONS[error.code] ?? 'internal_error'
}

/**
 * What a client may read of an error. Only refusals speak for themselves, and faults of an input are named by field;
 * every other message is our own sentence for its reason, since the error's may quote SQL or a secret.
 */
export function describeError(error: TRPCError): { reason: Reason; message: string; issues: Issue[] } {
  const reason = reasonOf(error)
  if (error instanceof AppError) return { reason, message: error.message, issues: error.issues }
  if (reason === 'bad_request' && error.cause instanceof ZodError) {
    const issues = error.cause.issues.map((issue) => ({ field: issue.path.join('.'), message: issue.message }))
    return { reason, message: issues.map(({ field, message }) => (field ? `${field}: ${message}` : message)).join(' '), issues }
  }
  return { reason, message: REASONS[reason].message, issues: [] }
}
