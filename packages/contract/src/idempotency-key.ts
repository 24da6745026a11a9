import { z } from 'zod'

export const IDEMPOTENCY_KEY_LENGTH_MAX = 255

/** Identifies one logical request: every retry of the request sends the same idempotency key. */
export const IdempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e]+$/, 'Use printable ASCII characters without spaces.')
  .max(IDEMPOTENCY_KEY_LENGTH_MAX, `Use at most ${IDEMPOTENCY_KEY_LENGTH_MAX} characters.`)
