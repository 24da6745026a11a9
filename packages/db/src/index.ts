export { createDb, type Db } from './client.ts'
export { connectionRoute } from './connection-route.ts'
export {
  ConnectionFailure,
  isConflict,
  isInvalidParameter,
  isLockTimeout,
  isReadOnly,
  isSessionUnusable,
  isStatementTimeout,
  isUnavailable,
  violatedForeignKey,
} from './errors.ts'
export { listen } from './listen.ts'
export { ping } from './ping.ts'
export type { DB } from './schema.gen.ts'
