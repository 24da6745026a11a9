import { z } from 'zod'
import { Answer, Credits, Timestamp } from './answer.ts'
import { KeyId, KeyType } from './keys.ts'

export const IDEMPOTENCY_KEY_LENGTH_MAX = 255
/** Distinct operations of one account. */
export const OPERATIONS_MAX = 100
/** Items of one `chargeMany`, and of one batch in the database. */
export const CHARGES_MAX = 500
/** How long the same idempotency key answers the same verdict. */
export const IDEMPOTENCY_DAYS = 35
/** Holds of one account that are open at a time. */
export const HOLDS_OPEN_MAX = 10_000
/** How long a hold lasts that does not say so, and at most. */
export const HOLD_SECONDS_DEFAULT = 15 * 60
export const HOLD_SECONDS_MAX = 7 * 86_400

/** The caller's label for what was done, for grouping usage. */
export const Operation = z.string().regex(/^[a-z0-9._:-]{1,64}$/, 'Use 1 to 64 of a-z, 0-9 and . _ : -.')

/** Names one logical charge: every retry of it carries the same. Printable ASCII. */
export const IdempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e]+$/, 'Use printable ASCII characters without spaces.')
  .max(IDEMPOTENCY_KEY_LENGTH_MAX, `Use at most ${IDEMPOTENCY_KEY_LENGTH_MAX} characters.`)

/**
 * "Is this key good, and take `credits` for it." With 0 credits it only verifies. Whatever takes credits must have an
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

/** The usage event that charged credits: what a refund is of. Opaque. */
export const ChargeId = z.string().regex(/^charge_[\w-]{32}$/, 'Send the chargeId of a charge or a settle.')
/** The usage event that took credits for a while: what is settled or released. Opaque. */
export const HoldId = z.string().regex(/^hold_[\w-]{32}$/, 'Send the holdId of a hold.')

/**
 * "Take up to `credits` for work whose cost is known only afterwards." They are the account's again after `ttlSeconds`,
 * unless the hold is settled or released before.
 */
export const Hold = z.strictObject({
  key: z.string().max(1000),
  credits: Credits.min(1, 'Hold at least 1 credit.'),
  idempotencyKey: IdempotencyKey,
  operation: Operation.default('default'),
  ttlSeconds: z.int().min(1).max(HOLD_SECONDS_MAX).default(HOLD_SECONDS_DEFAULT),
})
export type Hold = z.infer<typeof Hold>

/** "The work cost `credits`": at most what is held. The rest is given back. 0 charges nothing. */
export const Settle = z.strictObject({ holdId: HoldId, credits: Credits, idempotencyKey: IdempotencyKey })
export type Settle = z.infer<typeof Settle>

/** "The work was not done": gives everything back. */
export const Release = z.strictObject({ holdId: HoldId, idempotencyKey: IdempotencyKey })
export type Release = z.infer<typeof Release>

/**
 * "Give `credits` of this charge back", whole or in part, also several times: never more than it charged, and for as long as
 * the charge is kept (`pnpm keymeter drop-usage` drops old months).
 */
export const Refund = z.strictObject({
  chargeId: ChargeId,
  credits: Credits.min(1, 'Refund at least 1 credit.'),
  idempotencyKey: IdempotencyKey,
})
export type Refund = z.infer<typeof Refund>

/** What is known of an account when one of its keys was found: credits left now, and when the cycle ends. */
const Known = z.object({
  keyId: KeyId,
  accountId: z.guid(),
  keyType: KeyType,
  remaining: Credits,
  cycleEnd: Timestamp,
  /** True when this is the verdict of an earlier request with the same idempotency key. */
  replayed: z.boolean(),
})
export type Known = z.infer<typeof Known>

export const Refusal = z.enum([
  'revoked',
  'disabled',
  'expired',
  'account_suspended',
  'insufficient_credits',
  'key_limit_exceeded',
])
export type Refusal = z.infer<typeof Refusal>

const Refused = Known.extend({ verdict: Refusal })
const NotFound = z.object({ verdict: z.literal('not_found') })
const Conflict = z.object({ verdict: z.literal('conflict') })
const OperationLimitExceeded = z.object({ verdict: z.literal('operation_limit_exceeded') })
const HoldLimitExceeded = z.object({ verdict: z.literal('hold_limit_exceeded') })
const Overloaded = z.object({ verdict: z.literal('overloaded'), retryAfterMs: z.int().positive() })

/**
 * - `charged`: the credits are taken, durably. `chargeId` is null when nothing was recorded: 0 credits without an
 *   idempotency key.
 * - a refusal: the key is known and nothing was taken. Remembered, like a charge, under its idempotency key.
 * - `not_found`: no such key. `conflict`: the idempotency key was used for another request. `operation_limit_exceeded`: the
 *   account has 100 operations already. `overloaded`: too much is waiting; nothing was tried. Of these nothing is remembered.
 */
export const Verdict = z.discriminatedUnion('verdict', [
  Known.extend({ verdict: z.literal('charged'), credits: Credits, chargeId: ChargeId.nullable() }),
  Refused,
  NotFound,
  Conflict,
  OperationLimitExceeded,
  Overloaded,
])
export type Verdict = z.infer<typeof Verdict>

/**
 * - `held`: the credits are taken until `expiresAt`.
 * - `hold_limit_exceeded`: the account has 10,000 holds open already. Nothing is remembered. The others are a charge's.
 */
export const HoldVerdict = z.discriminatedUnion('verdict', [
  Known.extend({ verdict: z.literal('held'), holdId: HoldId, credits: Credits, expiresAt: Timestamp }),
  Refused,
  NotFound,
  Conflict,
  OperationLimitExceeded,
  HoldLimitExceeded,
  Overloaded,
])
export type HoldVerdict = z.infer<typeof HoldVerdict>

/**
 * - `settled`: `credits` are charged and the rest is given back. Counts in the cycle that the hold was made in.
 * - `hold_expired`: it had run out, and nothing is charged. `hold_ended`: another request has settled or released it.
 *   `exceeds_hold`: more than is held; the hold stays. These three are remembered, as refusals are.
 */
export const SettleVerdict = z.discriminatedUnion('verdict', [
  Known.extend({ verdict: z.literal('settled'), chargeId: ChargeId, credits: Credits }),
  Known.extend({ verdict: z.enum(['hold_expired', 'hold_ended', 'exceeds_hold']) }),
  NotFound,
  Conflict,
  Overloaded,
])
export type SettleVerdict = z.infer<typeof SettleVerdict>

/** `released`: all `credits` of the hold are given back. */
export const ReleaseVerdict = z.discriminatedUnion('verdict', [
  Known.extend({ verdict: z.literal('released'), credits: Credits }),
  Known.extend({ verdict: z.enum(['hold_expired', 'hold_ended']) }),
  NotFound,
  Conflict,
  Overloaded,
])
export type ReleaseVerdict = z.infer<typeof ReleaseVerdict>

/**
 * - `refunded`: `credits` are given back to the cycle that they were charged in; once that has ended, as a top-up instead
 *   (`becameTopUp`).
 * - `exceeds_charge`: more than is left of the charge after earlier refunds. Remembered, as refusals are.
 */
export const RefundVerdict = z.discriminatedUnion('verdict', [
  Known.extend({ verdict: z.literal('refunded'), credits: Credits, becameTopUp: z.boolean() }),
  Known.extend({ verdict: z.literal('exceeds_charge') }),
  NotFound,
  Conflict,
  Overloaded,
])
export type RefundVerdict = z.infer<typeof RefundVerdict>

export const ChargeAnswer = z.intersection(Answer, Verdict)
export const HoldAnswer = z.intersection(Answer, HoldVerdict)
export const SettleAnswer = z.intersection(Answer, SettleVerdict)
export const ReleaseAnswer = z.intersection(Answer, ReleaseVerdict)
export const RefundAnswer = z.intersection(Answer, RefundVerdict)
