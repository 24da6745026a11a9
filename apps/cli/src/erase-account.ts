import { eraseAccount, findAccount, type OperatorCall } from '@keymeter/api/server'
import type { CommandResult } from './command-result.ts'
import { type Confirm, isConfirmed, UNCHANGED } from './is-confirmed.ts'

/**
 * Erases the data of a deleted account.
 *
 * @param onProgress receives the number of rows that are deleted so far.
 */
export async function eraseClosedAccount(
  call: OperatorCall,
  account: string,
  { withAudit, yes }: { withAudit?: true; yes?: true },
  confirm: Confirm,
  onProgress: (rows: number) => void,
): Promise<CommandResult> {
  const accountId = await findAccount(call.db, account)
  const what = withAudit === true ? 'with its audit log' : 'except its audit log'
  const question = `All data of account ${accountId}, ${what}, is erased: usage, keys, ledger and members. This cannot be undone. Erase it?`
  if (!(await isConfirmed(question, yes, confirm))) return { json: { accountId, rows: 0 }, text: UNCHANGED, isOk: false }
  const { rows, audit } = await eraseAccount(call, accountId, { withAudit: withAudit === true, report: onProgress })
  const chain = `Its audit log has ${audit.entries} entries. The last one has the hash ${audit.head}.`
  const rest = audit.isErased
    ? `${chain} It is erased too. The operator’s log keeps this hash.`
    : `${chain} It stays: "keymeter verify-audit" verifies it, and --with-audit erases it.`
  return { json: { accountId, rows, audit }, text: `Erased ${rows} rows of account ${accountId}.\n${rest}`, isOk: true }
}
