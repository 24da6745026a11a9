/**
 * Names a usage event to the company's backend, which holds on to it until it settles, releases or refunds: the account
 * and the event's sequence in 24 bytes, as base64url behind what the event is (`charge_`, `hold_`). It is a name and
 * proves nothing: the service key does.
 */
export function encodeEventId(kind: 'charge' | 'hold', userId: string, sequence: number): string {
  const bytes = Buffer.alloc(ID_BYTES)
  bytes.write(userId.replaceAll('-', ''), 'hex')
  bytes.writeBigUInt64BE(BigInt(sequence), UUID_BYTES)
  return `${kind}_${bytes.toString('base64url')}`
}

/** Null for what `encodeEventId` never made. */
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
