import type { HttpBindings } from '@hono/node-server'
import type { Logger } from 'pino'

/** The type parameter of every Hono app and handler in this process. */
export interface HttpEnv {
  Bindings: HttpBindings
  /** `log` adds the request id to each line. */
  Variables: { requestId: string; log: Logger }
}
