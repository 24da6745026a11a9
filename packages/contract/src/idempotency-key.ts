import { z } from 'zod'
import { HAS_WHOLE_SECRET, hasNoWholeSecret } from './whole-secret.ts'

export const IDEMPOTENCY_KEY_LENGTH_MAX = 255

/**
 * Identifies one logical request: every retry of the request sends the same idempotency key. It is stored and shown, so it must
 * not contain a whole secret.
 */
export const IdempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e]+$/, 'Use printable ASCII characters without spaces.')
  .max(IDEMPOTENCY_KEY_LENGTH_MAX, `Use at most ${IDEMPOTENCY_KEY_LENGTH_MAX} characters.`)
  .refine(hasNoWholeSecret, HAS_WHOLE_SECRET)
