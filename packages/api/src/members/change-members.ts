import type { Context } from '../context.ts'
import { inAccount, type Scope } from '../scope.ts'
import { announceUsage } from '../usage/announcements.ts'

/**
 * Runs `operation`, which can change the members of the account, in one transaction. With its commit, all processes read the members
 * again, and end the streams of removed members. The streams of this process end even if announcements do not arrive.
 *
 * @throws AppError like `inAccount`.
 */
export async function changeMembers<T>(
  call: Parameters<typeof inAccount>[0] & Pick<Context, 'usageWatch'>,
  operation: (scope: Scope) => Promise<T>,
): Promise<T> {
  const result = await inAccount(call, 'read write', async (scope) => {
    const done = await operation(scope)
    await announceUsage(scope.db, [scope.userId])
    return done
  })
  call.usageWatch.refresh([call.userId])
  return result
}
