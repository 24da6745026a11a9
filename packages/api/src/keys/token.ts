import { createHash, randomInt } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { KeyType } from '@keymeter/contract'
import { z } from 'zod'

/**
 * The content of a token. A token is `<brand>_<dev|prod>_<body>`. The body consists of 27 random characters, the account of
 * the key, and the CRC-32 of all characters before it. The body is base62, so a double-click selects the whole token. The
 * CRC-32 lets the server refuse typos and random strings without a query.
 */
export interface ParsedToken {
  keyType: KeyType
  /**
   * The account that the token names. Anybody can make up a token with this account, so a caller is trusted only after the
   * token's hash is found among the secrets of the account.
   */
  userId: string
}

/**
 * The first part of a token, which the operator chooses. It contains no underscore, because underscores separate the parts of
 * a token.
 */
export const KeyBrand = z
  .string()
  .regex(/^[a-z][a-z0-9]{0,15}$/, 'Use 1 to 16 characters of a-z and 0-9, and begin with a letter.')

/** The brand of a deployment that has not chosen one. */
export const KEY_BRAND_DEFAULT = 'km'

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
/** 27 characters are more than 160 random bits, because 62^27 > 2^160. */
const RANDOM_LENGTH = 27
/** 22 characters can represent any UUID, because 62^22 > 2^128. */
const ACCOUNT_LENGTH = 22
/** 6 characters can represent any CRC-32, because 62^6 > 2^32. */
const CHECKSUM_LENGTH = 6
/**
 * The number of random characters in the key prefix, which stays visible. The other 19 random characters stay secret. They are
 * 113 bits.
 */
const PREFIX_RANDOM_LENGTH = 8

const TOKEN = new RegExp(
  `^(?<brand>[a-z][a-z0-9]{0,15})_(?<keyType>${KeyType.options.join('|')})_` +
    `[0-9A-Za-z]{${RANDOM_LENGTH}}(?<account>[0-9A-Za-z]{${ACCOUNT_LENGTH}})[0-9A-Za-z]{${CHECKSUM_LENGTH}}$`,
)

/** Creates a token for the account `userId`. The random characters come from the system's secure random number generator. */
export function mintToken(brand: string, keyType: KeyType, userId: string): string {
  const random = Array.from({ length: RANDOM_LENGTH }, () => BASE62[randomInt(BASE62.length)]).join('')
  const unchecked = `${brand}_${keyType}_${random}${encodeAccount(userId)}`
  return unchecked + checksum(unchecked)
}

/**
 * Returns the content of a token. Returns null if the text is not a token of this brand, because its format or its checksum is
 * wrong.
 */
export function parseToken(brand: string, token: string): ParsedToken | null {
  const parts = TOKEN.exec(token)?.groups
  if (parts === undefined || parts['brand'] !== brand) return null
  if (checksum(token.slice(0, -CHECKSUM_LENGTH)) !== token.slice(-CHECKSUM_LENGTH)) return null
  const userId = decodeAccount(parts['account'] ?? '')
  return userId === null ? null : { keyType: KeyType.parse(parts['keyType']), userId }
}

/**
 * Returns the hash of a token, which the database stores. A fast hash is safe, because nobody can try all values of 160 random
 * bits.
 */
export function hashToken(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

export function tokenPrefix(token: string): string {
  return token.slice(0, token.lastIndexOf('_') + 1 + PREFIX_RANDOM_LENGTH)
}

function checksum(text: string): string {
  return encode(BigInt(crc32(text)), CHECKSUM_LENGTH)
}

function encodeAccount(userId: string): string {
  return encode(BigInt(`0x${userId.replaceAll('-', '')}`), ACCOUNT_LENGTH)
}

function decodeAccount(encoded: string): string | null {
  let value = 0n
  for (const digit of encoded) value = value * 62n + BigInt(BASE62.indexOf(digit))
  const hex = value.toString(16).padStart(32, '0')
  return hex.length === 32 ? hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5') : null
}

/** Returns `value` in base62, padded with zeros to `length`. */
function encode(value: bigint, length: number): string {
  let encoded = ''
  for (let rest = value; rest > 0n; rest /= 62n) encoded = BASE62[Number(rest % 62n)] + encoded
  return encoded.padStart(length, '0')
}
