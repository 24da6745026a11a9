import type { DB } from '@keymeter/db'
import { sql, type Transaction } from 'kysely'
import type { Context } from '../context.ts'
import type { Scope } from '../scope.ts'
import { recordOperatorRead } from './record-operator-read.ts'

/** A call by the operator's staff. `db` must be the handle of the database's owner, which sees all accounts. */
export interface OperatorCall
  extends Pick<Context, 'db' | 'log' | 'keyBrand' | 'requestId' | 'clientAddress' | 'userAgent' | 'accountCalls'> {
  /** The user of the operating system, for the operator's log. */
  osUser: string
}

export interface OperatorRead<T> {
  result: T
  /** The id of the account whose data the result contains. Null if the result can contain data of several accounts. */
  account: string | null
  /** What was searched for. It must not contain a secret. */
  search: string | null
  /**
   * False if the caller shows nothing of the result and continues to search, e.g. after an empty page. Then there is no entry in the
   * operator's log. The default is true.
   */
  isShown?: boolean
}

/**
 * Reads data of customers, and adds an entry to the operator's log in the same transaction. The result is returned only after the
 * commit, so nobody sees data without an entry. All queries of `read` see the same snapshot. If `read` throws, nothing was shown,
 * and there is no entry.
 *
 * @param command is the name of the command, e.g. `usage`.
 * @param read receives a function that returns the scope of one account.
 */
export async function readAsOperator<T>(
  { db, osUser, accountCalls: _, ...call }: OperatorCall,
  command: string,
  read: (db: Transaction<DB>, scopeOf: (accountId: string) => Scope) => Promise<OperatorRead<T>>,
): Promise<T> {
  return await db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (transaction) => {
      // `inAccount` explains these settings.
      await sql`select set_config('max_parallel_workers_per_gather', '0', true), set_config('random_page_cost', '1.1', true)`.execute(
        transaction,
      )
      const {
        result,
        isShown = true,
        ...found
      } = await read(transaction, (userId) => ({ ...call, userId, member: null, db: transaction }))
      if (isShown) await recordOperatorRead(transaction, { ...call, osUser }, { command, ...found })
      return result
    })
}
