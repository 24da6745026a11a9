import type { BillingAccount } from '@keymeter/contract'
import { ensureAccount } from '../billing/ensure-account.ts'
import { getAccount } from '../billing/get-account.ts'
import type { Context } from '../context.ts'
import { AppError } from '../errors.ts'
import { inAccount, type Scope } from '../scope.ts'
import { announceUsage } from '../usage/announcements.ts'

/**
 * Runs `operation`, a change by the operator, on one account. The input names the account, because the operator can act for
 * every account. The account is locked before `operation` starts. After the commit, the open streams of the account get a new
 * snapshot. The streams of this process get it even if announcements do not arrive.
 *
 * If the user has signed up but never opened the dashboard, this call creates the account, e.g. because the customer has paid
 * first. The first visit of the dashboard then decides about the free credits and creates the first key. The foreign key to
 * `auth.users` refuses an id that is not the id of a user. A database without this foreign key would accept every id.
 *
 * @returns The result of `operation`, and the changed account.
 * @throws AppError `account_not_found` if `accountId` is not the id of a user.
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
  const operated = await inAccount({ ...call, userId: accountId, by: null }, 'read write', async (scope) => {
    await ensureAccount(scope)
    const result = await operation(scope)
    const account = await getAccount(scope)
    if (account === null) throw new Error('the account disappeared while it was locked')
    // This announcement is part of the transaction, unlike the announcement of a charge. Its lock delays other commits, but
    // calls by the operator are rare.
    await announceUsage(scope.db, [accountId])
    return { result, account }
  }).catch((error: unknown) => {
    // The foreign key to the users refused the account, or the user is being deleted.
    if (!(error instanceof AppError) || error.reason !== 'not_signed_in') throw error
    throw new AppError('account_not_found', { field: 'accountId', cause: error })
  })
  usageWatch?.refresh([accountId])
  return operated
}
