import { AsyncLocalStorage } from 'node:async_hooks'

/**
 * The id of the current HTTP request. Errors need it even without a context: tRPC refuses a malformed batch or an unknown
 * content type before it creates one.
 */
export const requestIds = new AsyncLocalStorage<string>()

/** Adds the request id to an output, as every output of the contract has it. */
export async function withRequestId<T extends object>(
  { requestId }: { requestId: string },
  output: Promise<T>,
): Promise<T & { requestId: string }> {
  return { ...(await output), requestId }
}
