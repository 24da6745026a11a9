import { AsyncLocalStorage } from 'node:async_hooks'

/**
 * The id of the current HTTP request. tRPC refuses a malformed batch or an unknown content type before it creates a context.
 * The responses to such requests must contain the request id too, so it is stored here.
 */
export const requestIds = new AsyncLocalStorage<string>()

/** Adds the request id to an output. Every output of the contract contains it. */
export async function withRequestId<T extends object>(
  { requestId }: { requestId: string },
  output: Promise<T>,
): Promise<T & { requestId: string }> {
  return { ...(await output), requestId }
}
