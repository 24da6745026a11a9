import { AppError } from '../errors.ts'

/** ISO-8601 with four digits ends here; an offset may lead past it. */
const YEAR_MAX = 9999

/**
 * The moment that an input names for a key's end; null for none.
 *
 * @throws AppError `bad_request` for a moment that is not in the future, or past the year 9999.
 */
export function parseExpiry(expiresAt: string | null, now: Date): Date | null {
  if (expiresAt === null) return null
  const moment = new Date(expiresAt)
  if (!(moment > now)) {
    throw new AppError('bad_request', { field: 'expiresAt', message: 'Choose a moment in the future.' })
  }
  if (moment.getUTCFullYear() > YEAR_MAX) {
    throw new AppError('bad_request', { field: 'expiresAt', message: `Choose a moment before the end of ${YEAR_MAX}, in UTC.` })
  }
  return moment
}
