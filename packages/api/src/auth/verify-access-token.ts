import { createRemoteJWKSet, errors, type JWTVerifyGetKey, type JWTVerifyOptions, jwtVerify } from 'jose'
import { z } from 'zod'
import { AppError } from '../errors.ts'

/** What an access token proves about its user. */
export interface VerifiedToken {
  userId: string
  /** The address of the user when the token was issued, or null if the user has none. It is perhaps not confirmed. */
  email: string | null
  /** When the access token expires. */
  expiresAt: Date
  /**
   * When the user last proved who they are with a first factor, e.g. a password or a code in an e-mail. A refresh of the session
   * does not change this time. Null if the token does not contain the time, so the sign-in must count as old.
   */
  signedInAt: Date | null
  /** True if the user has also given a code of a second factor in this session (`aal2`). */
  isSecondFactor: boolean
}

/**
 * Verifies an `authorization` header.
 *
 * @throws AppError `not_signed_in`, or `auth_unavailable` if the project's public keys cannot be fetched.
 */
export type AccessTokenVerifier = (authorization: string | null) => Promise<VerifiedToken>

/**
 * The methods of `amr` that count as a sign-in. All other methods can be reached from a stolen session without a first factor. E.g.
 * a thief who has a session of a user without a second factor can enrol one (`totp`).
 */
const SIGN_INS = ['password', 'otp', 'magiclink', 'recovery', 'invite', 'email/signup', 'oauth', 'sso/saml', 'web3', 'passkey']

/**
 * The claims of a signed-in user's access token. The project's `anon` and `service_role` keys are tokens with the same
 * signature, but they have no user. An anonymous user has no account and is refused.
 */
const Claims = z.object({
  sub: z.guid().toLowerCase(),
  iat: z.number().refine((issuedAt) => issuedAt <= Date.now() / 1000 + ISSUED_AHEAD_SECONDS_MAX),
  exp: z.number(),
  role: z.literal('authenticated'),
  is_anonymous: z.literal(false).optional(),
  // These claims prove less if they are missing or have an unknown form, but the token is still valid.
  email: z.string().nullish().catch(null),
  aal: z.unknown().optional(),
  amr: z.array(z.unknown()).catch([]),
})

const CLOCK_TOLERANCE_SECONDS = 5
/** The clock of the auth server may be ahead of this machine's clock by this time. A later token was not issued yet. */
const ISSUED_AHEAD_SECONDS_MAX = 60
/** The maximum of a JavaScript date, in seconds. */
const TIMESTAMP_SECONDS_MAX = 8_640_000_000_000
/** An entry of `amr` with its time, in seconds. Other forms of an entry contain no time. */
const AuthenticationMethod = z.object({ method: z.string(), timestamp: z.number().int().min(0).max(TIMESTAMP_SECONDS_MAX) })
const BEARER = /^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/i

/**
 * Creates a verifier that checks Supabase's access tokens in this process, without a request to Supabase for each token. The
 * settings decide how a token must be signed. A token that names another algorithm, or that contains its own key, is refused.
 *
 * @param options.supabaseUrl The URL of the project, which its tokens name as their issuer.
 * @param options.supabaseInternalUrl The URL at which this process reaches the project, by default the same.
 * @param options.jwtSecret The project's shared secret (HS256). Null means that tokens are verified with the keys that the
 *   project publishes (JWKS).
 */
export function createAccessTokenVerifier({
  supabaseUrl,
  supabaseInternalUrl = supabaseUrl,
  jwtSecret,
}: {
  supabaseUrl: string
  supabaseInternalUrl?: string
  jwtSecret: string | null
}): AccessTokenVerifier {
  const verifySignature =
    jwtSecret === null ? withPublishedKeys(authUrl(supabaseUrl), authUrl(supabaseInternalUrl)) : withSecret(jwtSecret)
  return async (authorization) => {
    const token = authorization?.match(BEARER)?.[1]
    if (token === undefined) throw new AppError('not_signed_in')
    try {
      const { sub, email, exp, aal, amr } = Claims.parse(await verifySignature(token))
      return {
        userId: sub,
        email: email || null,
        expiresAt: new Date(exp * 1000),
        signedInAt: newestSignIn(amr),
        isSecondFactor: aal === 'aal2',
      }
    } catch (cause) {
      throw cause instanceof AppError ? cause : new AppError('not_signed_in', { cause })
    }
  }
}

function newestSignIn(amr: unknown[]): Date | null {
  const times = amr.flatMap((entry) => {
    const { data } = AuthenticationMethod.safeParse(entry)
    return data !== undefined && SIGN_INS.includes(data.method) ? [data.timestamp] : []
  })
  return times.length === 0 ? null : new Date(Math.max(...times) * 1000)
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

/**
 * If the search for a token's key fails with one of these errors, the token is wrong. All other errors of the search mean that
 * the published keys are unavailable.
 */
const TOKENS_FAULTS = [errors.JWKSNoMatchingKey, errors.JWKSMultipleMatchingKeys, errors.JOSENotSupported]

const authUrl = (supabaseUrl: string) => `${supabaseUrl.replace(/\/$/, '')}/auth/v1`

function withPublishedKeys(issuer: string, internalUrl: string) {
  const publishedKeys = createRemoteJWKSet(new URL(`${internalUrl}/.well-known/jwks.json`))
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
