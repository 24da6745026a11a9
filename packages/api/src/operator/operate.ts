import type { BillingAccount } from '@keymeter/contract'
import { getAccount } from '../billing/get-account.ts'
import { lockAccount } from '../billing/lock-account.ts'
import type { Context } from '../context.ts'
import { AppError } from '../errors.ts'
import { inAccount, type Scope } from '../scope.ts'
import { announceUsage } from '../usage/announcements.ts'

/**
 * Runs `operation`, a change by the operator, on one account. The input names the account, because the operator can act for
 * every account. The account is locked before `operation` starts. After the commit, the open streams of the account get a new
 * snapshot. The streams of this process get it even if announcements do not arrive.
 *
 * @returns The result of `operation`, and the changed account.
 * @throws AppError `account_not_found`.
 */
export async function operate<T>(
  {
    usageWatch,
    ...call
  }: Pick<Context, 'db' | 'log' | 'keyBrand' | 'requestId' | 'clientAddress' | 'userAgent' | 'accountCalls'> &
    Partial<Pick<Context, 'usageWatch'>>,
  accountId: string,
  operation: (scope: Scope) => Promise<T>,
): Promise<{ result: T; account: BillingAccount }> {
  const operated = await inAccount({ ...call, userId: accountId }, 'read write', async (scope) => {
    if (!(await lockAccount(scope))) throw new AppError('account_not_found', { field: 'accountId' })
    const result = await operation(scope)
    const account = await getAccount(scope)
    if (account === null) throw new Error('the account disappeared while it was locked')
    // This announcement is part of the transaction, unlike the announcement of a charge. Its lock delays other commits, but
    // calls by the operator are rare.
    await announceUsage(scope.db, [accountId])
    return { result, account }
  })
  usageWatch?.refresh([accountId])
  return operated
}
