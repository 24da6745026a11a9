import type { Db } from '@keymeter/db'
import type { Logger } from 'pino'
import type { AccessTokenVerifier } from './auth/verify-access-token.ts'
import type { Metering } from './metering/metering.ts'
import type { CallOrigin } from './scope.ts'
import type { UsageWatch } from './usage/watch.ts'

/** What the process passes to the router when it starts. */
export interface ApiDeps {
  db: Db
  log: Logger
  supabase: { url: string; publishableKey: string }
  verifyAccessToken: AccessTokenVerifier
  metering: Metering
  usageWatch: UsageWatch
  /** The secret of the company's backend. Null: all calls that need it are refused. */
  serviceKey: string | null
  /** The first part of every token: `km` in `km_dev_…`. */
  keyBrand: string
}

/** The context of a call. There is one for each HTTP request. */
export interface Context extends ApiDeps, CallOrigin {
  /** Each line contains the request id. */
  log: Logger
  /** The `authorization` header. Only the base procedures in trpc.ts verify it. */
  authorization: string | null
}
