import { createHash, randomBytes } from 'node:crypto'

const TOKEN_BYTES = 32

/** Creates the token of an invitation. Nobody can guess it, so the token is the right to read the invitation. */
export function mintInvitationToken(): string {
  return `kminv_${randomBytes(TOKEN_BYTES).toString('base64url')}`
}

/** Returns the SHA-256 hash, which is all that the database stores. A token has 256 random bits, so the hash needs no salt. */
export function hashInvitationToken(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
