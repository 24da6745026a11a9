import { AppError } from '../errors.ts'
import type { VerifiedToken } from './verify-access-token.ts'

/** A sensitive change needs a sign-in that is younger than this. */
export const RECENT_SIGN_IN_SECONDS = 1_800

/**
 * Refuses a caller whose last sign-in is too old for a sensitive change. Otherwise somebody who finds an unlocked computer, or steals
 * a session, could take over the account. The dashboard then asks the user to sign in again, and repeats the call.
 *
 * @throws AppError `sign_in_too_old`
 */
export function requireRecentSignIn({ signedInAt }: Pick<VerifiedToken, 'signedInAt'>): void {
  // The times of a token are compared with this machine's clock, as its expiry is.
  const isRecent = signedInAt !== null && Date.now() - signedInAt.getTime() < RECENT_SIGN_IN_SECONDS * 1000
  if (!isRecent) throw new AppError('sign_in_too_old')
}
