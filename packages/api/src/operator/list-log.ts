import type { ListOperatorLog, OperatorLogEntry } from '@keymeter/contract'
import type { Db } from '@keymeter/db'

/**
 * Returns the newest entries of the operator's log. The primary key and `operator_log_account_idx` contain the entries in this
 * order, so the query reads only the entries that it returns.
 */
export async function listOperatorLog(db: Db, { accountId, limit }: ListOperatorLog): Promise<OperatorLogEntry[]> {
  const rows = await db
    .selectFrom('operator_log')
    .select([
      'created_at as createdAt',
      'request_id as requestId',
      'command',
      'user_id as accountId',
      'search',
      'os_user as osUser',
      'database_user as databaseUser',
    ])
    .$if(accountId !== undefined, (entries) => entries.where('user_id', '=', accountId ?? null))
    .orderBy('created_at', 'desc')
    .orderBy('request_id', 'desc')
    .limit(limit)
    .execute()
  return rows.map(({ createdAt, ...entry }) => ({ createdAt: createdAt.toISOString(), ...entry }))
}
