import { createHash } from 'node:crypto'

/** The fields of an entry that its hash covers. `detail` is the stored text. */
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
 * The hash of one entry of an account's audit log: SHA-256 over the previous hash (nothing for the first entry) and the entry
 * as a JSON array, in this order. An entry that is changed, removed or inserted breaks every later hash.
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
