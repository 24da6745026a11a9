import { withAsciiDomain } from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import { sql } from 'kysely'
import { AppError } from '../errors.ts'

/**
 * Finds an account by its id or by the e-mail address of its user, and returns its id. `db` must be the handle of the
 * database's owner, which sees all accounts.
 *
 * @throws AppError `account_not_found` if no account matches, or if more than one matches.
 */
export async function findAccount(db: Db, idOrEmail: string): Promise<string> {
  const { rows } = await sql<{ id: string; isProvisioned: boolean }>`
    select id, exists (select from billing_accounts where user_id = users.id) as "isProvisioned"
      from auth.users as users where id::text = lower(${idOrEmail}) or lower(email) = lower(${withAsciiDomain(idOrEmail)})`.execute(
    db,
  )
  const [user] = rows
  if (user === undefined) throw notFound(`There is no account ${idOrEmail}.`)
  if (rows.length > 1)
    throw notFound(`More than one account has the address ${idOrEmail}. Use an id: ${rows.map(({ id }) => id).join(' or ')}.`)
  if (!user.isProvisioned) throw notFound(`${idOrEmail} has no account yet. It is created when this user opens the dashboard.`)
  return user.id
}

function notFound(message: string): AppError {
  return new AppError('account_not_found', { message })
}
