import { z } from 'zod'
import { AppError } from '../../errors.ts'

/**
 * A place in the list of usage events, which is sorted from newest to oldest. All events that the list has not returned yet
 * have a sequence below `before`, and were created at `at` or earlier.
 */
export interface Place {
  before: number
  at: Date
}

/** The latest time that a cursor can contain. It is later than every event. */
const TIME_MAX_MS = Date.UTC(9999, 11, 31)

const Cursor = z.tuple([z.coerce.number().pipe(z.int().positive()), z.coerce.number().pipe(z.int().min(0).max(TIME_MAX_MS))])

export function formatCursor({ before, at }: Place): string {
  return `${before}.${at.getTime()}`
}

/** @throws AppError `bad_request` if the cursor is not valid. */
export function parseCursor(text: string): Place {
  const [before, at] = Cursor.safeParse(text.split('.')).data ?? []
  if (before !== undefined && at !== undefined) return { before, at: new Date(at) }
  throw new AppError('bad_request', {
    field: 'cursor',
    message: 'This cursor is not valid. Start again without a cursor.',
  })
}
