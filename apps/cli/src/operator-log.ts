import { findAccount, listOperatorLog } from '@keymeter/api/server'
import { ListOperatorLog, type OperatorLogEntry } from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import type { CommandResult } from './command-result.ts'
import { type Column, formatTable } from './format-table.ts'

const COLUMNS: Column<OperatorLogEntry>[] = [
  { title: 'TIME', value: ({ createdAt }) => createdAt },
  { title: 'USER', value: ({ osUser }) => osUser, widthMax: 20 },
  { title: 'DATABASE USER', value: ({ databaseUser }) => databaseUser, widthMax: 20 },
  { title: 'COMMAND', value: ({ command }) => command },
  { title: 'ACCOUNT', value: ({ accountId }) => accountId },
  { title: 'SEARCH', value: ({ search }) => search, widthMax: 40 },
]

export async function showOperatorLog(
  db: Db,
  { account, limit }: { account?: string; limit?: number },
): Promise<CommandResult> {
  const accountId = account === undefined ? undefined : await findAccount(db, account)
  const entries = await listOperatorLog(db, ListOperatorLog.parse({ accountId, limit }))
  return {
    json: { entries },
    text: entries.length === 0 ? 'The operator’s log has no such entry.' : formatTable(COLUMNS, entries),
    isOk: true,
  }
}
