import { createHash, timingSafeEqual } from 'node:crypto'
import { AppError } from '../errors.ts'

/**
 * Checks the service key that the company's backend sends. Both keys are hashed before the comparison, so its duration reveals
 * nothing about the expected key. If no service key is configured, every call is refused.
 *
 * @throws AppError `service_key_invalid`.
 */
export function verifyServiceKey(serviceKey: string | null, authorization: string | null): void {
  const sent = /^bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
  if (serviceKey === null || sent === undefined || !timingSafeEqual(sha256(serviceKey), sha256(sent)))
    throw new AppError('service_key_invalid')
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
