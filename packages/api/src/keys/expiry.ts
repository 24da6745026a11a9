import { AppError } from '../errors.ts'

/**
 * The moment that an input names for a key's end; null for none.
 *
 * @throws AppError `bad_request` for a moment that is not in the future.
 */
export function parseExpiry(expiresAt: string | null, now: Date): Date | null {
  if (expiresAt === null) return null
  const moment = new Date(expiresAt)
  if (!(moment > now)) {
    throw new AppError('bad_request', { field: 'expiresAt', message: 'Choose a moment in the future.' })
  }
  return moment
}
