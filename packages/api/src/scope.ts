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

type AccessMode = 'read only' | 'read write'

/**
 * Runs `operation` in one transaction that sees and changes the rows of `userId` alone: row level security reads
 * `app.user_id`, which ends with the transaction, so that a pooled connection never carries it on. Returns after the
 * commit; whatever `operation` throws rolls everything back.
 *
 * @throws AppError `database_unavailable` when Postgres cannot be reached, is shutting down or has no time.
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
      .execute(async (transaction) => {
        await sql`select set_config('app.user_id', ${call.userId}, true)`.execute(transaction)
        return await operation({ ...call, db: transaction })
      })
  } catch (error) {
    if (isUnavailable(error)) throw new AppError('database_unavailable', { cause: error })
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
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  if (UNAVAILABLE_SQLSTATE.test(code) || CONNECTION_FAILURE.test(code) || CONNECTION_LOST_MESSAGE.test(error.message))
    return true
  // tRPC wraps what a procedure throws.
  return isUnavailable(error.cause)
}
