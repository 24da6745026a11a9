import type { GrantTopUp } from '@keymeter/contract'
import { sql } from 'kysely'
import { originOf } from '../audit/record.ts'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'

/**
 * Adds credits that the account keeps when the cycle ends, and an entry to the audit log. A retry with the same idempotency key
 * adds nothing.
 *
 * @throws AppError `idempotency_key_reused` if an earlier grant with this idempotency key granted another number of credits, or if a
 *   request that took a top-up back has used it.
 * @throws AppError `account_closed`, but a retry of a grant before the deletion gets its original answer.
 * @throws AppError `bad_request` if the account would have more than 2^53 - 1 credits.
 */
export async function grantTopUp(
  scope: Scope,
  { credits, idempotencyKey, note }: Omit<GrantTopUp, 'accountId'>,
): Promise<{ grantedAt: Date; replayed: boolean }> {
  const { rows } = await sql<{
    is_replayed: boolean
    is_conflict: boolean
    is_too_much: boolean
    is_closed: boolean
    created_at: Date
  }>`
    select * from keymeter.grant_top_up(${scope.userId}, ${credits}, ${idempotencyKey}, ${note}, ${originOf(scope)})`.execute(
    scope.db,
  )
  const [entry] = rows
  if (entry === undefined) throw new AppError('account_not_found', { field: 'accountId' })
  if (entry.is_conflict) throw new AppError('idempotency_key_reused', { field: 'idempotencyKey' })
  if (entry.is_closed) throw new AppError('account_closed', { field: 'accountId' })
  if (entry.is_too_much) {
    const message = 'The account would have more credits than the maximum. Grant fewer credits.'
    throw new AppError('bad_request', { field: 'credits', message })
  }
  return { grantedAt: entry.created_at, replayed: entry.is_replayed }
}
