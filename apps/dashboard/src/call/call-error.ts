import type { AppRouter } from '@keymeter/api'
import type { Issue } from '@keymeter/contract'
import { TRPCClientError } from '@trpc/client'

/** The error of a failed call, described for the user. */
export interface CallError {
  message: string
  /** The request id, which the user quotes to get help. Null means that the server was not reached. */
  requestId: string | null
  issues: Issue[]
  /** True if the same call can succeed a moment later. */
  isPassing: boolean
}

export function describeCallError(error: unknown): CallError {
  if (error instanceof TRPCClientError) {
    const { data, message } = error as TRPCClientError<AppRouter>
    if (data) return { message, requestId: data.requestId, issues: data.issues, isPassing: data.httpStatus >= 500 }
  }
  const message = 'The server cannot be reached. Check your connection and try again.'
  return { message, requestId: null, issues: [], isPassing: true }
}
