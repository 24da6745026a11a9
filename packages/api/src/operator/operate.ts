import type { BillingAccount } from '@keymeter/contract'
import { getAccount } from '../billing/get-account.ts'
import { lockAccount } from '../billing/lock-account.ts'
import type { Context } from '../context.ts'
import { AppError } from '../errors.ts'
import { inAccount, type Scope } from '../scope.ts'
import { announceUsage } from '../usage/announcements.ts'

/**
 * Runs an operator's `operation` on one account. Only these operations take the account from their input, because the service
 * key may act for every account. The account is locked first. Its watchers get a snapshot after the commit.
 *
 * @returns The result of `operation`, and the changed account.
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
    // Unlike that of a charge, this announcement is part of the transaction. It locks other commits, but these calls are rare.
    await announceUsage(scope.db, [accountId])
    return { result, account }
  })
}
