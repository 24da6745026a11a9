import { createHash, timingSafeEqual } from 'node:crypto'
import { AppError } from '../errors.ts'

/**
 * Checks the service key of the company's backend. Both keys are hashed first, so the time of the comparison does not depend
 * on the key that was sent. Without a `serviceKey` every call is refused.
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
