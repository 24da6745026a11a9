import type { BillingAccount } from '@keymeter/contract'
import type { Scope } from '../scope.ts'
import { operate } from './operate.ts'
import type { OperatorCall } from './read-as-operator.ts'
import { recordOperatorRead } from './record-operator-read.ts'

/**
 * Changes an account like `operate`. The result contains the account, also if the operation changed nothing and so added no entry to
 * the audit log. Therefore the transaction also adds an entry to the operator's log.
 *
 * @param command is the name of the command, e.g. `suspend`.
 * @throws AppError like `operate`.
 */
export async function changeAsOperator<T>(
  call: OperatorCall,
  command: string,
  accountId: string,
  operation: (scope: Scope) => Promise<T>,
): Promise<{ result: T; account: BillingAccount }> {
  return await operate(call, accountId, async (scope) => {
    const result = await operation(scope)
    await recordOperatorRead(scope.db, call, { command, account: accountId, search: null })
    return result
  })
}
