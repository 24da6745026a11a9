/**
 * Returns the public id of a usage event. The company's backend sends this id to settle, release or refund. The id is
 * `charge_` or `hold_`, followed by 24 bytes as base64url: the account and the sequence of the event. The id is not a secret
 * and grants nothing, because these calls need the service key.
 */
export function encodeEventId(kind: 'charge' | 'hold', userId: string, sequence: number): string {
  const bytes = Buffer.alloc(ID_BYTES)
  bytes.write(userId.replaceAll('-', ''), 'hex')
  bytes.writeBigUInt64BE(BigInt(sequence), UUID_BYTES)
  return `${kind}_${bytes.toString('base64url')}`
}

/** Returns the account and the sequence of a usage event, or null if the text is not the id of an event. */
export function parseEventId(id: string): { userId: string; sequence: number } | null {
  const bytes = Buffer.from(id.slice(id.indexOf('_') + 1), 'base64url')
  if (bytes.length !== ID_BYTES) return null
  const sequence = bytes.readBigUInt64BE(UUID_BYTES)
  if (sequence < 1n || sequence > BigInt(Number.MAX_SAFE_INTEGER)) return null
  const hex = bytes.toString('hex', 0, UUID_BYTES)
  const userId = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  return { userId, sequence: Number(sequence) }
}

const UUID_BYTES = 16
const ID_BYTES = UUID_BYTES + 8
