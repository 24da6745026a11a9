import type { DB } from '@keymeter/db'
import { sql, type Transaction } from 'kysely'

/**
 * Adds an entry to the operator's log. `db` must be the transaction that reads the data, so that nobody sees data without an entry.
 *
 * @param command is the name of the command, e.g. `usage`.
 * @param account is the id of the account whose data was read. Null if it can be data of several accounts.
 * @param search is what was searched for. It must not contain a secret.
 */
export async function recordOperatorRead(
  db: Transaction<DB>,
  { osUser, requestId }: { osUser: string; requestId: string },
  { command, account, search }: { command: string; account: string | null; search: string | null },
): Promise<void> {
  await sql`select keymeter.record_operator_read(${command}, ${account}, ${search}, ${osUser}, ${requestId})`.execute(db)
}
