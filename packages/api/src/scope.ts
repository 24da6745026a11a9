import type { DB, Db } from '@keymeter/db'
import { sql, type Transaction } from 'kysely'
import type { Logger } from 'pino'
import { AppError } from './errors.ts'

/**
 * What an operation on one account works with: its first argument, and the only way to the database. The account comes
 * from the caller's verified token, never from input.
 */
export interface Scope extends CallOrigin {
  db: Transaction<DB>
  userId: string
  log: Logger
  keyBrand: string
}

/** Where a call came from, as the audit log keeps it. What the network or the client does not tell is null. */
export interface CallOrigin {
  requestId: string
  clientAddress: string | null
  userAgent: string | null
}

/** `read only` sees what one moment committed, however many queries it is: numbers of two moments would not add up. */
type AccessMode = 'read only' | 'read write'

/**
 * Runs `operation` in one transaction that sees and changes the rows of `userId` alone: row level security reads
 * `app.user_id`, which ends with the transaction, so that a pooled connection never carries it on. Returns after the
 * commit; whatever `operation` throws rolls everything back.
 *
 * @throws AppError `database_unavailable` when Postgres cannot be reached, is shutting down or has no time, or met a deadlock.
 * @throws AppError `not_signed_in` when the user has been deleted since the token was issued.
 */
export async function inAccount<T>(
  { db, ...call }: Omit<Scope, 'db'> & { db: Db },
  accessMode: AccessMode,
  operation: (scope: Scope) => Promise<T>,
): Promise<T> {
  try {
    return await db
      .transaction()
      .setAccessMode(accessMode)
      .setIsolationLevel(accessMode === 'read only' ? 'repeatable read' : 'read committed')
      .execute(async (transaction) => {
        // A call reads some rows of one account, by an index: workers would take longer to start than that takes. And rows of
        // one account lie together, mostly in memory: with the default of 4, a table that is mostly one account's is read whole.
        await sql`select set_config('app.user_id', ${call.userId}, true),
                         set_config('max_parallel_workers_per_gather', '0', true), set_config('random_page_cost', '1.1', true)`.execute(
          transaction,
        )
        return await operation({ ...call, db: transaction })
      })
  } catch (error) {
    // Met with the deletion of the user (billing/lock-account.ts).
    if (isUserGone(error)) throw new AppError('not_signed_in', { cause: error })
    if (isUnavailable(error) || isConflict(error)) throw new AppError('database_unavailable', { cause: error })
    throw error
  }
}

/**
 * SQLSTATE classes of a server that cannot serve now: 08 connection, 28 login, 53 resources, 57 operator intervention
 * (shutdown, statement timeout), 55P03 lock timeout.
 */
const UNAVAILABLE_SQLSTATE = /^(08|28|53|57|55P03)/
/** What Node and pg say when the connection itself fails: these errors carry no SQLSTATE. */
const CONNECTION_FAILURE = /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH)$/
const CONNECTION_LOST_MESSAGE =
  /timeout exceeded when trying to connect|connection terminated|query read timeout|not queryable/i

/** Whether the database is at fault and not the statement: trying again may help. */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.some(isUnavailable)
  if (!(error instanceof Error) || error instanceof AppError) return false
  if (UNAVAILABLE_SQLSTATE.test(databaseError(error).sqlState)) return true
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  return CONNECTION_FAILURE.test(code) || CONNECTION_LOST_MESSAGE.test(error.message) || isUnavailable(error.cause)
}

/** Whether Postgres gave this transaction up for another: 40001 serialization failure, 40P01 deadlock detected. */
export function isConflict(error: unknown): boolean {
  return /^40(001|P01)$/.test(databaseError(error).sqlState)
}

/** 55P03: somebody else held a lock for too long. */
export function isLockTimeout(error: unknown): boolean {
  return databaseError(error).sqlState === '55P03'
}

/** 57014: the statement took longer than it may. */
export function isStatementTimeout(error: unknown): boolean {
  return databaseError(error).sqlState === '57014'
}

/** 22023 invalid parameter value: a time zone, say. */
export function isInvalidParameter(error: unknown): boolean {
  return databaseError(error).sqlState === '22023'
}

/** 23503 foreign key violation: a row was to refer to a user, or to an account, that is there no more. */
function isUserGone(error: unknown): boolean {
  const { sqlState, constraint } = databaseError(error)
  return sqlState === '23503' && constraint.endsWith('_user_id_fkey')
}

/** What Postgres says of an error, or of its cause: tRPC wraps what a procedure throws. */
function databaseError(error: unknown): { sqlState: string; constraint: string } {
  if (!(error instanceof Error) || error instanceof AppError) return { sqlState: '', constraint: '' }
  const { code, constraint } = error as { code?: unknown; constraint?: unknown }
  if (typeof code !== 'string' || !/^[0-9A-Z]{5}$/.test(code)) return databaseError(error.cause)
  return { sqlState: code, constraint: String(constraint ?? '') }
}
