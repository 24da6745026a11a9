import type { TakeBackTopUp } from '@keymeter/contract'
import { sql } from 'kysely'
import { originOf } from '../audit/record.ts'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'

interface TakenBack {
  takenBackAt: Date
  creditsTakenBack: number
  /** The credits that could not be taken back, because they are spent or held. */
  creditsSpent: number
  replayed: boolean
}

/**
 * Takes back what is left of a top-up, and adds an entry to the audit log. A retry with the same idempotency key takes nothing
 * back, and returns the numbers of the original call.
 *
 * @throws AppError `top_up_not_found` if no top-up of the account was granted with `topUpIdempotencyKey`.
 * @throws AppError `idempotency_key_reused` if the idempotency key was used for another request.
 */
export async function takeBackTopUp(
  scope: Scope,
  { topUpIdempotencyKey, credits, idempotencyKey, note }: Omit<TakeBackTopUp, 'accountId'>,
): Promise<TakenBack> {
  const { rows } = await sql<TakenBack & { isConflict: boolean }>`
    select created_at as "takenBackAt", credits_taken_back as "creditsTakenBack", credits_spent as "creditsSpent",
           is_replayed as replayed, is_conflict as "isConflict"
      from keymeter.take_back_top_up(
        ${scope.userId}, ${topUpIdempotencyKey}, ${credits}, ${idempotencyKey}, ${note}, ${originOf(scope)})`.execute(scope.db)
  const [entry] = rows
  if (entry === undefined) throw new AppError('top_up_not_found', { field: 'topUpIdempotencyKey' })
  const { isConflict, ...takenBack } = entry
  if (isConflict) throw new AppError('idempotency_key_reused', { field: 'idempotencyKey' })
  return takenBack
}
