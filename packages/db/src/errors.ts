// What an error of a query means. Each function also finds the error of Postgres in the causes of an error, because other
// layers wrap it.

/**
 * SQLSTATE classes of a server that cannot serve at the moment: 08 connection, 28 login, 53 resources, 57 operator
 * intervention (shutdown, statement timeout), 55P03 lock timeout.
 */
const UNAVAILABLE_SQLSTATE = /^(08|28|53|57|55P03)/
/** Codes of Node when the connection itself fails. These errors have no SQLSTATE. */
const CONNECTION_FAILURE = /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH)$/
/** Messages of pg when the connection itself fails. */
const CONNECTION_LOST_MESSAGE =
  /timeout exceeded when trying to connect|connection terminated|query read timeout|not queryable/i

/** Whether the database is at fault, not the statement: a retry may succeed. */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.some(isUnavailable)
  if (!(error instanceof Error)) return false
  if (UNAVAILABLE_SQLSTATE.test(postgresError(error).sqlState) || isReadOnly(error)) return true
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  return CONNECTION_FAILURE.test(code) || CONNECTION_LOST_MESSAGE.test(error.message) || isUnavailable(error.cause)
}

/**
 * Whether Postgres accepts no writes on this connection: 25006 read-only transaction, or 0A000 for the start of a read-write
 * transaction on a standby. After a failover, this is the old primary.
 */
export function isReadOnly(error: unknown): boolean {
  const { sqlState, message } = postgresError(error)
  return sqlState === '25006' || (sqlState === '0A000' && message.includes('during recovery'))
}

/** Whether Postgres cancelled the transaction because of another one: 40001 serialization failure, 40P01 deadlock. */
export function isConflict(error: unknown): boolean {
  return /^40(001|P01)$/.test(postgresError(error).sqlState)
}

/** 55P03: another session held a lock for too long. */
export function isLockTimeout(error: unknown): boolean {
  return postgresError(error).sqlState === '55P03'
}

/** 57014: the statement took longer than the statement timeout. */
export function isStatementTimeout(error: unknown): boolean {
  return postgresError(error).sqlState === '57014'
}

/** 22023: the value of a parameter is not valid, e.g. a time zone that Postgres does not know. */
export function isInvalidParameter(error: unknown): boolean {
  return postgresError(error).sqlState === '22023'
}

/** 23503: the name of the foreign key that a statement violated. Null for other errors. */
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
