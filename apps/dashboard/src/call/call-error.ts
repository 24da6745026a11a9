import type { AppRouter } from '@keymeter/api'
import type { Issue } from '@keymeter/contract'
import { TRPCClientError } from '@trpc/client'
import { SessionEndedError } from './session.ts'

/** The error of a failed call, described for the user. */
export interface CallError {
  message: string
  /** The request id, which the user quotes to get help. Null means that the server was not reached. */
  requestId: string | null
  issues: Issue[]
  /** True if the same call can succeed a moment later. */
  isPassing: boolean
  /** The time after which the same call can succeed, in milliseconds. It is 0 if the time is unknown. */
  retryAfterMs: number
  /** True if the server has perhaps done what the call asked for: it did not answer, or it failed while it worked. */
  isPerhapsDone: boolean
}

export function describeCallError(error: unknown): CallError {
  if (error instanceof TRPCClientError) {
    const { data, message } = error as TRPCClientError<AppRouter>
    if (data) return { message, requestId: data.requestId, issues: data.issues, ...passingOf(data) }
    if (error.cause instanceof SessionEndedError) return ENDED
  }
  if (error instanceof SessionEndedError) return ENDED
  const message = 'The server cannot be reached. Check your connection and try again.'
  return { message, requestId: null, issues: [], isPassing: true, retryAfterMs: 0, isPerhapsDone: true }
}

/** The call was not sent. The same call works after the next sign-in. */
const ENDED: CallError = {
  message: 'Your session has ended. Sign in again, then repeat this.',
  requestId: null,
  issues: [],
  isPassing: false,
  retryAfterMs: 0,
  isPerhapsDone: false,
}

/** Returns whether a call with this error can succeed a moment later, and when, and whether it has perhaps succeeded. */
export function passingOf({ httpStatus, retryAfterSeconds }: { httpStatus: number; retryAfterSeconds: number | null }) {
  const hasFailed = httpStatus >= 500
  return {
    isPassing: hasFailed || retryAfterSeconds !== null,
    retryAfterMs: (retryAfterSeconds ?? 0) * 1000,
    isPerhapsDone: hasFailed,
  }
}
