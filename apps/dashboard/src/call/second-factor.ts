import type { Session } from '@supabase/auth-js'
import { readAccessToken } from './session.ts'

/** An authenticator app of the user. */
export interface SecondFactor {
  id: string
  name: string
}

/** Returns the apps of which the session still needs a code. It is empty if the user has none, or has already given a code. */
export function secondFactorsOf(session: Session): SecondFactor[] {
  if (readAccessToken(session).level === 'aal2') return []
  return (session.user.factors ?? [])
    .filter(({ status, factor_type }) => status === 'verified' && factor_type === 'totp')
    .map(({ id, friendly_name }) => ({ id, name: friendly_name || 'Authenticator app' }))
}
