import { z } from 'zod'
import { Answer, Credits, isPlainText, NOT_PLAIN_TEXT, Timestamp } from './answer.ts'
import { BillingAccount, GivenCredits, Plan } from './billing.ts'
import { IdempotencyKey } from './metering.ts'

export const TOP_UP_NOTE_LENGTH_MAX = 200

/** In the one spelling that the database has: it goes into the audit chain, and names the account to those who watch it. */
const OfAccount = z.strictObject({ accountId: z.guid().toLowerCase() })

/** Credits that the account keeps until they are spent. The same idempotency key grants once, for good. */
export const GrantTopUp = OfAccount.extend({
  credits: GivenCredits.min(1, 'Grant at least 1 credit.'),
  idempotencyKey: IdempotencyKey,
  note: z.string().max(TOP_UP_NOTE_LENGTH_MAX).refine(isPlainText, NOT_PLAIN_TEXT).nullable().default(null),
})
export type GrantTopUp = z.infer<typeof GrantTopUp>
export const GrantTopUpAnswer = Answer.extend({
  /** When it was granted. */
  grantedAt: Timestamp,
  credits: Credits,
  replayed: z.boolean(),
  account: BillingAccount,
})

export const ChangePlan = OfAccount.extend({ plan: Plan })
export type ChangePlan = z.infer<typeof ChangePlan>
export const ChangePlanAnswer = Answer.extend({
  /** Now for a plan with more credits, whose difference is granted at once; else the start of the next cycle. */
  effectiveAt: Timestamp,
  account: BillingAccount,
})

export const SuspendAccount = OfAccount
export const OperatedAccountAnswer = Answer.extend({ account: BillingAccount })
