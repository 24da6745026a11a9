import { z } from 'zod'
import { Credits, Output, Timestamp } from './output.ts'

/** A billing cycle as the half-open interval `[start, end)`. `end` is the start of the next cycle. */
export const BillingCycle = z.object({ start: Timestamp, end: Timestamp })
export type BillingCycle = z.infer<typeof BillingCycle>

/**
 * The maximum number of credits of one grant. It is far below the maximum balance of 2^53 - 1, so that an account can get
 * several grants.
 */
export const CREDITS_GIVEN_MAX = 2 ** 50
export const GivenCredits = Credits.max(CREDITS_GIVEN_MAX, 'Give at most 2^50 credits.')

/** The name of a plan. The operator chooses it. */
export const Plan = z.string().regex(/^[a-z0-9._-]{1,32}$/, 'Use 1 to 32 of a-z, 0-9 and . _ -.')

/**
 * Why the plan `free` grants no credits to an account:
 * - `mailbox_used`: another account has got free credits for the same mailbox. It may have been deleted since.
 * - `not_confirmed`: the e-mail address is not confirmed yet. After the confirmation, `auth.provision` grants the credits.
 * - `not_offered`: the operator did not offer free credits when the account was created.
 */
export const FreeCreditsRefusal = z.enum(['mailbox_used', 'not_confirmed', 'not_offered'])
export type FreeCreditsRefusal = z.infer<typeof FreeCreditsRefusal>

/**
 * The balance of the current cycle: `creditsPerCycle + topUps - creditsUsed - creditsHeld = creditsRemaining`. The credits of
 * the plan are spent before the top-ups. When the cycle ends, the account keeps only the top-ups.
 */
export const BillingAccount = z.object({
  plan: Plan,
  /** The plan from the next cycle on. Null if no change is planned. */
  nextPlan: Plan.nullable(),
  creditsPerCycle: Credits,
  /** Null if the account gets free credits, or if it has another plan than `free`. */
  freeCreditsRefusal: FreeCreditsRefusal.nullable(),
  topUps: Credits,
  /** Charges minus refunds of all keys of the account, including revoked keys. */
  creditsUsed: Credits,
  /** The credits of open holds. A hold is open until it is settled or released, or until it expires. */
  creditsHeld: Credits,
  creditsRemaining: Credits,
  /**
   * The time when the operator suspended the account. Charges and holds are refused from then on. Null if the account is not
   * suspended.
   */
  suspendedAt: Timestamp.nullable(),
  /** The time when an owner deleted the account. Only the operator sees such an account. Null if the account is not deleted. */
  closedAt: Timestamp.nullable(),
  billingCycle: BillingCycle,
})
export type BillingAccount = z.infer<typeof BillingAccount>

/** `account` is null if the account does not exist yet. */
export const BillingAccountOutput = Output.extend({ account: BillingAccount.nullable() })

/**
 * Selects the ledger of the cycle that starts at `cycleStart`. Without `cycleStart`, it selects the ledger of the current
 * cycle.
 */
export const GetLedger = z.strictObject({ cycleStart: z.iso.datetime({ offset: true }).optional() })
export type GetLedger = z.infer<typeof GetLedger>

/**
 * The maximum number of top-ups, of top-ups that were taken back, and of plan changes that have a line of their own in the
 * ledger of a cycle. Older ones are summed by UTC day.
 */
export const LEDGER_SINGLE_ENTRIES_MAX = 100

/**
 * The kinds of lines in the ledger of a cycle:
 * - `carried_over`: top-ups that were left at the end of the previous cycle.
 * - `grant`: the credits that the plan grants for the cycle.
 * - `plan_change`: the additional credits that the account got when it changed to a larger plan.
 * - `top_up`: credits that the operator granted. The account keeps them when the cycle ends. If a cycle has more than 100 plan
 *   changes or more than 100 top-ups, the older ones are summed by UTC day.
 * - `take_back`: credits of a top-up that the operator took back. `credits` is negative. They are summed like top-ups.
 * - `charges`: the sum of all charges on one UTC day.
 * - `refund`: the sum of all refunds on one UTC day for charges of this cycle.
 * - `refund_top_up`: the sum of all refunds on one UTC day for charges of earlier cycles. These refunds became top-ups.
 * - `held`: the credits of the open holds of the cycle.
 * - `lapsed`: granted credits that were left when the cycle ended.
 */
export const LedgerKind = z.enum([
  'carried_over',
  'grant',
  'plan_change',
  'top_up',
  'take_back',
  'refund_top_up',
  'refund',
  'charges',
  'held',
  'lapsed',
])
export type LedgerKind = z.infer<typeof LedgerKind>

export const LedgerEntry = z.object({
  kind: LedgerKind,
  /** The time of the entry. If the entry is a sum, this is the start of its UTC day. */
  at: Timestamp,
  /** The change of the balance. It is negative if credits were taken. */
  credits: z.int(),
  /**
   * The balance after the entry. It can be negative before the last entry: a settle above its hold counts on the day of the
   * hold, and can take credits that were added later.
   */
  balance: z.int(),
  /** The number of charges, refunds, top-ups, taken back top-ups or plan changes in the sum. Null if the entry is not a sum. */
  count: z.int().nonnegative().nullable(),
  /**
   * The plan that grants the credits. It is null if the kind is neither `grant` nor `plan_change`. It is also null for the
   * `grant` of a cycle in which the plan changed, because the earlier plan is not stored, and for a sum of plan changes.
   */
  plan: Plan.nullable(),
  note: z.string().nullable(),
  /** The top-up that a `take_back` took back. Null for the other kinds, and for a sum. */
  topUp: z.object({ at: Timestamp, note: z.string().nullable() }).nullable(),
})
export type LedgerEntry = z.infer<typeof LedgerEntry>

/**
 * Entries are sorted from oldest to newest. `balance` is the sum of their credits. In the current cycle, the account can spend
 * this balance.
 */
export const LedgerOutput = Output.extend({
  billingCycle: BillingCycle.nullable(),
  isCurrent: z.boolean(),
  entries: z.array(LedgerEntry),
  balance: Credits,
  /**
   * The start of the previous cycle. To get the ledger of that cycle, send it as `cycleStart`. Null if there is no previous
   * cycle.
   */
  previousCycleStart: Timestamp.nullable(),
})
export type LedgerOutput = z.infer<typeof LedgerOutput>
