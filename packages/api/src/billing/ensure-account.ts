import { sql } from 'kysely'
import { originOf } from '../audit/record.ts'
import { AppError } from '../errors.ts'
import { storableEmail } from '../members/storable-email.ts'
import type { Scope } from '../scope.ts'
import { type FreeCreditsDecision, UNDECIDED } from './free-credits.ts'
import { lockAccount } from './lock-account.ts'

/**
 * Creates the billing account on the plan `free` if it does not exist, and locks its row until the transaction ends. A
 * concurrent call for the same account waits for that lock. If nothing is decided about the account's free credits yet,
 * `freeCredits` decides.
 *
 * @throws AppError `not_signed_in` if the user is being deleted.
 */
export async function ensureAccount(scope: Scope, { mailboxHash, refusal }: FreeCreditsDecision = UNDECIDED): Promise<void> {
  const { userId, member } = scope
  // The operator can act before the customer opens the dashboard. The user with the id of the account then becomes its owner.
  const [owner, email] = [member?.id ?? userId, storableEmail(member?.email)]
  await sql`select keymeter.create_account(${userId}, ${owner}, ${email}, ${mailboxHash}, ${refusal}, ${originOf(scope)})`.execute(
    scope.db,
  )
  if (!(await lockAccount(scope))) throw new AppError('not_signed_in')
}

/** Returns true if the account exists and its free credits are decided, so that the auth server need not be asked. */
export async function isAccountDecided({ db, userId }: Scope): Promise<boolean> {
  const account = await db
    .selectFrom('billing_accounts')
    .select('free_credits_refusal')
    .where('user_id', '=', userId)
    .executeTakeFirst()
  return account !== undefined && account.free_credits_refusal !== 'not_confirmed'
}
