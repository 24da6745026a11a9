// These functions classify the error of a failed query. They also search the chain of `cause`, because other layers wrap the
// error from Postgres.

/**
 * The SQLSTATE codes that blame the server or the session, and not the statement. Postgres did not run the statement, or rolled
 * it back.
 */
const UNAVAILABLE_SQLSTATES = [
  '08', // connection, e.g. PgBouncer closes the connection
  '25006', // read-only transaction: a standby, or a database whose disk is full
  '25P02', // a transaction that an earlier error aborted, e.g. on a connection that a pooler did not clean up
  '25P03', // idle-in-transaction timeout
  '25P04', // transaction timeout (Postgres 17)
  '28', // login
  '53', // resources: disk full, out of memory, too many connections
  '55P03', // lock timeout
  '57', // shutdown, crash, idle-session timeout, statement timeout
  '58', // system error, e.g. a disk that cannot be read
  '72', // snapshot too old (until Postgres 16)
  'F0', // configuration file
]
/** The SQLSTATE codes after which the session cannot run the next statement, even if Postgres keeps the connection open. */
const UNUSABLE_SQLSTATES = ['08', '25006', '25P', '57P', '58', 'F0']
/** Postgres closes the connection after an error with one of these severities, whatever its SQLSTATE is. */
const FATAL = /^(FATAL|PANIC)$/
/** The error codes of Node for an open connection that broke. Such an error has no SQLSTATE. */
const CONNECTION_BROKEN = /^(ECONNABORTED|ECONNRESET|EHOSTDOWN|EHOSTUNREACH|ENETDOWN|ENETUNREACH|EPIPE|ETIMEDOUT)$/
/** The messages of the driver pg for an open connection that broke. */
const CONNECTION_BROKEN_MESSAGE = /connection terminated|query read timeout|not queryable/i

/**
 * No connection could be opened, or none became free in time. The statement was not sent. The cause can have any error code: a
 * refused connection, an unknown host, a certificate, a dropped database, or an error of a pooler.
 */
export class ConnectionFailure extends Error {
  override readonly name = 'ConnectionFailure'

  constructor(cause: unknown) {
    super('No database connection could be opened', { cause })
  }
}

/** True if the database caused the error, and not the statement. A retry can succeed. */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (error instanceof ConnectionFailure) return true
  const { sqlState, severity } = postgresError(error)
  if (startsWithAny(sqlState, UNAVAILABLE_SQLSTATES) || FATAL.test(severity)) return true
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  return CONNECTION_BROKEN.test(code) || CONNECTION_BROKEN_MESSAGE.test(error.message) || isUnavailable(error.cause)
}

/** True if the connection that caused the error must not be used for another statement. */
export function isSessionUnusable(error: unknown): boolean {
  const { sqlState, severity } = postgresError(error)
  return FATAL.test(severity) || startsWithAny(sqlState, UNUSABLE_SQLSTATES)
}

/** True if Postgres accepts no writes on this connection (25006), e.g. because it is the old primary after a failover. */
export function isReadOnly(error: unknown): boolean {
  return postgresError(error).sqlState === '25006'
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

const startsWithAny = (sqlState: string, starts: readonly string[]) => starts.some((start) => sqlState.startsWith(start))

function postgresError(error: unknown): { sqlState: string; severity: string; constraint: string } {
  if (!(error instanceof Error)) return { sqlState: '', severity: '', constraint: '' }
  const { code, severity, constraint } = error as { code?: unknown; severity?: unknown; constraint?: unknown }
  if (typeof code !== 'string' || !/^[0-9A-Z]{5}$/.test(code)) return postgresError(error.cause)
  return { sqlState: code, severity: String(severity ?? ''), constraint: String(constraint ?? '') }
}
