import { createHash, timingSafeEqual } from 'node:crypto'
import { AppError } from '../errors.ts'

/**
 * Lets the company's backend in. Both sides are hashed first, so that comparing takes the same time whatever was sent.
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
