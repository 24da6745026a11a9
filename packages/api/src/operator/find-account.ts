import { withAsciiDomain } from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import { sql } from 'kysely'
import { z } from 'zod'
import { AppError } from '../errors.ts'
import { IS_LAST_KNOWN_MEMBER } from './address-of-account.ts'

/** An error names at most this number of accounts. */
const NAMED_MAX = 10

/**
 * Finds an account by its id, or by the id or the e-mail address of one of its members, and returns its id. A deleted account is found
 * by an address only if its last members belong to no other account. If the user belongs to no account, returns the id of the user: the
 * account perhaps does not exist yet. `db` must be the handle of the database's owner, which sees all users.
 *
 * @throws AppError `account_not_found` if nothing matches, or if more than one account matches.
 */
export async function findAccount(db: Db, idOrEmail: string): Promise<string> {
  const { data: id } = z.guid().toLowerCase().safeParse(idOrEmail)
  if (id !== undefined && (await isAccount(db, id))) return id
  const { rows: users } = await sql<{ id: string }>`
    select id from auth.users where ${
      id !== undefined ? sql`id = ${id}::uuid` : sql`lower(email) = lower(${withAsciiDomain(idOrEmail)})`
    } limit ${NAMED_MAX}`.execute(db)
  const [user] = users
  if (user === undefined) throw notFound(`There is no account ${idOrEmail}.`)
  const { rows: accounts } = await sql<{ id: string; isClosed: boolean }>`
    select members.user_id as id, bool_or(accounts.closed_at is not null) as "isClosed"
      from account_members as members join billing_accounts as accounts on accounts.user_id = members.user_id
     where members.member_id = any(${users.map((one) => one.id)}::uuid[]) and ${IS_LAST_KNOWN_MEMBER}
     group by members.user_id order by min(members.created_at), members.user_id`.execute(db)
  const open = accounts.filter(({ isClosed }) => !isClosed)
  const candidates = open.length > 0 ? open : accounts.length > 0 ? accounts : users
  const [found] = candidates
  if (found !== undefined && candidates.length === 1) return found.id
  const ids = candidates.slice(0, NAMED_MAX).map((one) => one.id)
  throw notFound(`${idOrEmail} belongs to more than one account. Use an id: ${ids.join(' or ')}.`)
}

async function isAccount(db: Db, id: string): Promise<boolean> {
  const account = await db.selectFrom('billing_accounts').select('user_id').where('user_id', '=', id).executeTakeFirst()
  return account !== undefined
}

function notFound(message: string): AppError {
  return new AppError('account_not_found', { message })
}
