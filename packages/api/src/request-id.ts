import { AsyncLocalStorage } from 'node:async_hooks'

/**
 * The id of the current HTTP request. tRPC refuses a malformed batch or an unknown content type before it creates a context.
 * The responses to such requests must contain the request id too, so the id is not stored in the context.
 */
export const requestIds = new AsyncLocalStorage<string>()

export async function withRequestId<T extends object>(
  { requestId }: { requestId: string },
  output: Promise<T>,
): Promise<T & { requestId: string }> {
  return { ...(await output), requestId }
}
