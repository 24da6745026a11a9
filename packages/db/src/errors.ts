// These functions classify the error of a failed query. They also search the chain of `cause`, because other layers wrap the
// error from Postgres.

/**
 * The SQLSTATE codes of a server that cannot serve a query at the moment: class 08 (connection), class 28 (login), class 53
 * (resources), class 57 (e.g. shutdown or statement timeout), and 55P03 (lock timeout).
 */
const UNAVAILABLE_SQLSTATE = /^(08|28|53|57|55P03)/
/** The error codes of Node for a failed connection. Such an error has no SQLSTATE. */
const CONNECTION_FAILURE = /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH)$/
/** The messages of the driver pg for a failed connection. */
const CONNECTION_LOST_MESSAGE =
  /timeout exceeded when trying to connect|connection terminated|query read timeout|not queryable/i

/** True if the database caused the error, and not the statement. A retry can succeed. */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.some(isUnavailable)
  if (!(error instanceof Error)) return false
  if (UNAVAILABLE_SQLSTATE.test(postgresError(error).sqlState) || isReadOnly(error)) return true
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  return CONNECTION_FAILURE.test(code) || CONNECTION_LOST_MESSAGE.test(error.message) || isUnavailable(error.cause)
}

/**
 * True if Postgres accepts no writes on this connection, e.g. because it is the old primary after a failover. The SQLSTATE is
 * 25006 (read-only transaction), or 0A000 if a standby refuses to start a read-write transaction.
 */
export function isReadOnly(error: unknown): boolean {
  const { sqlState, message } = postgresError(error)
  return sqlState === '25006' || (sqlState === '0A000' && message.includes('during recovery'))
}

/**
 * True if Postgres cancelled the transaction because of another transaction: 40001 (serialization failure) or 40P01
 * (deadlock).
 */
export function isConflict(error: unknown): boolean {
  return /^40(001|P01)$/.test(postgresError(error).sqlState)
}

/** True if the statement waited too long for a lock of another session (55P03). */
export function isLockTimeout(error: unknown): boolean {
  return postgresError(error).sqlState === '55P03'
}

/** True if the statement took longer than the statement timeout (57014). */
export function isStatementTimeout(error: unknown): boolean {
  return postgresError(error).sqlState === '57014'
}

/** True if the value of a parameter is not valid (22023), e.g. a time zone that Postgres does not know. */
export function isInvalidParameter(error: unknown): boolean {
  return postgresError(error).sqlState === '22023'
}

/** Returns the name of the foreign key that the statement violated (23503). Returns null for other errors. */
export function violatedForeignKey(error: unknown): string | null {
  const { sqlState, constraint } = postgresError(error)
  return sqlState === '23503' ? constraint : null
}

function postgresError(error: unknown): { sqlState: string; message: string; constraint: string } {
  if (!(error instanceof Error)) return { sqlState: '', message: '', constraint: '' }
  const { code, constraint } = error as { code?: unknown; constraint?: unknown }
  if (typeof code !== 'string' || !/^[0-9A-Z]{5}$/.test(code)) return postgresError(error.cause)
  return { sqlState: code, message: error.message, constraint: String(constraint ?? '') }
}
