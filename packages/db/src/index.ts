export { createDb, type Db, type RunSql } from './client.ts'
export { type ConnectionFacts, readConnectionFacts, receivesNotifications } from './connection-facts.ts'
export {
  isConflict,
  isInvalidParameter,
  isLockTimeout,
  isReadOnly,
  isStatementTimeout,
  isUnavailable,
  violatedForeignKey,
} from './errors.ts'
export { listen } from './listen.ts'
export { comparePermissions, isOpening, PERMISSIONS_QUERY, type Permission, policyName } from './permissions.ts'
export { ping } from './ping.ts'
export type { DB } from './schema.gen.ts'
