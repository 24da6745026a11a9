import type { Db } from '@keymeter/db'
import type { Logger } from 'pino'

import type { AccountQueue } from './account-queue.ts'
import type { SessionChecker } from './auth/check-session.ts'

import type { AccessTokenVerifier } from './auth/verify-access-token.ts'
import type { FreeCredits } from './billing/free-credits.ts'
import type { Limits } from './limits/limits.ts'
import type { Mailer } from './mail/create-mailer.ts'
import type { Metering } from './metering/metering.ts'
import type { CallOrigin } from './scope.ts'
import type { UsageWatch } from './usage/watch.ts'

/** The dependencies of the router. The process creates them when it starts. */
export interface ApiDeps {
  db: Db
  log: Logger
  /** The secret key is null if Supabase need not know the addresses of clients. Only the sign-up uses it. */
  supabase: { url: string; publishableKey: string; secretKey: string | null }
  /** The URL of the dashboard, for links in mails and in invitations. Null means that it is not known. */
  publicUrl: string | null
  verifyAccessToken: AccessTokenVerifier
  checkSession: SessionChecker
  limits: Limits
  freeCredits: FreeCredits
  /** Sends our own mails, e.g. invitations. Null means that no mail server is configured. */
  mailer: Mailer | null
  metering: Metering
  usageWatch: UsageWatch
  /** Every call on an account waits here for its turn, except charges and the reads of streams, which have their own limits. */
  accountCalls: AccountQueue
  /** Every export of an account waits here for its turn. */
  accountExports: AccountQueue
  /** The service key of the company's backend. Null means that all calls that need the service key are refused. */
  serviceKey: string | null
  /** The first part of every token: `km` in `km_dev_…`. */
  keyBrand: string
}

/** The context of a call. All calls in one HTTP request share it. */
export interface Context extends ApiDeps, CallOrigin {
  /** A logger that adds the request id to each line. */
  log: Logger
  /** The `authorization` header, which is not verified yet. Only the base procedures in trpc.ts verify it. */
  authorization: string | null
  /** The header `x-keymeter-account`: the account on which a member acts. Null means the account with the id of the user. */
  account: string | null
}
