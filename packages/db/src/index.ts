export { createDb, type Db, type RunSql } from './client.ts'
export { type ConnectionFacts, readConnectionFacts, receivesNotifications } from './connection-facts.ts'
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
export { comparePermissions, isOpening, PERMISSIONS_QUERY, type Permission, policyName } from './permissions.ts'
export { ping } from './ping.ts'
export type { DB } from './schema.gen.ts'
