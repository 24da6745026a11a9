/** `%5F` is an underscore in a URL. A text that was encoded twice contains `%255F`. */
const UNDERSCORE = '(?:_|%(?:25)*5[Ff])'
/**
 * The beginning of a secret that stays visible, without its brand: the type and 8 random characters. The lookbehind lets a match
 * begin inside of another secret that is glued to it.
 */
const KEY_PREFIX = `(?<=[a-z0-9])${UNDERSCORE}(?:dev|prod)${UNDERSCORE}[0-9A-Za-z]{8}`
/**
 * A text with 20 of the 27 random characters counts as a secret: the rest of the secret is known to its customer, or can be
 * computed or guessed. The log of the server has the same limit (redact.ts). It has no word boundaries, because a secret can be
 * glued to any other text, e.g. in a URL.
 */
const API_SECRET = `(${KEY_PREFIX})[0-9A-Za-z]{12,}`
/** Most of the token of an invitation. Only the word before it stays visible. */
const INVITATION = `(kminv)${UNDERSCORE}[\\w-]{20,}`
const SECRET = new RegExp(`${API_SECRET}|${INVITATION}`, 'g')

/**
 * True if the text contains no secret of any brand and no token of an invitation, and not most of one. Each text that is stored, logged or shown must pass this
 * check, except the secret of a charge.
 */
export function hasNoWholeSecret(text: string): boolean {
  return asciiOf(text).search(SECRET) === -1
}
export const HAS_WHOLE_SECRET = 'This contains a whole secret, which would be stored or shown: send its key prefix instead.'

/**
 * Cuts each secret in a text to its key prefix, and each token of an invitation to its first word. It is for texts that must not be refused, e.g. the user agent of a call. If the
 * text contains a secret, all characters that are not ASCII are left out too, because the secret can be hidden among them.
 */
export function cutSecrets(text: string): string {
  return hasNoWholeSecret(text) ? text : asciiOf(text).replace(SECRET, '$1$2')
}

/**
 * Returns the text as a person could read a secret in it: without invisible and other foreign characters, and with e.g. full-width
 * letters as ASCII letters.
 */
function asciiOf(text: string): string {
  return text.normalize('NFKC').replace(/[^\x20-\x7e]/g, '')
}
