import { reasonOf } from '@keymeter/api/server'
import type { Reason } from '@keymeter/contract'
import type { TRPCError } from '@trpc/server'
import type { Logger } from 'pino'
import type { RefusalLog } from './refusal-log.ts'

/** The refusals of a credential. An operator must be able to see them, because they can be the traces of an attack. */
const CREDENTIAL_REFUSALS: readonly Reason[] = ['not_signed_in', 'service_key_invalid', 'too_many_attempts']
const SIGN_UP = 'auth.signup'

/** Logs the failed calls of one HTTP request. */
export interface CallLog {
  log: Logger
  refusals: RefusalLog
  clientAddress: string | null
  /** The credential of the request is refused in each call of an HTTP batch, and logged once. */
  refusedCredentials: Set<Reason>
  /** Returns true if the client disconnected before its request had arrived. */
  hasDisconnected: () => boolean
}

/**
 * Logs a bug at level `error` and an outage at level `warn`. A refused credential and a refused sign-up are logged at level
 * `info`, and other refusals at level `debug`, because they are the caller's fault.
 *
 * @param call.path must be the path of a procedure or a route. A path from a URL can contain a secret.
 */
export function logError(
  { log, refusals, clientAddress, refusedCredentials, hasDisconnected }: CallLog,
  error: TRPCError,
  call: { path: string | undefined; type: string },
): void {
  const reason = reasonOf(error)
  if (reason === 'internal_error') log.error({ ...call, reason, err: error.cause ?? error }, 'call failed')
  else if (reason.endsWith('_unavailable')) log.warn({ ...call, reason, err: error.cause ?? error }, 'call failed')
  else if (hasDisconnected()) log.debug({ ...call, reason }, 'the client disconnected before its request had arrived')
  else if (call.path === SIGN_UP) refusals.write(log, { ...call, reason, clientAddress })
  else if (!CREDENTIAL_REFUSALS.includes(reason)) log.debug({ ...call, reason }, 'call refused')
  else if (!refusedCredentials.has(reason)) {
    refusedCredentials.add(reason)
    refusals.write(log, { ...call, reason, clientAddress })
  }
}
