import { z } from 'zod'
import { BillingAccount, GivenCredits, Plan } from './billing.ts'
import { IdempotencyKey } from './metering.ts'
import { Credits, isPlainText, NOT_PLAIN_TEXT, Output, Timestamp } from './output.ts'

export const TOP_UP_NOTE_LENGTH_MAX = 200

/** In lower case, like in the database: the id is hashed into the audit chain, and compared with the accounts of watchers. */
const OfAccount = z.strictObject({ accountId: z.guid().toLowerCase() })

/** Grants credits that the account keeps until they are spent. An idempotency key grants only once, without time limit. */
export const GrantTopUp = OfAccount.extend({
  credits: GivenCredits.min(1, 'Grant at least 1 credit.'),
  idempotencyKey: IdempotencyKey,
  note: z.string().max(TOP_UP_NOTE_LENGTH_MAX).refine(isPlainText, NOT_PLAIN_TEXT).nullable().default(null),
})
export type GrantTopUp = z.infer<typeof GrantTopUp>
export const GrantTopUpOutput = Output.extend({
  /** The moment of the grant, also in a replay. */
  grantedAt: Timestamp,
  credits: Credits,
  replayed: z.boolean(),
  account: BillingAccount,
})

export const ChangePlan = OfAccount.extend({ plan: Plan })
export type ChangePlan = z.infer<typeof ChangePlan>
export const ChangePlanOutput = Output.extend({
  /** A plan with more credits takes effect immediately and grants the difference. Otherwise, the start of the next cycle. */
  effectiveAt: Timestamp,
  account: BillingAccount,
})

export const SuspendAccount = OfAccount
export const OperatedAccountOutput = Output.extend({ account: BillingAccount })
