import { type DB, type Db, isConflict, isReadOnly, isUnavailable, violatedForeignKey } from '@keymeter/db'
import { sql, type Transaction } from 'kysely'
import type { Logger } from 'pino'
import type { AccountQueue, WaitOptions } from './account-queue.ts'
import { AppError } from './errors.ts'

/**
 * The first argument of an operation on one account. An operation can access the database only through this argument. For a
 * signed-in user, `userId` comes from the verified access token, and never from the input. Only the operator's procedures and
 * commands take the account from their input, because the operator can act for every account.
 */
export interface Scope extends CallOrigin {
  db: Transaction<DB>
  userId: string
  log: Logger
  keyBrand: string
}

/**
 * Where a call came from, for the audit log. `clientAddress` and `userAgent` are null if the network or the client did not
 * provide them.
 */
export interface CallOrigin {
  requestId: string
  clientAddress: string | null
  userAgent: string | null
}

/** All queries of a `read only` call see the same snapshot, so their numbers are consistent. */
type AccessMode = 'read only' | 'read write'

type Call = Omit<Scope, 'db'> & { db: Db }

/**
 * Waits for the turn of the account (`AccountQueue`). Then runs `operation` in one transaction that can see and change only the
 * rows of `userId`. The policies of row level security compare each row with the setting `app.user_id`. The setting ends with
 * the transaction, so a pooled connection never keeps it. The function returns after the commit. If `operation` throws, the
 * transaction is rolled back.
 *
 * @throws AppError `database_unavailable` if Postgres cannot be reached, shuts down, accepts no writes, exceeds a timeout or
 *   detects a deadlock.
 * @throws AppError `account_busy` if the account has too many calls in progress.
 * @throws AppError `not_signed_in` if the user was deleted after the access token was issued.
 */
export async function inAccount<T>(
  { accountCalls, ...call }: Call & { accountCalls: AccountQueue },
  accessMode: AccessMode,
  operation: (scope: Scope) => Promise<T>,
  options: WaitOptions = {},
): Promise<T> {
  return await accountCalls.run(call.userId, () => inAccountWithoutTurn(call, accessMode, operation), options)
}

/** Like `inAccount`, but does not wait for the turn of the account. Something else must limit the number of such calls. */
export async function inAccountWithoutTurn<T>(
  { db, ...call }: Call,
  accessMode: AccessMode,
  operation: (scope: Scope) => Promise<T>,
): Promise<T> {
  let failure: unknown
  try {
    const transaction = db.transaction()
    // A `read write` call does not set the access mode, because the mode would override `default_transaction_read_only`. An
    // operator sets it to stop all writes, and Supabase sets it when the disk is full.
    return await (accessMode === 'read only' ? transaction.setAccessMode(accessMode) : transaction)
      .setIsolationLevel(accessMode === 'read only' ? 'repeatable read' : 'read committed')
      .execute(async (transaction) => {
        // A call reads few rows of one account by an index, which takes less time than starting parallel workers. The rows are
        // close together and mostly in memory, so reading them by an index is cheaper than the default `random_page_cost` of 4
        // suggests. With this default, Postgres scans the whole table if most of its rows belong to one account.
        await sql`select set_config('app.user_id', ${call.userId}, true),
                         set_config('max_parallel_workers_per_gather', '0', true), set_config('random_page_cost', '1.1', true)`.execute(
          transaction,
        )
        try {
          return await operation({ ...call, db: transaction })
        } catch (error) {
          failure = error
          throw error
        }
      })
  } catch (last) {
    // If the session has ended, the rollback fails too. The error of the operation explains the reason.
    const error = failure ?? last
    if (error instanceof AppError) throw error
    // The user was deleted during the call (billing/lock-account.ts), so a new row refers to a user or an account that no
    // longer exists.
    if (violatedForeignKey(error)?.endsWith('_user_id_fkey')) throw new AppError('not_signed_in', { cause: error })
    // A write in a read-only call is a bug in our code, so the error must not become `database_unavailable`.
    if (accessMode === 'read only' && isReadOnly(error)) throw error
    if (isUnavailable(error) || isConflict(error)) throw new AppError('database_unavailable', { cause: error })
    throw error
  }
}
