import { createHash } from 'node:crypto'

/** One entry as the chain covers it. `detail` is the text that is stored. */
export interface ChainedEntry {
  userId: string
  sequence: number
  actor: string
  action: string
  keyId: string | null
  detail: string
  requestId: string
  clientAddress: string | null
  userAgent: string | null
  /** ISO-8601 in UTC, with milliseconds. */
  createdAt: string
}

/**
 * The hash of one entry of an account's audit log: SHA-256 over the hash before it (nothing for the first entry) and the
 * entry as a JSON array, in this order. Whoever changes, removes or inserts an entry breaks every hash after it.
 */
export function chainHash(previous: Buffer | null, entry: ChainedEntry): Buffer {
  const fields = [
    entry.userId,
    entry.sequence,
    entry.actor,
    entry.action,
    entry.keyId,
    entry.detail,
    entry.requestId,
    entry.clientAddress,
    entry.userAgent,
    entry.createdAt,
  ]
  return createHash('sha256')
    .update(previous ?? '')
    .update(JSON.stringify(fields))
    .digest()
}
