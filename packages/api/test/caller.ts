import { randomUUID } from 'node:crypto'
import type { ChargeVerdict, MemberCall } from '@keymeter/contract'
import type { TestDatabase } from '@keymeter/local/testing'
import { SignJWT } from 'jose'
import { pino } from 'pino'

import { AccountQueue } from '../src/account-queue.ts'
import { createSessionChecker } from '../src/auth/check-session.ts'

import { createAccessTokenVerifier } from '../src/auth/verify-access-token.ts'
import type { Context } from '../src/context.ts'
import { createLimits, NO_LIMITS } from '../src/limits/limits.ts'
import { Metering } from '../src/metering/metering.ts'
import { appRouter } from '../src/router.ts'
import { UsageWatch } from '../src/usage/watch.ts'
import { startAuthStandIn, userOf } from './auth-stand-in.ts'

export const JWT_SECRET = 'a secret of the tests, longer than 32 characters'
const verifyAccessToken = createAccessTokenVerifier({ supabaseUrl: 'http://127.0.0.1:1', jwtSecret: JWT_SECRET })
/** Every session exists, because these tests sign their access tokens themselves. */
const { url } = await startAuthStandIn(userOf)
const checkSession = createSessionChecker({ url, publishableKey: 'none' })

/**
 * Returns an access token like those of Supabase Auth. `claims` replaces claims of the token. A claim with the value
 * `undefined` is omitted.
 */
export async function accessToken(userId: string, claims: Record<string, unknown> = {}, secret = JWT_SECRET): Promise<string> {
  const now = Math.floor(Date.now() / 1000)
  const payload = {
    sub: userId,
    aud: 'authenticated',
    role: 'authenticated',
    iat: now,
    exp: now + 3600,
    aal: 'aal1',
    amr: [{ method: 'password', timestamp: now }],
    ...claims,
  }
  return await new SignJWT(JSON.parse(JSON.stringify(payload)))
    .setProtectedHeader({ alg: 'HS256' })
    .sign(new TextEncoder().encode(secret))
}

export const SERVICE_KEY = 'a-service-key-of-the-tests-32-or-more'

/**
 * Returns the context of a request with the access token `token`. `replace` contains fields that replace those of the
 * context.
 */
export function contextOf({ db }: Pick<TestDatabase, 'db'>, token: string | null, replace: Partial<Context> = {}): Context {
  const log = pino({ level: 'silent' })
  return {
    db,
    log,
    metering: new Metering({ db, keyBrand: 'km', log }),
    usageWatch: new UsageWatch(log),
    // Tests of races send many concurrent calls of one account, as many server processes can.
    accountCalls: new AccountQueue(1_000),
    accountExports: new AccountQueue(2),
    serviceKey: SERVICE_KEY,
    supabase: { url: 'http://127.0.0.1:1', publishableKey: 'none', secretKey: null },
    publicUrl: null,
    verifyAccessToken,
    checkSession,
    limits: createLimits(db, NO_LIMITS),
    freeCredits: 'after_confirmation',
    mailer: null,
    keyBrand: 'km',
    requestId: randomUUID(),
    clientAddress: '127.0.0.1',
    userAgent: 'a test',
    authorization: token === null ? null : `Bearer ${token}`,
    account: null,
    ...replace,
  }
}

/** Returns the `by` of a call that the user makes as a member. By default, only an owner may make the call. */
export function byMember(userId: string, call: MemberCall = 'auth.provision') {
  return { caller: { userId, email: `${userId}@example.com`, isSecondFactor: false }, call }
}

/** Returns a caller of the router that is signed in as the user. */
export async function signedIn(database: Pick<TestDatabase, 'db'>, userId: string) {
  return appRouter.createCaller(contextOf(database, await accessToken(userId)))
}

/** Creates a user with an account and a default key. Returns a caller that is signed in as the user. */
export async function provisioned(database: Pick<TestDatabase, 'db' | 'createUser'>) {
  const userId = await database.createUser()
  const caller = await signedIn(database, userId)
  const { defaultKey } = await caller.auth.provision()
  if (defaultKey === null) throw new Error('a new user has no default key')
  return { userId, caller, defaultKey }
}

/** Returns a caller of the router with the service key, like the company's backend. */
export function backend(database: Pick<TestDatabase, 'db'>) {
  return appRouter.createCaller({ ...contextOf(database, null), authorization: `Bearer ${SERVICE_KEY}` })
}

let charges = 0
/** Charges a key through a new charge engine, with a new idempotency key. */
export async function charge({ db }: Pick<TestDatabase, 'db'>, key: string, credits: number): Promise<ChargeVerdict> {
  const metering = new Metering({ db, keyBrand: 'km', log: pino({ level: 'silent' }) })
  return await metering.charge({ key, credits, idempotencyKey: `charge-${charges++}`, operation: 'default' })
}
