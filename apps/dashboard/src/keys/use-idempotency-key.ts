import { useState } from 'react'

const RANDOM_BYTES = 16

/**
 * Returns an idempotency key that stays the same while the component is mounted. A dialog that creates a secret is mounted once
 * for each opening and sends the key with every attempt. So if an answer is lost, the next attempt repeats the same request:
 * it ends no working secret and creates no second key.
 */
export function useIdempotencyKey(): string {
  // `crypto.randomUUID` exists only on pages that are served over HTTPS or from this computer.
  const [key] = useState(() =>
    Array.from(crypto.getRandomValues(new Uint8Array(RANDOM_BYTES)), (byte) => byte.toString(16).padStart(2, '0')).join(''),
  )
  return key
}
