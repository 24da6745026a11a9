import type { Db } from '@keymeter/db'
import { sql } from 'kysely'
import { type Finding, fault, listed, ok } from './finding.ts'

/** The maximum number of accounts without an owner that the check counts. */
const COUNTED_MAX = 1_000

/**
 * Finds accounts that nobody owns. Only the deletion of a user in Supabase can leave such an account. Accounts that were deleted have no
 * members and do not count.
 */
export async function checkOwners(db: Db): Promise<Finding> {
  const { rows } = await sql<{ id: string }>`
    select user_id as id from billing_accounts as accounts
     where closed_at is null
       and not exists (select from account_members as members where members.user_id = accounts.user_id and members.role = 'owner')
     order by created_at, user_id limit ${COUNTED_MAX + 1}`.execute(db)
  if (rows.length === 0) return ok('owners', 'Every account has an owner.')
  const count = rows.length > COUNTED_MAX ? `More than ${COUNTED_MAX}` : `${rows.length}`
  const ids = listed(rows.slice(0, COUNTED_MAX).map(({ id }) => id))
  return fault(
    'owners',
    `${count} ${rows.length === 1 ? 'account has' : 'accounts have'} no owner: ${ids}.`,
    'keymeter add-owner <account> <address>, or keymeter close-account <account>',
  )
}
