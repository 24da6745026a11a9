import type { Db } from '@keymeter/db'
import { sql } from 'kysely'
import { AppError } from '../errors.ts'

/**
 * Finds a user by the id or the e-mail address, and returns the id, which is also the id of the user's account. The account
 * perhaps does not exist yet. `db` must be the handle of the database's owner, which sees all users.
 *
 * @throws AppError `account_not_found` if no user matches, or if more than one matches.
 */
export async function findAccount(db: Db, idOrEmail: string): Promise<string> {
  const { rows } = await sql<{ id: string }>`
    select id from auth.users as users where id::text = lower(${idOrEmail}) or lower(email) = lower(${idOrEmail})`.execute(db)
  const [user] = rows
  if (user === undefined) throw notFound(`There is no account ${idOrEmail}.`)
  if (rows.length > 1)
    throw notFound(`More than one account has the address ${idOrEmail}. Use an id: ${rows.map(({ id }) => id).join(' or ')}.`)
  return user.id
}

function notFound(message: string): AppError {
  return new AppError('account_not_found', { message })
}
