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

/** What is known of an account when one of its keys was found: credits left in the cycle, and when that ends. */
const Known = z.object({
  keyId: KeyId,
  accountId: z.guid(),
  keyType: KeyType,
  remaining: Credits,
  cycleEnd: Timestamp,
  /** True when this is the verdict of an earlier request with the same idempotency key. */
  replayed: z.boolean(),
})

export const Refusal = z.enum([
  'revoked',
  'disabled',
  'expired',
  'account_suspended',
  'insufficient_credits',
  'key_limit_exceeded',
])
export type Refusal = z.infer<typeof Refusal>

/**
 * - `charged`: the credits are taken, durably.
 * - a refusal: the key is known and nothing was taken. Remembered, like a charge, under its idempotency key.
 * - `not_found`: no such key. `conflict`: the idempotency key was used for another request. `operation_limit_exceeded`: the
 *   account has 100 operations already. `overloaded`: too much is waiting; nothing was tried. Of these nothing is remembered.
 */
export const Verdict = z.discriminatedUnion('verdict', [
  Known.extend({ verdict: z.literal('charged'), credits: Credits }),
  Known.extend({ verdict: Refusal }),
  z.object({ verdict: z.literal('not_found') }),
  z.object({ verdict: z.literal('conflict') }),
  z.object({ verdict: z.literal('operation_limit_exceeded') }),
  z.object({ verdict: z.literal('overloaded'), retryAfterMs: z.int().positive() }),
])
export type Verdict = z.infer<typeof Verdict>

export const ChargeAnswer = z.intersection(Answer, Verdict)
