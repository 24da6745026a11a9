import { z } from 'zod'

/** A moment as ISO-8601 in UTC with milliseconds, e.g. `2026-02-14T09:30:00.000Z`. */
export const Timestamp = z.iso.datetime({ precision: 3 })

/** A number of credits: a whole number from 0 to 2^53 - 1, which JSON represents exactly. */
export const Credits = z.int().nonnegative()

/** True if the text has no control characters and no lone surrogates. UTF-8 cannot represent lone surrogates. */
export function isPlainText(text: string): boolean {
  return text.isWellFormed() && !/\p{Cc}/u.test(text)
}
export const NOT_PLAIN_TEXT = 'Leave out control characters.'

/** The maximum number of calls in one HTTP request (a tRPC batch). */
export const BATCH_CALLS_MAX = 10

/**
 * The base of every output. `requestId` is the id of the HTTP request. The header `x-request-id` and the server's log contain
 * the same id.
 */
export const Output = z.object({ requestId: z.string() })
