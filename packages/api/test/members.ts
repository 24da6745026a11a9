import type { MemberRole } from '@keymeter/contract'
import type { TestDatabase } from '@keymeter/local/testing'
import type { Context } from '../src/context.ts'
import { appRouter } from '../src/router.ts'
import { accessToken, contextOf, provisioned } from './caller.ts'

/** Returns a caller that acts on the account as the user. */
export async function actingOn(
  database: Pick<TestDatabase, 'db'>,
  accountId: string,
  userId: string,
  replace: Partial<Context> = {},
) {
  return appRouter.createCaller(contextOf(database, await accessToken(userId), { account: accountId, ...replace }))
}

/** Creates a user who is a member of the account. The caller acts on this account. */
export async function memberOf(database: TestDatabase, accountId: string, role: MemberRole) {
  const memberId = await database.createUser()
  await database.owner.query('insert into account_members (user_id, member_id, role, email) values ($1, $2, $3, $4)', [
    accountId,
    memberId,
    role,
    `${memberId}@example.com`,
  ])
  return { memberId, role, caller: await actingOn(database, accountId, memberId) }
}

/** Creates an account with two owners and a member with this role, and a key of the first owner and one of the member. */
export async function team(database: TestDatabase, role: MemberRole) {
  const { userId: accountId, caller: owner, defaultKey: ownersKey } = await provisioned(database)
  const second = await memberOf(database, accountId, 'owner')
  const member = await memberOf(database, accountId, role)
  const { rows } = await database.owner.query<{ id: string }>(
    "insert into api_keys (user_id, name, created_by) values ($1, 'of the member', $2) returning id",
    [accountId, member.memberId],
  )
  const membersKey = rows[0]?.id ?? ''
  await database.owner.query(
    "insert into api_key_secrets (user_id, api_key_id, key_hash, key_prefix) values ($1, $2, sha256($2::uuid::text::bytea), 'km_dev_member')",
    [accountId, membersKey],
  )
  return { accountId, owner, ownersKey: ownersKey.id, second, member, membersKey }
}
