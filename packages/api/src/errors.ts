import {
  type Issue,
  KEYS_LIVE_MAX,
  MEMBERS_MAX,
  type Reason,
  SECRETS_WORKING_MAX,
  STREAMS_PER_ACCOUNT_MAX,
} from '@keymeter/contract'
import { type TRPC_ERROR_CODE_KEY, TRPCError } from '@trpc/server'
import { ZodError, z } from 'zod'
import { describeInputFault } from './input-fault.ts'

// All schemas of this process get our own sentences. The sentences of zod never reach a client.
z.config({ customError: describeInputFault })

/** The maximum number of invalid fields that an error names. A list of invalid items can have thousands. */
const ISSUES_MAX = 20

/**
 * The tRPC code of a reason, from which tRPC derives the HTTP status. `message` and `retryAfterSeconds` are the defaults of an
 * `AppError` with this reason.
 */
interface Refusal {
  code: TRPC_ERROR_CODE_KEY
  message: string
  retryAfterSeconds?: number
}

const REASONS = {
  bad_request: {
    code: 'BAD_REQUEST',
    message:
      'The request is not valid: check its JSON, and send at most 10 calls in a batch, either all queries or all mutations.',
  },
  not_signed_in: {
    code: 'UNAUTHORIZED',
    message: 'You are not signed in: sign in, and send the access token as "authorization: Bearer <token>".',
  },
  sign_in_too_old: {
    code: 'FORBIDDEN',
    message: 'This change needs a sign-in of the last 30 minutes: sign in again, then send the call again.',
  },
  second_factor_required: {
    code: 'FORBIDDEN',
    message:
      'This needs a sign-in with a second factor: enter a code of your authenticator app. If you have none, set one up on the page Settings.',
  },
  service_key_invalid: {
    code: 'UNAUTHORIZED',
    message: 'The service key is missing or wrong: send KEYMETER_SERVICE_KEY of the server as "authorization: Bearer <key>".',
  },
  not_a_member: {
    code: 'FORBIDDEN',
    message: 'You are not a member of this account: choose another account, or ask its owner to invite you.',
  },
  role_insufficient: { code: 'FORBIDDEN', message: 'Your role in this account does not allow this: ask an owner or an admin.' },
  member_not_found: { code: 'NOT_FOUND', message: 'This account has no such member: load the list of members again.' },
  last_owner: {
    code: 'CONFLICT',
    message: 'An account always has an owner: make another member the owner first, or delete the account.',
  },
  already_member: {
    code: 'CONFLICT',
    message: 'This address already is a member of the account: change the role in the list of members.',
  },
  too_many_members: {
    code: 'CONFLICT',
    message: `This account already has ${MEMBERS_MAX} members and invitations: revoke an invitation or remove a member first.`,
  },
  invitation_not_found: {
    code: 'NOT_FOUND',
    message: 'There is no such invitation: check that the link is complete, or ask for a new one.',
  },
  invitation_expired: {
    code: 'CONFLICT',
    message: 'This invitation has expired: ask the person who invited you for a new one.',
  },
  invitation_revoked: {
    code: 'CONFLICT',
    message: 'This invitation was revoked: ask the person who invited you for a new one.',
  },
  invitation_used: {
    code: 'CONFLICT',
    message: 'This invitation was already used: sign in with the address that accepted it.',
  },
  invitation_closed: {
    code: 'CONFLICT',
    message: 'The account of this invitation was deleted: ask the person who invited you.',
  },
  invitation_other_address: {
    code: 'FORBIDDEN',
    message: 'This invitation is for another address: sign in with the address that was invited.',
  },
  email_not_confirmed: {
    code: 'FORBIDDEN',
    message: 'Your address is not confirmed yet: open the link in the mail that you got at sign-up, then try again.',
  },
  account_exists: { code: 'CONFLICT', message: 'You already own an account: choose it in the list of your accounts.' },
  too_many_accounts: {
    code: 'CONFLICT',
    message: `You are a member of ${MEMBERS_MAX} accounts: leave one of them first.`,
  },
  account_closed: {
    code: 'CONFLICT',
    message: 'This account was deleted, and nobody can use its credits: choose another account.',
  },
  account_not_found: { code: 'NOT_FOUND', message: 'This account does not exist: check accountId.' },
  plan_not_found: { code: 'NOT_FOUND', message: 'There is no such plan: create it with "keymeter plan" first.' },
  top_up_not_found: {
    code: 'NOT_FOUND',
    message: 'This account has no top-up with this idempotency key: send the idempotency key that granted the top-up.',
  },
  idempotency_key_reused: {
    code: 'CONFLICT',
    message: 'This idempotency key was used for a different request: send a new idempotency key for each request.',
  },
  key_not_found: { code: 'NOT_FOUND', message: 'This account has no key with this id: check the id.' },
  key_revoked: { code: 'CONFLICT', message: 'This key is revoked, which cannot be undone: create another key.' },
  key_limit_reached: {
    code: 'CONFLICT',
    message: `This account already has ${KEYS_LIVE_MAX} live keys: revoke a key that you no longer need.`,
  },
  key_expired: {
    code: 'CONFLICT',
    message: 'This key has expired, so a new secret would not work: give the key a later expiry first, or none.',
  },
  secret_changed: {
    code: 'CONFLICT',
    message: 'This key has got another secret since: reload the key, and rotate it again if you still need a new secret.',
  },
  secret_not_lost: {
    code: 'CONFLICT',
    message: 'The secret of this key has been saved, used or replaced since: reload, and rotate the key to get a new secret.',
  },
  too_many_secrets: {
    code: 'CONFLICT',
    message: `This key already has ${SECRETS_WORKING_MAX} working secrets: end the previous ones first, e.g. with “End now” in the list of keys.`,
  },
  procedure_not_found: { code: 'NOT_FOUND', message: 'This procedure does not exist: check the path.' },
  method_not_allowed: {
    code: 'METHOD_NOT_SUPPORTED',
    message: 'This method is not allowed here: call a query with GET and a mutation with POST.',
  },
  content_type_not_supported: {
    code: 'UNSUPPORTED_MEDIA_TYPE',
    message: 'This content type is not supported: send the body as "content-type: application/json".',
  },
  request_too_slow: { code: 'TIMEOUT', message: 'The request did not arrive in time: send it again.' },
  request_too_large: { code: 'PAYLOAD_TOO_LARGE', message: 'The request is too large: send fewer or smaller values.' },
  email_taken: { code: 'CONFLICT', message: 'This address already has an account: sign in instead.' },
  email_invalid: {
    code: 'BAD_REQUEST',
    message: 'This e-mail address is not accepted: enter an address like name@example.com.',
  },
  password_weak: { code: 'BAD_REQUEST', message: 'This password is too weak: choose a stronger one.' },
  sign_up_disabled: { code: 'FORBIDDEN', message: 'Signing up is disabled: ask the operator for an account.' },
  sign_up_refused: { code: 'FORBIDDEN', message: 'This sign-up was refused: ask the operator for an account.' },
  captcha_failed: {
    code: 'BAD_REQUEST',
    message: 'The captcha is missing, or was not accepted: solve it again.',
  },
  too_many_attempts: {
    code: 'TOO_MANY_REQUESTS',
    message: 'Too many attempts: wait a minute, then try again.',
    retryAfterSeconds: 60,
  },
  too_many_key_changes: {
    code: 'TOO_MANY_REQUESTS',
    message: 'This account has made too many changes: try again in an hour.',
    retryAfterSeconds: 3_600,
  },
  too_many_streams: {
    code: 'TOO_MANY_REQUESTS',
    message: `This account already has ${STREAMS_PER_ACCOUNT_MAX} open streams: close one that you no longer need.`,
    retryAfterSeconds: 15,
  },
  account_busy: {
    code: 'TOO_MANY_REQUESTS',
    message: 'This account has too many calls in progress: wait for their answers, then try again.',
    retryAfterSeconds: 1,
  },
  auth_unavailable: {
    code: 'SERVICE_UNAVAILABLE',
    message: 'The auth server is unavailable at the moment: try again shortly.',
    retryAfterSeconds: 1,
  },
  database_unavailable: {
    code: 'SERVICE_UNAVAILABLE',
    message: 'The database is unavailable at the moment: try again shortly.',
    retryAfterSeconds: 1,
  },
  internal_error: {
    code: 'INTERNAL_SERVER_ERROR',
    message: 'Something went wrong on our side: try again, or report the request id.',
  },
} as const satisfies Record<Reason, Refusal>

/** The reasons of the errors that tRPC itself throws before any of our code runs. */
const FRAMEWORK_REASONS: Partial<Record<TRPC_ERROR_CODE_KEY, Reason>> = {
  PARSE_ERROR: 'bad_request',
  BAD_REQUEST: 'bad_request',
  NOT_FOUND: 'procedure_not_found',
  METHOD_NOT_SUPPORTED: 'method_not_allowed',
  UNSUPPORTED_MEDIA_TYPE: 'content_type_not_supported',
  PAYLOAD_TOO_LARGE: 'request_too_large',
}

/** An error that refuses a call. The client gets everything except `cause`, which goes only to the log. */
export class AppError extends TRPCError {
  readonly reason: Reason
  /** The invalid fields of the input. */
  readonly issues: Issue[]
  /** The time after which a retry can succeed, in whole seconds. Null means that a retry does not help or that the time is unknown. */
  readonly retryAfterSeconds: number | null

  constructor(reason: Reason, options: { message?: string; field?: string; retryAfterMs?: number; cause?: unknown } = {}) {
    const { code, message: usualMessage, ...rest }: Refusal = REASONS[reason]
    const message = options.message ?? usualMessage
    super({ code, message, cause: options.cause })
    this.reason = reason
    this.retryAfterSeconds =
      options.retryAfterMs === undefined
        ? (rest.retryAfterSeconds ?? null)
        : Math.max(1, Math.ceil(options.retryAfterMs / 1000))
    this.issues = options.field === undefined ? [] : [{ field: options.field, message }]
  }
}

/**
 * Returns the reason of an error. An error that is neither an `AppError` nor a known error of tRPC is a bug, so its reason is
 * `internal_error`.
 */
export function reasonOf(error: TRPCError): Reason {
  if (error instanceof AppError) return error.reason
  return FRAMEWORK_REASONS[error.code] ?? 'internal_error'
}

/** The parts of an error that a client may see. */
interface ErrorDescription {
  reason: Reason
  message: string
  issues: Issue[]
  retryAfterSeconds: number | null
}

/**
 * Returns the parts of an error that a client may see. An `AppError` shows its own message, and an invalid input shows what is
 * wrong with each field. Every other error shows the default message of its reason, because its own message can contain SQL or
 * a secret.
 */
export function describeError(error: TRPCError): ErrorDescription {
  const reason = reasonOf(error)
  if (error instanceof AppError) {
    const { message, issues, retryAfterSeconds } = error
    return { reason, message, issues, retryAfterSeconds }
  }
  if (reason === 'bad_request' && error.cause instanceof ZodError) {
    const issues = error.cause.issues
      .slice(0, ISSUES_MAX)
      .map((issue) => ({ field: issue.path.join('.'), message: issue.message }))
    const message = issues.map(({ field, message }) => (field ? `${field}: ${message}` : message)).join(' ')
    return { reason, message, issues, retryAfterSeconds: null }
  }
  return { reason, message: REASONS[reason].message, issues: [], retryAfterSeconds: null }
}
