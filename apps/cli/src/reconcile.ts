import { findAccount, reconcile } from '@keymeter/api/server'
import type { Db } from '@keymeter/db'
import type { CommandResult } from './command-result.ts'

/**
 * Compares all stored totals with the usage events, and reports each difference.
 *
 * @param account is the id of the account or the e-mail address of a member. Without it, the command checks all accounts.
 * @param onCheck receives the name of each check before the check runs.
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
  lines.push(isOk ? 'All totals agree with the usage events.' : `${differences.length} differences.`)
  return { json: { differences }, text: lines.join('\n'), isOk }
}
