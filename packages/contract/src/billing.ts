import { z } from 'zod'
import { Answer, Credits, Timestamp } from './answer.ts'

/** The half-open interval `[start, end)`; `end` is the start of the next cycle. */
export const BillingCycle = z.object({ start: Timestamp, end: Timestamp })
export type BillingCycle = z.infer<typeof BillingCycle>

/** Credits are whole numbers. `creditsUsed` counts every key of the account, revoked ones too. */
export const BillingAccount = z.object({
  plan: z.literal('free'),
  creditsPerCycle: Credits,
  creditsUsed: Credits,
  billingCycle: BillingCycle,
})
export type BillingAccount = z.infer<typeof BillingAccount>

/** `account` is null until the account has been provisioned. */
export const BillingAccountAnswer = Answer.extend({ account: BillingAccount.nullable() })
