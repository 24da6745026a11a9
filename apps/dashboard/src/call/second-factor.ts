import type { Factor, Session, User } from '@supabase/auth-js'
import { describeAuthError } from './credentials.ts'
import { auth, readAccessToken } from './session.ts'

/** The name of the service in authenticator apps. */
const ISSUER = 'Keymeter'
const SVG_PREFIX = 'data:image/svg+xml;utf-8,'

/** An authenticator app of the user. */
export interface SecondFactor {
  id: string
  name: string
  createdAt: string
}

/** A new app that does not count until its first correct code. */
export interface Enrolment {
  id: string
  /** The URL of an image that the app scans. It contains the secret. */
  qrCode: string
  /** The same secret as text, for an app that cannot scan. */
  secret: string
}

/** Returns the apps of the user that count as a second factor. */
export function appsOf({ factors = [] }: Pick<User, 'factors'>): SecondFactor[] {
  return factors
    .filter((factor) => isApp(factor) && factor.status === 'verified')
    .map(({ id, friendly_name, created_at }) => ({ id, name: friendly_name || 'Authenticator app', createdAt: created_at }))
}

/** Returns the apps of which the session still needs a code. It is empty if the user has none, or has already given a code. */
export function secondFactorsOf(session: Session): SecondFactor[] {
  return readAccessToken(session).level === 'aal2' ? [] : appsOf(session.user)
}

/** Begins to add an app. First removes apps that were begun and not finished, because their names would be taken. */
export async function beginEnrolment(user: User, name: string): Promise<Enrolment | { fault: string }> {
  for (const factor of user.factors ?? [])
    if (isApp(factor) && factor.status === 'unverified') await auth.mfa.unenroll({ factorId: factor.id })
  const { data, error } = await auth.mfa.enroll({ factorType: 'totp', friendlyName: name, issuer: ISSUER })
  if (error !== null) return { fault: describeAuthError(error) }
  // The client adds the prefix to an SVG that is not encoded. A # in the SVG would end the URL.
  const svg = data.totp.qr_code.slice(SVG_PREFIX.length)
  return { id: data.id, qrCode: SVG_PREFIX + encodeURIComponent(svg), secret: data.totp.secret }
}

/**
 * Verifies a code of an app. The session then has the second factor, and a new app counts. Resolves to null, or to a sentence for the
 * user.
 */
export async function verifyCode(factorId: string, code: string): Promise<string | null> {
  const { error } = await auth.mfa.challengeAndVerify({ factorId, code: code.replaceAll(/\s/g, '') })
  return error && describeAuthError(error)
}

/** Removes an app. Resolves to null, or to a sentence for the user. */
export async function removeApp(factorId: string): Promise<string | null> {
  const { error } = await auth.mfa.unenroll({ factorId })
  if (error !== null) return describeAuthError(error)
  // The access token still contains the level of the removed factor.
  await auth.refreshSession()
  return null
}

function isApp({ factor_type }: Factor): boolean {
  return factor_type === 'totp'
}
