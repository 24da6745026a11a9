import { createHash } from 'node:crypto'

/** The fields of an audit entry that its hash covers. `detail` is the text as the database stores it. */
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
  /** The time of the entry as ISO-8601 in UTC, with milliseconds. */
  createdAt: string
}

/**
 * Returns the hash of one entry in an account's audit log: SHA-256 over the previous hash (empty for the first entry), followed
 * by the entry as a JSON array with its fields in a fixed order. If somebody changes, removes or inserts an entry, the later
 * hashes no longer match.
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
