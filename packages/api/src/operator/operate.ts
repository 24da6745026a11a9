import type { BillingAccount } from '@keymeter/contract'
import { getAccount } from '../billing/get-account.ts'
import { lockAccount } from '../billing/lock-account.ts'
import type { Context } from '../context.ts'
import { AppError } from '../errors.ts'
import { inAccount, type Scope } from '../scope.ts'
import { announceUsage } from '../usage/announcements.ts'

/**
 * What the operator does to one account: the only operations whose input names the account, since the service key speaks
 * for all of them. The account is locked first, and shown anew to whoever watches it.
 *
 * @returns what `operation` returned, and the account as it is afterwards.
 * @throws AppError `account_not_found`.
 */
export async function operate<T>(
  call: Pick<Context, 'db' | 'log' | 'keyBrand' | 'requestId' | 'clientAddress' | 'userAgent'>,
  accountId: string,
  operation: (scope: Scope) => Promise<T>,
): Promise<{ result: T; account: BillingAccount }> {
  return await inAccount({ ...call, userId: accountId }, 'read write', async (scope) => {
    if (!(await lockAccount(scope))) throw new AppError('account_not_found', { field: 'accountId' })
    const result = await operation(scope)
    const account = await getAccount(scope)
    if (account === null) throw new Error('an account that was locked is gone')
    // Unlike a charge's it goes with the commit: operators are few.
    await announceUsage(scope.db, [accountId])
    return { result, account }
  })
}
