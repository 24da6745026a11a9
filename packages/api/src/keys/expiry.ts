import type { Key } from '@keymeter/contract'
import { AppError } from '../errors.ts'

/**
 * The last year with four digits. An input with a UTC offset, e.g. `9999-12-31T23:00:00-05:00`, can be in the year 10000 in
 * UTC.
 */
const YEAR_MAX = 9999

/**
 * Returns the time when a key expires. Null means that the key never expires.
 *
 * @throws AppError `bad_request` if the time is not in the future, or if it is after the year 9999.
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

/** True if the key has expired, even if its status is `disabled`. */
export function isExpired({ expiresAt }: Key, now: Date): boolean {
  return expiresAt !== null && new Date(expiresAt) <= now
}
