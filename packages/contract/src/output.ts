import { z } from 'zod'

/** A moment as ISO-8601 in UTC with milliseconds, e.g. `2026-02-14T09:30:00.000Z`. */
export const Timestamp = z.iso.datetime({ precision: 3 })

/** Whole numbers that JSON represents exactly. */
export const Credits = z.int().nonnegative()

/** Whether a text has no control characters and no lone surrogates. UTF-8 cannot represent lone surrogates. */
export function isPlainText(text: string): boolean {
  return text.isWellFormed() && !/\p{Cc}/u.test(text)
}
export const NOT_PLAIN_TEXT = 'Leave out control characters.'

/** Calls in one HTTP request of a tRPC batch. */
export const BATCH_CALLS_MAX = 10

/** Every output has the id of its HTTP request, as the header `x-request-id` and the server's log have it. */
export const Output = z.object({ requestId: z.string() })
