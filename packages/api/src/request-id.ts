import { AsyncLocalStorage } from 'node:async_hooks'

/**
 * The id of the HTTP request being served. Errors need it before there is a context: tRPC refuses a malformed batch or
 * an unknown content type without making one.
 */
export const requestIds = new AsyncLocalStorage<string>()
