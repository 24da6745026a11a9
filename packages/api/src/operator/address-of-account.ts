import { type RawBuilder, sql } from 'kysely'

/**
 * The condition that a row of `members` is a member, or was one when the account was deleted. So a deleted account is still found by
 * the addresses of its last members. Members who were removed earlier do not count.
 */
export const IS_LAST_KNOWN_MEMBER = sql<boolean>`
  (members.role is not null
   or members.removed_at = (select closed_at from billing_accounts as closed where closed.user_id = members.user_id))`

/**
 * Returns the SQL expression for the present address of the first owner of an account. If the account has no owner, e.g. because it was
 * deleted, it is the address of the first member. It is null if the account has no member. The subqueries are scalar, so Postgres looks
 * up each row by a primary key.
 */
export function addressOfAccount(account: RawBuilder<string>): RawBuilder<string | null> {
  return sql`
    (select (select email from auth.users where id = members.member_id)
       from account_members as members
      where members.user_id = ${account} and ${IS_LAST_KNOWN_MEMBER}
      order by members.role is distinct from 'owner', members.created_at, members.member_id limit 1)`
}
