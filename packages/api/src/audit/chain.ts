import { createHash } from 'node:crypto'

/** The fields of an audit entry that its hash covers. `detail` is the text as the database stores it. */
export interface ChainedEntry {
  userId: string
  sequence: number
  actor: string
  actorId: string | null
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
 * Returns the hash of one entry in an account's audit log: SHA-256 over the previous hash (nothing for the first entry),
 * followed by the fields of the entry in a fixed order. Each field is written as its length in bytes (UTF-8), a colon and its
 * text, and a null as `-`. Commas separate the fields. If somebody changes, removes or inserts an entry, the later hashes no
 * longer match.
 *
 * The database computes the hash when it writes an entry (`keymeter.audit_hash`). This function is independent of it, so a
 * check of the audit log does not trust the database's functions.
 */
export function chainHash(previous: Buffer | null, entry: ChainedEntry): Buffer {
  const fields = [
    entry.userId,
    String(entry.sequence),
    entry.actor,
    entry.actorId,
    entry.action,
    entry.keyId,
    entry.detail,
    entry.requestId,
    entry.clientAddress,
    entry.userAgent,
    entry.createdAt,
  ]
  const text = fields.map((field) => (field === null ? '-' : `${Buffer.byteLength(field)}:${field}`)).join(',')
  return createHash('sha256')
    .update(previous ?? '')
    .update(text)
    .digest()
}
