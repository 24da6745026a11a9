import { type AccountToDelete, MemberRole } from '@keymeter/contract'
import { sql } from 'kysely'
import type { PersonScope } from '../scope.ts'

type Row = Omit<AccountToDelete, 'role' | 'consequences'> & NonNullable<AccountToDelete['consequences']> & { role: string }

/**
 * Returns the accounts of the person, at most `MEMBERS_MAX`, and what their deletion would end. One statement reads them, so the numbers
 * of an account belong together. A person who has not given the second factor that an account needs learns nothing about what is in it.
 */
export async function getDeletion({ db, caller }: PersonScope): Promise<AccountToDelete[]> {
  const { rows } = await sql<Row>`
    select account as id, name, owner as "ownerEmail", role, needs_second_factor as "requiresSecondFactor",
           is_last_owner as "isLastOwner", other_members as "otherMembers", live_keys as "liveKeys",
           least(coalesce(credits_left, 0), ${Number.MAX_SAFE_INTEGER}::bigint) as "creditsRemaining", coalesce(credits_held, 0) as "creditsHeld"
      from keymeter.deletion_of_member()`.execute(db)
  return rows.map(({ role, otherMembers, liveKeys, creditsRemaining, creditsHeld, ...account }) => ({
    ...account,
    role: MemberRole.parse(role),
    consequences:
      account.requiresSecondFactor && !caller.isSecondFactor ? null : { otherMembers, liveKeys, creditsRemaining, creditsHeld },
  }))
}
