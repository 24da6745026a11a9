import { z } from 'zod'
import { KeyId, KeyType } from './keys.ts'
import { Credits, Output, Timestamp } from './output.ts'

export const IDEMPOTENCY_KEY_LENGTH_MAX = 255
/** Distinct operations of one account. */
export const OPERATIONS_MAX = 100
/** Charges in one call of `chargeMany`, and items in one batch of the database. */
export const CHARGES_MAX = 500
/** For this long, a retry with the same idempotency key gets the original verdict. */
export const IDEMPOTENCY_DAYS = 35
/** Open holds of one account. */
export const HOLDS_OPEN_MAX = 10_000
export const HOLD_SECONDS_DEFAULT = 15 * 60
export const HOLD_SECONDS_MAX = 7 * 86_400

/** The caller's label for the work. It groups usage. */
export const Operation = z.string().regex(/^[a-z0-9._:-]{1,64}$/, 'Use 1 to 64 of a-z, 0-9 and . _ : -.')

/** Names one logical request: every retry of the request sends the same key. Printable ASCII. */
export const IdempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e]+$/, 'Use printable ASCII characters without spaces.')
  .max(IDEMPOTENCY_KEY_LENGTH_MAX, `Use at most ${IDEMPOTENCY_KEY_LENGTH_MAX} characters.`)

/**
 * Takes `credits` for the key whose secret is `key`. 0 credits only verify the key. A charge of credits must have an
 * idempotency key, so that a retry never pays twice.
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

/** Names the usage event of a charge or a settle, which a refund refers to. Opaque to callers. */
export const ChargeId = z.string().regex(/^charge_[\w-]{32}$/, 'Send the chargeId of a charge or a settle.')
/** Names the usage event of a hold, which a settle or a release refers to. Opaque to callers. */
export const HoldId = z.string().regex(/^hold_[\w-]{32}$/, 'Send the holdId of a hold.')

/**
 * Takes `credits` before work whose cost is known only afterwards. The account gets them back after `ttlSeconds`, unless the
 * hold is settled or released earlier.
 */
export const Hold = z.strictObject({
  key: z.string().max(1000),
  credits: Credits.min(1, 'Hold at least 1 credit.'),
  idempotencyKey: IdempotencyKey,
  operation: Operation.default('default'),
  ttlSeconds: z.int().min(1).max(HOLD_SECONDS_MAX).default(HOLD_SECONDS_DEFAULT),
})
export type Hold = z.infer<typeof Hold>

/** Charges `credits` of a hold, which may be 0 and at most all of it. The account gets the rest back. */
export const Settle = z.strictObject({ holdId: HoldId, credits: Credits, idempotencyKey: IdempotencyKey })
export type Settle = z.infer<typeof Settle>

/** Ends a hold without a charge, because the work was not done. The account gets all its credits back. */
export const Release = z.strictObject({ holdId: HoldId, idempotencyKey: IdempotencyKey })
export type Release = z.infer<typeof Release>

/**
 * Gives back `credits` of a charge. A charge may be refunded in several parts, but never more than it charged. A charge can
 * be refunded while its usage event is kept (`pnpm keymeter drop-usage` drops old months).
 */
export const Refund = z.strictObject({
  chargeId: ChargeId,
  credits: Credits.min(1, 'Refund at least 1 credit.'),
  idempotencyKey: IdempotencyKey,
})
export type Refund = z.infer<typeof Refund>

/** The key that a verdict is about, and what its account can spend after the verdict. */
const Known = z.object({
  keyId: KeyId,
  accountId: z.guid(),
  keyType: KeyType,
  remaining: Credits,
  /** The end of the account's current billing cycle. */
  cycleEnd: Timestamp,
  /** Whether this is the verdict of an earlier request with the same idempotency key. */
  replayed: z.boolean(),
})
export type Known = z.infer<typeof Known>

/** Why a charge or a hold of a known key takes nothing. When several apply, the first one in this order is the verdict. */
export const Refusal = z.enum([
  'revoked',
  'disabled',
  'expired',
  'account_suspended',
  'insufficient_credits',
  'key_limit_exceeded',
])
export type Refusal = z.infer<typeof Refusal>

// Recorded as a usage event, and returned again to a retry with the same idempotency key.
const Charged = Known.extend({ verdict: z.literal('charged'), credits: Credits, chargeId: ChargeId.nullable() })
const Held = Known.extend({ verdict: z.literal('held'), holdId: HoldId, credits: Credits, expiresAt: Timestamp })
const Refused = Known.extend({ verdict: z.literal(Refusal.options) })
const Settled = Known.extend({ verdict: z.literal('settled'), chargeId: ChargeId, credits: Credits })
const Released = Known.extend({ verdict: z.literal('released'), credits: Credits })
const HoldOver = Known.extend({ verdict: z.literal(['hold_expired', 'hold_ended']) })
const ExceedsHold = Known.extend({ verdict: z.literal('exceeds_hold') })
const Refunded = Known.extend({ verdict: z.literal('refunded'), credits: Credits, becameTopUp: z.boolean() })
const ExceedsCharge = Known.extend({ verdict: z.literal('exceeds_charge') })

// Not recorded. A retry is decided again.
const NotFound = z.object({ verdict: z.literal('not_found') })
const Conflict = z.object({ verdict: z.literal('conflict') })
const OperationLimitExceeded = z.object({ verdict: z.literal('operation_limit_exceeded') })
const HoldLimitExceeded = z.object({ verdict: z.literal('hold_limit_exceeded') })

// Not decided by the database.
const Overloaded = z.object({ verdict: z.literal('overloaded'), retryAfterMs: z.int().positive() })

const DecidedCharge = z.discriminatedUnion('verdict', [Charged, Refused, NotFound, Conflict, OperationLimitExceeded])
const DecidedHold = z.discriminatedUnion('verdict', [
  Held,
  Refused,
  NotFound,
  Conflict,
  OperationLimitExceeded,
  HoldLimitExceeded,
])
const DecidedSettle = z.discriminatedUnion('verdict', [Settled, HoldOver, ExceedsHold, NotFound, Conflict])
const DecidedRelease = z.discriminatedUnion('verdict', [Released, HoldOver, NotFound, Conflict])
const DecidedRefund = z.discriminatedUnion('verdict', [Refunded, ExceedsCharge, NotFound, Conflict])

/**
 * - `charged`: the credits are taken, durably. `chargeId` is null when nothing is recorded: for 0 credits without an
 *   idempotency key.
 * - A refusal: the key is known, and nothing is taken. A refusal is remembered under its idempotency key, like a charge.
 * - `not_found`: there is no such key. `conflict`: the idempotency key belongs to a different request.
 *   `operation_limit_exceeded`: the account already has 100 operations. These three are not remembered.
 * - `overloaded`: too many calls wait, so the charge was not tried.
 */
export const ChargeVerdict = z.discriminatedUnion('verdict', [...DecidedCharge.options, Overloaded])
export type ChargeVerdict = z.infer<typeof ChargeVerdict>

/**
 * - `held`: the credits are taken until `expiresAt`.
 * - `hold_limit_exceeded`: the account already has 10,000 open holds. This is not remembered.
 * - The other verdicts mean the same as those of a charge.
 */
export const HoldVerdict = z.discriminatedUnion('verdict', [...DecidedHold.options, Overloaded])
export type HoldVerdict = z.infer<typeof HoldVerdict>

/**
 * - `settled`: `credits` are charged, and the rest is given back. The charge counts in the cycle of the hold.
 * - `hold_expired`: the hold expired earlier. `hold_ended`: another request settled or released it. `exceeds_hold`: the hold
 *   has fewer credits, and stays open. Nothing is charged. These three are remembered, like refusals.
 */
export const SettleVerdict = z.discriminatedUnion('verdict', [...DecidedSettle.options, Overloaded])
export type SettleVerdict = z.infer<typeof SettleVerdict>

/** `released`: all `credits` of the hold are given back. */
export const ReleaseVerdict = z.discriminatedUnion('verdict', [...DecidedRelease.options, Overloaded])
export type ReleaseVerdict = z.infer<typeof ReleaseVerdict>

/**
 * - `refunded`: `credits` are given back to the cycle of the charge. If that cycle has ended, they become a top-up instead
 *   (`becameTopUp`).
 * - `exceeds_charge`: earlier refunds left fewer credits of the charge. This is remembered, like a refusal.
 */
export const RefundVerdict = z.discriminatedUnion('verdict', [...DecidedRefund.options, Overloaded])
export type RefundVerdict = z.infer<typeof RefundVerdict>

/** The words of `verdict` in these schemas. */
function wordsOf<Word extends string>(verdicts: readonly { shape: { verdict: z.ZodLiteral<Word> } }[]): Word[] {
  return verdicts.flatMap(({ shape }) => [...shape.verdict.values])
}

/** The verdicts that the database can return for each action: all but `overloaded`. */
export const DECIDED = {
  charge: z.enum(wordsOf(DecidedCharge.options)),
  hold: z.enum(wordsOf(DecidedHold.options)),
  settle: z.enum(wordsOf(DecidedSettle.options)),
  release: z.enum(wordsOf(DecidedRelease.options)),
  refund: z.enum(wordsOf(DecidedRefund.options)),
}

/** The verdicts that usage events have: those that are recorded. */
export const EventVerdict = z.enum(
  wordsOf([Charged, Held, Refused, Settled, Released, HoldOver, ExceedsHold, Refunded, ExceedsCharge]),
)
export type EventVerdict = z.infer<typeof EventVerdict>

export const ChargeOutput = z.intersection(Output, ChargeVerdict)
export const HoldOutput = z.intersection(Output, HoldVerdict)
export const SettleOutput = z.intersection(Output, SettleVerdict)
export const ReleaseOutput = z.intersection(Output, ReleaseVerdict)
export const RefundOutput = z.intersection(Output, RefundVerdict)
