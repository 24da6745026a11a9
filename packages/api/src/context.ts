import type { Db } from '@keymeter/db'
import type { Logger } from 'pino'
import type { AccessTokenVerifier } from './auth/verify-access-token.ts'
import type { Metering } from './metering/metering.ts'
import type { CallOrigin } from './scope.ts'
import type { UsageWatch } from './usage/watch.ts'

/** What the process gives the product once, at start. */
export interface ApiDeps {
  db: Db
  log: Logger
  supabase: { url: string; publishableKey: string }
  verifyAccessToken: AccessTokenVerifier
  metering: Metering
  usageWatch: UsageWatch
  /** What the company's backend proves itself with. Null where there is none: nobody may charge then. */
  serviceKey: string | null
  /** First part of every secret: `km` in `km_dev_…`. */
  keyBrand: string
}

/** What a call starts from; one for each HTTP request. */
export interface Context extends ApiDeps, CallOrigin {
  /** The process' log, with the request id on each line. */
  log: Logger
  /** The `authorization` header as it came. Nothing is verified before a procedure asks for it. */
  authorization: string | null
}
