import { z } from 'zod'
import { AppError } from '../../errors.ts'

/** Where a list goes on: every event that is left has a sequence below `before` and was created at `at` or earlier. */
export interface Place {
  before: number
  at: Date
}

/** Later than every event. */
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
