import type { Scope } from '../scope.ts'
import { announceUsage } from '../usage/announcements.ts'
import type { UsageWatch } from '../usage/watch.ts'

/**
 * Tells all processes, with the commit of the transaction, that the members of the account have changed. They read the members
 * again, and end the streams of removed members. The streams of this process end even if announcements do not arrive.
 */
export async function announceMembers({ db, userId }: Scope, usageWatch: UsageWatch): Promise<void> {
  await announceUsage(db, [userId])
  setTimeout(() => usageWatch.refresh([userId]), REREAD_MS)
}

/** The transaction is committed by then. */
const REREAD_MS = 200
