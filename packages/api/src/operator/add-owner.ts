import { MEMBERS_MAX, withAsciiDomain } from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import { sql } from 'kysely'
import { originOf } from '../audit/record.ts'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'

export interface NewOwner {
  id: string
  email: string
}

/**
 * Finds the user with a confirmed address, who can become an owner. `db` must be the handle of the database's owner.
 *
 * @throws AppError `bad_request` if no user, or more than one user, has confirmed the address.
 */
export async function findNewOwner(db: Db, address: string): Promise<NewOwner> {
  const { rows } = await sql<NewOwner>`
    select id, email from auth.users
     where lower(email) = lower(${withAsciiDomain(address.trim())}) and email_confirmed_at is not null limit 2`.execute(db)
  const [user] = rows
  if (user !== undefined && rows.length === 1) return user
  const message =
    rows.length === 0
      ? `No user has confirmed the address ${address}: the person must first sign up and confirm it.`
      : `More than one user has the address ${address}: delete one of them in Supabase first.`
  throw new AppError('bad_request', { message })
}

/**
 * Makes a user an owner of the account, in the name of the operator, and adds an entry to the audit log (keymeter.add_owner). It repairs
 * an account whose last owner was deleted in Supabase.
 *
 * @returns False if the user already is an owner.
 * @throws AppError `account_closed`, `account_not_found`, and `bad_request` if the account has the maximum number of members.
 */
export async function addOwner(scope: Scope, { id, email }: NewOwner): Promise<boolean> {
  const { rows } = await sql<{ outcome: string }>`
    select keymeter.add_owner(${scope.userId}, ${id}, ${email}, ${originOf(scope)}) as outcome`.execute(scope.db)
  const outcome = rows[0]?.outcome
  if (outcome === 'closed') throw new AppError('account_closed')
  if (outcome === 'too_many')
    throw new AppError('bad_request', { message: `This account has ${MEMBERS_MAX} members: choose one of them as the owner.` })
  if (outcome === 'account_not_found') throw new AppError('account_not_found')
  return outcome === 'added'
}
