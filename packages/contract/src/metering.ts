import { z } from 'zod'
import { IdempotencyKey } from './idempotency-key.ts'
import { KeyId, KeyType } from './keys.ts'
import { Credits, Output, Timestamp } from './output.ts'

/** The maximum number of different operations of one account. */
export const OPERATIONS_MAX = 100
/** The maximum number of charges in one call of `chargeMany`, and of items in one batch of the database. */
export const CHARGES_MAX = 500
/** For this many days, a retry with the same idempotency key gets the original verdict. */
export const IDEMPOTENCY_DAYS = 35
/** The maximum number of open holds of one account. */
export const HOLDS_OPEN_MAX = 10_000
export const HOLD_SECONDS_DEFAULT = 15 * 60
export const HOLD_SECONDS_MAX = 7 * 86_400

/** The caller's label for the work. Usage can be grouped by this label. */
export const Operation = z.string().regex(/^[a-z0-9._:-]{1,64}$/, 'Use 1 to 64 of a-z, 0-9 and . _ : -.')

/**
 * Takes `credits` from the account of the key whose secret is `key`. 0 credits only verify the key. A charge of more than 0
 * credits must have an idempotency key, so that a retry does not take the credits twice.
 */
export const Charge = z
  .strictObject({
    key: z.string().max(1000),
    credits: Credits,
    idempotencyKey: IdempotencyKey.nullable().default(null),
    operation: Operation.default('default'),
  })
  .refine(({ credits, idempotencyKey }) => credits === 0 || idempotencyKey !== null, {
    path: ['idempotencyKey'],
    message: 'Send an idempotency key with every charge of more than 0 credits.',
  })
export type Charge = z.infer<typeof Charge>

/**
 * The id of the usage event of a charge or a settle. A refund refers to this id. Callers must not rely on the format of the
 * id.
 */
export const ChargeId = z.string().regex(/^charge_[\w-]{32}$/, 'Send the chargeId of a charge or a settle.')
/**
 * The id of the usage event of a hold. A settle or a release refers to this id. Callers must not rely on the format of the id.
 */
export const HoldId = z.string().regex(/^hold_[\w-]{32}$/, 'Send the holdId of a hold.')

/**
 * Takes `credits` before work whose cost is known only afterwards. If the hold is not settled or released within `ttlSeconds`,
 * it expires, and the account gets the credits back.
 */
export const Hold = z.strictObject({
  key: z.string().max(1000),
  credits: Credits.min(1, 'Hold at least 1 credit.'),
  idempotencyKey: IdempotencyKey,
  operation: Operation.default('default'),
  ttlSeconds: z.int().min(1).max(HOLD_SECONDS_MAX).default(HOLD_SECONDS_DEFAULT),
})
export type Hold = z.infer<typeof Hold>

/**
 * Ends a hold and charges `credits`, the actual cost of the work. If the cost is lower than the hold, the account gets the
 * remaining credits of the hold back. If the cost is higher, the excess is charged too, as far as the account and the key have
 * credits left.
 */
export const Settle = z.strictObject({ holdId: HoldId, credits: Credits, idempotencyKey: IdempotencyKey })
export type Settle = z.infer<typeof Settle>

/** Ends a hold without a charge, e.g. because the work was not done. The account gets all credits of the hold back. */
export const Release = z.strictObject({ holdId: HoldId, idempotencyKey: IdempotencyKey })
export type Release = z.infer<typeof Release>

/**
 * Gives back `credits` of a charge. A charge can be refunded in several parts, which together never exceed the charge. After
 * `keymeter drop-usage` has dropped the usage event of a charge, the charge can no longer be refunded.
 */
export const Refund = z.strictObject({
  chargeId: ChargeId,
  credits: Credits.min(1, 'Refund at least 1 credit.'),
  idempotencyKey: IdempotencyKey,
})
export type Refund = z.infer<typeof Refund>

/** The fields of every verdict about a known key. `remaining` is what the account can spend after the verdict. */
const Known = z.object({
  keyId: KeyId,
  accountId: z.guid(),
  keyType: KeyType,
  remaining: Credits,
  /** The end of the account's current billing cycle. */
  cycleEnd: Timestamp,
  /** True if this is the verdict of an earlier request with the same idempotency key. */
  replayed: z.boolean(),
})
export type Known = z.infer<typeof Known>

/**
 * The reasons why a charge or a hold for a known key takes nothing. If several apply, the verdict is the first of them in this
 * list.
 */
export const Refusal = z.enum([
  'revoked',
  'disabled',
  'expired',
  'account_suspended',
  'insufficient_credits',
  'key_limit_exceeded',
])
export type Refusal = z.infer<typeof Refusal>

// These verdicts are recorded as usage events. A retry with the same idempotency key gets the recorded verdict.
const Charged = Known.extend({ verdict: z.literal('charged'), credits: Credits, chargeId: ChargeId.nullable() })
const Held = Known.extend({ verdict: z.literal('held'), holdId: HoldId, credits: Credits, expiresAt: Timestamp })
const Refused = Known.extend({ verdict: z.literal(['revoked', 'disabled', 'expired', 'account_suspended']) })
const TooFewCredits = Known.extend({
  verdict: z.literal(['insufficient_credits', 'key_limit_exceeded']),
  /**
   * The credits of open holds at the time of the decision, which can come back. For `insufficient_credits`, these are all open
   * holds of the account. For `key_limit_exceeded`, these are the holds of the key in the current billing cycle.
   */
  creditsHeld: Credits,
})
const Settled = Known.extend({
  verdict: z.literal('settled'),
  chargeId: ChargeId,
  /** The charged credits. Together with `uncollected`, they are the credits of the request. */
  credits: Credits,
  /** The credits beyond the hold that neither the account nor the limit of the key covered. 0 if everything is charged. */
  uncollected: Credits,
})
const Released = Known.extend({ verdict: z.literal('released'), credits: Credits })
const HoldOver = Known.extend({ verdict: z.literal(['hold_expired', 'hold_ended']) })
const Refunded = Known.extend({ verdict: z.literal('refunded'), credits: Credits, becameTopUp: z.boolean() })
const ExceedsCharge = Known.extend({ verdict: z.literal('exceeds_charge') })

// These verdicts are not recorded. A retry is decided again.
const NotFound = z.object({ verdict: z.literal('not_found') })
const Conflict = z.object({ verdict: z.literal('conflict') })
const OperationLimitExceeded = z.object({ verdict: z.literal('operation_limit_exceeded') })
const HoldLimitExceeded = z.object({ verdict: z.literal('hold_limit_exceeded') })

// The server returns this verdict without a query.
const Overloaded = z.object({ verdict: z.literal('overloaded'), retryAfterMs: z.int().positive() })

const DecidedCharge = z.discriminatedUnion('verdict', [
  Charged,
  Refused,
  TooFewCredits,
  NotFound,
  Conflict,
  OperationLimitExceeded,
])
const DecidedHold = z.discriminatedUnion('verdict', [
  Held,
  Refused,
  TooFewCredits,
  NotFound,
  Conflict,
  OperationLimitExceeded,
  HoldLimitExceeded,
])
const DecidedSettle = z.discriminatedUnion('verdict', [Settled, HoldOver, NotFound, Conflict])
const DecidedRelease = z.discriminatedUnion('verdict', [Released, HoldOver, NotFound, Conflict])
const DecidedRefund = z.discriminatedUnion('verdict', [Refunded, ExceedsCharge, NotFound, Conflict])

/**
 * The verdict of a charge:
 * - `charged`: the credits are taken, and the charge is committed. `chargeId` is null if the charge has 0 credits and no
 *   idempotency key, because such a charge is not recorded.
 * - A refusal (`Refusal`): the key is known, and nothing is taken. A retry with the same idempotency key gets the same
 *   refusal. If too few credits are left, `creditsHeld` shows how many of them open holds hold.
 * - `not_found`: the key does not exist. `conflict`: a different request has already used the idempotency key.
 *   `operation_limit_exceeded`: the account already has 100 operations. After these three verdicts, a retry is decided again.
 * - `overloaded`: too many calls wait, so the charge was not tried.
 */
export const ChargeVerdict = z.discriminatedUnion('verdict', [...DecidedCharge.options, Overloaded])
export type ChargeVerdict = z.infer<typeof ChargeVerdict>

/**
 * The verdict of a hold:
 * - `held`: the credits are taken until `expiresAt`.
 * - `hold_limit_exceeded`: the account already has 10,000 open holds. A retry is decided again.
 * - The other verdicts have the same meaning as for a charge.
 */
export const HoldVerdict = z.discriminatedUnion('verdict', [...DecidedHold.options, Overloaded])
export type HoldVerdict = z.infer<typeof HoldVerdict>

/**
 * The verdict of a settle:
 * - `settled`: `credits` are charged, and the account gets the remaining credits of the hold back. The charge counts in the
 *   billing cycle of the hold. If the settle asks for more credits than the hold has, the excess is charged from what the
 *   account and the limit of the key have left, and `uncollected` is the part of it that could not be charged. If the key is
 *   revoked, disabled or expired, or the account is suspended, only the credits of the hold are charged.
 * - `hold_expired`: the hold expired before the settle. `hold_ended`: another request has settled or released the hold. In
 *   these two cases nothing is charged, and a retry with the same idempotency key gets the same verdict.
 * - The other verdicts have the same meaning as for a charge.
 */
export const SettleVerdict = z.discriminatedUnion('verdict', [...DecidedSettle.options, Overloaded])
export type SettleVerdict = z.infer<typeof SettleVerdict>

/**
 * The verdict of a release. `released` means that the account gets all `credits` of the hold back. The other verdicts have the
 * same meaning as for a settle.
 */
export const ReleaseVerdict = z.discriminatedUnion('verdict', [...DecidedRelease.options, Overloaded])
export type ReleaseVerdict = z.infer<typeof ReleaseVerdict>

/**
 * The verdict of a refund:
 * - `refunded`: the account gets `credits` back in the billing cycle of the charge. If that cycle has ended, the credits become
 *   a top-up in the current cycle instead, and `becameTopUp` is true.
 * - `exceeds_charge`: the refund asks for more credits than are left of the charge after earlier refunds. Or it would become a
 *   top-up, and the account would have more than 2^53 - 1 credits. A retry with the same idempotency key gets the same verdict.
 * - The other verdicts have the same meaning as for a charge.
 */
export const RefundVerdict = z.discriminatedUnion('verdict', [...DecidedRefund.options, Overloaded])
export type RefundVerdict = z.infer<typeof RefundVerdict>

/** Returns the values that `verdict` can have in these schemas. */
function wordsOf<Word extends string>(verdicts: readonly { shape: { verdict: z.ZodLiteral<Word> } }[]): Word[] {
  return verdicts.flatMap(({ shape }) => [...shape.verdict.values])
}

/** The verdicts that the database can return for each action. `overloaded` is not among them. */
export const DECIDED = {
  charge: z.enum(wordsOf(DecidedCharge.options)),
  hold: z.enum(wordsOf(DecidedHold.options)),
  settle: z.enum(wordsOf(DecidedSettle.options)),
  release: z.enum(wordsOf(DecidedRelease.options)),
  refund: z.enum(wordsOf(DecidedRefund.options)),
}

/** The verdicts that are recorded as usage events. */
export const EventVerdict = z.enum(
  wordsOf([Charged, Held, Refused, TooFewCredits, Settled, Released, HoldOver, Refunded, ExceedsCharge]),
)
export type EventVerdict = z.infer<typeof EventVerdict>

export const ChargeOutput = z.intersection(Output, ChargeVerdict)
export const HoldOutput = z.intersection(Output, HoldVerdict)
export const SettleOutput = z.intersection(Output, SettleVerdict)
export const ReleaseOutput = z.intersection(Output, ReleaseVerdict)
export const RefundOutput = z.intersection(Output, RefundVerdict)
