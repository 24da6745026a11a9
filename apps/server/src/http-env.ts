import type { HttpBindings } from '@hono/node-server'
import type { Logger } from 'pino'
import type { CallLog } from './log-error.ts'

/** Every Hono app and handler of this process has this type parameter. */
export interface HttpEnv {
  Bindings: HttpBindings
  /** `log` adds the request id to each line. */
  Variables: { requestId: string; log: Logger; callLog: CallLog }
}
