import { createRemoteJWKSet, errors, type JWTVerifyGetKey, type JWTVerifyOptions, jwtVerify } from 'jose'
import { z } from 'zod'
import { AppError } from '../errors.ts'

/**
 * Turns an `authorization` header into the user it proves, and until when it does.
 *
 * @throws AppError `not_signed_in`, or `auth_unavailable` when the project's public keys cannot be fetched.
 */
export type AccessTokenVerifier = (authorization: string | null) => Promise<{ userId: string; expiresAt: Date }>

/**
 * The rest of what a person's token must say. The project's public `anon` and `service_role` keys are tokens too, signed
 * alike: they have no user, and an anonymous user has no account.
 */
const Claims = z.object({
  sub: z.guid().toLowerCase(),
  exp: z.number(),
  role: z.literal('authenticated'),
  is_anonymous: z.literal(false).optional(),
})

const CLOCK_TOLERANCE_SECONDS = 5
const BEARER = /^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/i

/**
 * Verifies Supabase's access tokens in this process, without a call to Supabase for each. How they are signed is fixed
 * here, by configuration: a token that names another algorithm, or brings a key of its own, is refused.
 *
 * @param options.jwtSecret the project's shared secret (HS256), where it has one; otherwise its published keys (JWKS).
 */
export function createAccessTokenVerifier(options: { supabaseUrl: string; jwtSecret: string | null }): AccessTokenVerifier {
  const verifySignature = options.jwtSecret === null ? withPublishedKeys(options.supabaseUrl) : withSecret(options.jwtSecret)
  return async (authorization) => {
    const token = authorization?.match(BEARER)?.[1]
    if (token === undefined) throw new AppError('not_signed_in')
    try {
      const { sub, exp } = Claims.parse(await verifySignature(token))
      return { userId: sub, expiresAt: new Date(exp * 1000) }
    } catch (cause) {
      throw cause instanceof AppError ? cause : new AppError('not_signed_in', { cause })
    }
  }
}

const REQUIRED: JWTVerifyOptions = {
  audience: 'authenticated',
  requiredClaims: ['sub', 'exp', 'iat'],
  clockTolerance: CLOCK_TOLERANCE_SECONDS,
}

function withSecret(jwtSecret: string) {
  const secret = new TextEncoder().encode(jwtSecret)
  return async (token: string) => (await jwtVerify(token, secret, { ...REQUIRED, algorithms: ['HS256'] })).payload
}

/** Found while looking for the key that a token names; whatever else fails there is an outage. */
const TOKENS_FAULTS = [errors.JWKSNoMatchingKey, errors.JWKSMultipleMatchingKeys, errors.JOSENotSupported]

function withPublishedKeys(supabaseUrl: string) {
  const issuer = `${supabaseUrl.replace(/\/$/, '')}/auth/v1`
  const publishedKeys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`))
  const findKey: JWTVerifyGetKey = async (header, token) => {
    try {
      return await publishedKeys(header, token)
    } catch (cause) {
      const isTokensFault = TOKENS_FAULTS.some((fault) => cause instanceof fault)
      throw isTokensFault ? cause : new AppError('auth_unavailable', { cause })
    }
  }
  return async (token: string) =>
    (await jwtVerify(token, findKey, { ...REQUIRED, issuer, algorithms: ['ES256', 'RS256'] })).payload
}
