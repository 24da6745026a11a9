import { type DB, type Db, isConflict, isReadOnly, isUnavailable, violatedForeignKey } from '@keymeter/db'
import { sql, type Transaction } from 'kysely'
import type { Logger } from 'pino'
import { AppError } from './errors.ts'

/**
 * The first argument of an operation on one account, and its only way to the database. The account comes from the caller's
 * verified token, never from input.
 */
export interface Scope extends CallOrigin {
  db: Transaction<DB>
  userId: string
  log: Logger
  keyBrand: string
}

/** Where a call came from, for the audit log. The network or the client may not provide an address or a user agent. */
export interface CallOrigin {
  requestId: string
  clientAddress: string | null
  userAgent: string | null
}

/** All queries of a `read only` call see the same snapshot, so that their numbers add up. */
type AccessMode = 'read only' | 'read write'

/**
 * Runs `operation` in one transaction that sees and changes only the rows of `userId`. Row level security reads the setting
 * `app.user_id`, which ends with the transaction, so a pooled connection never keeps it. Returns after the commit. When
 * `operation` throws, the transaction is rolled back.
 *
 * @throws AppError `database_unavailable` when Postgres cannot be reached, shuts down, accepts no writes, exceeds a timeout
 * or detects a deadlock.
 * @throws AppError `not_signed_in` when the user was deleted after the token was issued.
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
        // A call reads few rows of one account by an index, which takes less time than starting parallel workers. These rows
        // are close together and mostly in memory: with the default cost of 4, Postgres scans a whole table when most of it
        // belongs to one account.
        await sql`select set_config('app.user_id', ${call.userId}, true),
                         set_config('max_parallel_workers_per_gather', '0', true), set_config('random_page_cost', '1.1', true)`.execute(
          transaction,
        )
        return await operation({ ...call, db: transaction })
      })
  } catch (error) {
    if (error instanceof AppError) throw error
    // The user is deleted during the call (billing/lock-account.ts), so a new row cannot refer to the user or the account.
    if (violatedForeignKey(error)?.endsWith('_user_id_fkey')) throw new AppError('not_signed_in', { cause: error })
    // A write in a read-only call is a bug of ours.
    if (accessMode === 'read only' && isReadOnly(error)) throw error
    if (isUnavailable(error) || isConflict(error)) throw new AppError('database_unavailable', { cause: error })
    throw error
  }
}
