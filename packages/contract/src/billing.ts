import { z } from 'zod'
import { Credits, Output, Timestamp } from './output.ts'

/** The half-open interval `[start, end)`; `end` is the start of the next cycle. */
export const BillingCycle = z.object({ start: Timestamp, end: Timestamp })
export type BillingCycle = z.infer<typeof BillingCycle>

/** The most credits that one grant can give. Far less than the largest balance, so that several grants fit into it. */
const CREDITS_GIVEN_MAX = 2 ** 50
export const GivenCredits = Credits.max(CREDITS_GIVEN_MAX, 'Give at most 2^50 credits.')

/** The name of a plan, which the operator chooses. */
export const Plan = z.string().regex(/^[a-z0-9._-]{1,32}$/, 'Use 1 to 32 of a-z, 0-9 and . _ -.')

/**
 * The balance of the current cycle: `creditsPerCycle + topUps - creditsUsed - creditsHeld = creditsRemaining`. The cycle's
 * own credits are spent first, and then top-ups. Only top-ups are kept when the cycle ends.
 */
export const BillingAccount = z.object({
  plan: Plan,
  /** The plan of the next cycle. Null when the plan does not change. */
  nextPlan: Plan.nullable(),
  creditsPerCycle: Credits,
  topUps: Credits,
  /** Charges less refunds of all keys of the account, including revoked keys. */
  creditsUsed: Credits,
  /** Taken by holds until they are settled or released, or expire. */
  creditsHeld: Credits,
  creditsRemaining: Credits,
  /** Since this moment, charges and holds are refused. */
  suspendedAt: Timestamp.nullable(),
  billingCycle: BillingCycle,
})
export type BillingAccount = z.infer<typeof BillingAccount>

/** `account` is null until the account has been provisioned. */
export const BillingAccountOutput = Output.extend({ account: BillingAccount.nullable() })

/** The ledger of one cycle: of the current one, or of the cycle that starts at `cycleStart`. */
export const GetLedger = z.strictObject({ cycleStart: z.iso.datetime({ offset: true }).optional() })
export type GetLedger = z.infer<typeof GetLedger>

/**
 * - `carried_over`: top-ups that were left when the cycle began. `grant`: the credits of the plan for the cycle.
 * - `plan_change`: the additional credits of a larger plan. `top_up`: credits that are kept when the cycle ends.
 * - `charges`: all charges of a day (UTC). `refund`: all refunds of a day. `refund_top_up`: all refunds of a day for charges
 *   of earlier cycles.
 * - `held`: the credits of the open holds of the cycle. `lapsed`: granted credits that were left when the cycle ended.
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
  /** The moment of the entry, or the beginning of its day when the entry is a sum. */
  at: Timestamp,
  /** The change of the balance: negative for credits that were taken. */
  credits: z.int(),
  /** The balance after the entry. */
  balance: z.int(),
  /** The number of charges or refunds in the sum. Null for the other kinds. */
  count: z.int().nonnegative().nullable(),
  /** The plan that grants the credits. Null for the other kinds, and for the `grant` of a cycle in which the plan changed. */
  plan: Plan.nullable(),
  note: z.string().nullable(),
})
export type LedgerEntry = z.infer<typeof LedgerEntry>

/** Entries are sorted from oldest to newest. Their credits sum to `balance`, which the account can spend in a current cycle. */
export const LedgerOutput = Output.extend({
  billingCycle: BillingCycle.nullable(),
  isCurrent: z.boolean(),
  entries: z.array(LedgerEntry),
  balance: Credits,
  /** The `cycleStart` for the ledger of the previous cycle. Null when there is none. */
  previousCycleStart: Timestamp.nullable(),
})
export type LedgerOutput = z.infer<typeof LedgerOutput>
