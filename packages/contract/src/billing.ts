import { z } from 'zod'
import { Answer, Credits, Timestamp } from './answer.ts'

/** The half-open interval `[start, end)`; `end` is the start of the next cycle. */
export const BillingCycle = z.object({ start: Timestamp, end: Timestamp })
export type BillingCycle = z.infer<typeof BillingCycle>

/** What can be given at once: far less than an account may have, so that other things fit beside. */
const CREDITS_GIVEN_MAX = 2 ** 50
export const GivenCredits = Credits.max(CREDITS_GIVEN_MAX, 'Give at most 2^50 credits.')

/** A name that the operator gave. */
export const Plan = z.string().regex(/^[a-z0-9._-]{1,32}$/, 'Use 1 to 32 of a-z, 0-9 and . _ -.')

/**
 * Credits are whole numbers, of the current cycle: `creditsPerCycle + topUps - creditsUsed - creditsHeld =
 * creditsRemaining`. The cycle's own credits are spent first, then top-ups, which are kept when the cycle ends.
 */
export const BillingAccount = z.object({
  plan: Plan,
  /** From the next cycle on; null when it stays. */
  nextPlan: Plan.nullable(),
  creditsPerCycle: Credits,
  topUps: Credits,
  /** Charged and not refunded, by every key of the account, revoked ones too. */
  creditsUsed: Credits,
  /** Taken by holds until they are settled or released, or run out. */
  creditsHeld: Credits,
  creditsRemaining: Credits,
  /** Nothing can be charged since then. */
  suspendedAt: Timestamp.nullable(),
  billingCycle: BillingCycle,
})
export type BillingAccount = z.infer<typeof BillingAccount>

/** `account` is null until the account has been provisioned. */
export const BillingAccountAnswer = Answer.extend({ account: BillingAccount.nullable() })

/** One cycle's ledger: the current one's, or that of the cycle that starts at `cycleStart`. */
export const GetLedger = z.strictObject({ cycleStart: z.iso.datetime({ offset: true }).optional() })
export type GetLedger = z.infer<typeof GetLedger>

/**
 * - `carried_over`: top-ups that were left when the cycle began. `grant`: what the plan gives for the cycle.
 * - `plan_change`: what a plan with more credits gave at once. `top_up`: credits that do not end with the cycle.
 * - `charges`: what a day (UTC) charged. `refund`: what a day gave back; `refund_top_up`: of cycles that had ended.
 * - `held`: what holds of the cycle take now. `lapsed`: what the cycle granted and nobody used by its end.
 */
export const LedgerKind = z.enum([
  'carried_over',
  'grant',
  'plan_change',
  'top_up',
  'refund_top_up',
  'refund',
  'charges',
  'held',
  'lapsed',
])
export type LedgerKind = z.infer<typeof LedgerKind>

export const LedgerEntry = z.object({
  kind: LedgerKind,
  /** The moment, or the beginning of the day that it sums up. */
  at: Timestamp,
  /** What it added to the balance: less than nothing for what was taken. */
  credits: z.int(),
  /** Afterwards. */
  balance: z.int(),
  /** How many charges or refunds it sums up; null for the others. */
  count: z.int().nonnegative().nullable(),
  /** The plan that gives it. Null for what no plan gives, and for a `grant` in a cycle that the plan was changed in. */
  plan: Plan.nullable(),
  note: z.string().nullable(),
})
export type LedgerEntry = z.infer<typeof LedgerEntry>

/** Oldest first. The entries' credits sum to `balance`; of the current cycle that is what the account can spend. */
export const LedgerAnswer = Answer.extend({
  billingCycle: BillingCycle.nullable(),
  isCurrent: z.boolean(),
  entries: z.array(LedgerEntry),
  balance: Credits,
  /** To ask for the ledger of the cycle before; null when there is none. */
  previousCycleStart: Timestamp.nullable(),
})
export type LedgerAnswer = z.infer<typeof LedgerAnswer>
