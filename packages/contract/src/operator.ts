import { z } from 'zod'
import { BillingAccount, GivenCredits, Plan } from './billing.ts'
import { IdempotencyKey } from './idempotency-key.ts'
import { KeyId } from './keys.ts'
import { Credits, Output, Timestamp } from './output.ts'
import { writtenText } from './written-text.ts'

export const TOP_UP_NOTE_LENGTH_MAX = 200
/** The customer sees the note in the ledger and in the audit log. */
const TopUpNote = writtenText(TOP_UP_NOTE_LENGTH_MAX, 'Enter a note, or leave it out.')

/**
 * The id of an account is the id of its user. If the user has never opened the dashboard, the call creates the account.
 *
 * The id is converted to lower case, because it is hashed into the audit chain and compared with the ids of watched accounts.
 * The database also returns ids in lower case.
 */
const OfAccount = z.strictObject({ accountId: z.guid().toLowerCase() })

/**
 * Grants credits that the account keeps until they are spent. An idempotency key grants credits only once, without a time
 * limit.
 */
export const GrantTopUp = OfAccount.extend({
  credits: GivenCredits.min(1, 'Grant at least 1 credit.'),
  idempotencyKey: IdempotencyKey,
  note: TopUpNote.nullable().default(null),
})
export type GrantTopUp = z.infer<typeof GrantTopUp>
export const GrantTopUpOutput = Output.extend({
  /** The time of the grant. A replay returns the time of the original grant. */
  grantedAt: Timestamp,
  credits: Credits,
  replayed: z.boolean(),
  account: BillingAccount,
})

const TakenBackCredits = GivenCredits.min(1, 'Take back at least 1 credit.')

/**
 * Takes a top-up back, e.g. after a payment was reversed: `credits` of it, or all of it without `credits`. Takes back at most
 * what is left of the top-up. An idempotency key takes back only once, without a time limit.
 */
export const TakeBackTopUp = OfAccount.extend({
  /** The idempotency key that granted the top-up. */
  topUpIdempotencyKey: IdempotencyKey,
  credits: TakenBackCredits.nullable().default(null),
  idempotencyKey: IdempotencyKey,
  note: GrantTopUp.shape.note,
})
export type TakeBackTopUp = z.infer<typeof TakeBackTopUp>
/** A replay returns the numbers of the original call. */
export const TakeBackTopUpOutput = Output.extend({
  takenBackAt: Timestamp,
  creditsTakenBack: Credits,
  /**
   * The credits that could not be taken back, because they are spent or held. All top-ups of an account are one balance, and
   * the credits of the plan are spent first.
   */
  creditsSpent: Credits,
  replayed: z.boolean(),
  account: BillingAccount,
})

/** The plan `free` gives 0 credits to an account whose free credits were refused (`freeCreditsRefusal`). */
export const ChangePlan = OfAccount.extend({ plan: Plan })
export type ChangePlan = z.infer<typeof ChangePlan>
export const ChangePlanOutput = Output.extend({
  /**
   * The time from which the plan applies. A plan with fewer credits applies from the next cycle on. Any other plan applies
   * immediately, and the account gets the additional credits.
   */
  effectiveAt: Timestamp,
  account: BillingAccount,
})

export const SuspendAccount = OfAccount
export const OperatedAccountOutput = Output.extend({ account: BillingAccount })

export const REVOKE_REASON_LENGTH_MAX = 200

/** Revokes a key in the name of the operator. The customer sees the reason in the audit log. */
export const RevokeKeyOfCustomer = z.strictObject({
  keyId: KeyId.toLowerCase(),
  reason: writtenText(REVOKE_REASON_LENGTH_MAX, 'Enter a reason, or leave it out.').nullable().default(null),
})
export type RevokeKeyOfCustomer = z.infer<typeof RevokeKeyOfCustomer>
