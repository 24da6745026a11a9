import { findAccount, reconcile } from '@keymeter/api/server'
import type { Db } from '@keymeter/db'
import type { CommandResult } from './command-result.ts'

/**
 * @param account its id or its user's e-mail address. Without it, all accounts are checked.
 * @param onCheck receives the name of each check before it runs.
 */
export async function reconcileUsage(
  db: Db,
  account: string | undefined,
  onCheck: (name: string) => void,
): Promise<CommandResult> {
  const accounts = account === undefined ? {} : { userIds: [await findAccount(db, account)] }
  const differences = await reconcile(db, { ...accounts, onCheck })
  const isOk = differences.length === 0
  const lines = differences.map(
    ({ userId, what, subject, stored, expected }) =>
      `Account ${userId}: ${what}, ${subject}: ${stored} is stored, ${expected} is expected.`,
  )
  lines.push(isOk ? 'Everything agrees.' : `${differences.length} differences.`)
  return { json: { differences }, text: lines.join('\n'), isOk }
}
