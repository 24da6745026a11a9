import { createHash, timingSafeEqual } from 'node:crypto'
import type { Context } from '../context.ts'
import { AppError } from '../errors.ts'
import { networkOf } from '../limits/network.ts'

/**
 * Checks the service key that the company's backend sends. Both keys are hashed before the comparison, so its duration reveals
 * nothing about the expected key. If no service key is configured, every call is refused.
 *
 * Only a wrong key counts towards the limit for the client's network, and it is counted after the comparison. So a call with the
 * right key needs no query here, and it is accepted even if the network has used up its limit.
 *
 * @throws AppError `service_key_invalid`, or `too_many_attempts` if the network has sent too many wrong keys.
 */
export async function verifyServiceKey({
  serviceKey,
  authorization,
  clientAddress,
  limits,
}: Pick<Context, 'serviceKey' | 'authorization' | 'clientAddress' | 'limits'>): Promise<void> {
  const sent = /^bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
  // Without both keys, nobody can guess anything.
  if (serviceKey === null || sent === undefined) throw new AppError('service_key_invalid')
  if (timingSafeEqual(sha256(serviceKey), sha256(sent))) return
  await limits.wrongServiceKeys.attempt(networkOf(clientAddress))
  throw new AppError('service_key_invalid')
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
