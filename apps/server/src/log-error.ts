import { reasonOf } from '@keymeter/api/server'
import type { TRPCError } from '@trpc/server'
import type { Logger } from 'pino'

/** Logs a bug at level `error` and an outage at level `warn`. A refusal is the caller's fault, so its level is `debug`. */
export function logError(log: Logger, error: TRPCError, call: { path: string | undefined; type: string }) {
  const reason = reasonOf(error)
  const line = { ...call, reason, err: error.cause ?? error }
  if (reason === 'internal_error') log.error(line, 'call failed')
  else if (reason.endsWith('_unavailable')) log.warn(line, 'call failed')
  else log.debug({ ...call, reason }, 'call refused')
}
