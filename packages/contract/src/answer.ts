import { z } from 'zod'

/** A moment, as ISO-8601 in UTC with milliseconds: `2026-02-14T09:30:00.000Z`. */
export const Timestamp = z.iso.datetime({ precision: 3 })

/** Whole numbers, which JSON carries exactly. */
export const Credits = z.int().nonnegative()

/** Text that a person typed. A lone surrogate is no character and would change on its way into UTF-8. */
export function isPlainText(text: string): boolean {
  return text.isWellFormed() && !/\p{Cc}/u.test(text)
}
export const NOT_PLAIN_TEXT = 'Leave out control characters.'

/** Calls in one HTTP request. */
export const BATCH_CALLS_MAX = 10

/** Every answer carries the id of its HTTP request, the same as in the header `x-request-id` and in the server's log. */
export const Answer = z.object({ requestId: z.string() })
