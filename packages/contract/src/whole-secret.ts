/**
 * The beginning of a secret that stays visible: the end of any brand, the type, and 8 random characters. A search for the whole
 * brand would try up to 16 lengths at each character of a text.
 */
const KEY_PREFIX = '[a-z0-9]_(?:dev|prod)_[0-9A-Za-z]{8}'
/** It has no word boundaries, because a secret can be glued to any other text, e.g. in a URL. */
const WHOLE_SECRET = new RegExp(`${KEY_PREFIX}[0-9A-Za-z]{47}`)
const MORE_THAN_KEY_PREFIX = new RegExp(`(${KEY_PREFIX})[0-9A-Za-z]+`, 'g')

/** Characters that nobody sees, e.g. a zero-width space. A reader would still read the secret around them. */
const IGNORABLE = /\p{Default_Ignorable_Code_Point}/gu

/**
 * True if the text contains no whole secret of any brand. Each text that is stored, logged or shown must pass this check, except
 * the secret of a charge.
 */
export function hasNoWholeSecret(text: string): boolean {
  return !WHOLE_SECRET.test(text.replace(IGNORABLE, ''))
}
export const HAS_WHOLE_SECRET = 'This contains a whole secret, which would be stored or shown: send its key prefix instead.'

/**
 * Cuts each secret in a text to its key prefix, also a secret whose end is missing. It is for texts that must not be refused,
 * e.g. the user agent of a call.
 */
export function cutSecrets(text: string): string {
  return (hasNoWholeSecret(text) ? text : text.replace(IGNORABLE, '')).replace(MORE_THAN_KEY_PREFIX, '$1')
}
