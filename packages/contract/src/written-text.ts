import { z } from 'zod'
import { isPlainText, NOT_PLAIN_TEXT } from './output.ts'
import { HAS_WHOLE_SECRET, hasNoWholeSecret } from './whole-secret.ts'

/**
 * A character that a reader sees. The properties of Unicode do not say that the last four characters are blank: the braille
 * pattern without dots, the null notehead, and two blank hieroglyphs.
 */
const VISIBLE =
  /[^\p{White_Space}\p{Default_Ignorable_Code_Point}\p{Control}\p{Format}\p{Surrogate}\u2800\u{1D159}\u{13441}\u{13442}]/u

/** True if a reader sees something. */
export function hasVisibleCharacter(text: string): boolean {
  return VISIBLE.test(text)
}

/**
 * Returns the schema of a text that people write and others read, e.g. a name: 1 to `lengthMax` characters of any language.
 * The characters are counted as code points, as Postgres counts them. White space at both ends is removed.
 *
 * - The text is normalised to NFC, so that texts which look the same are the same. The length is that of the normalised text.
 * - The text has a visible character. Otherwise pages would show nothing.
 * - The text has no bidirectional controls. They would reorder the text around it, e.g. a question with a name in it. Letters
 *   of scripts that are written from right to left need no controls.
 * - The text contains no whole secret. The normalised text is checked, because some characters become ASCII letters.
 *
 * @param nothingVisible The message for a text without a visible character.
 */
export function writtenText(lengthMax: number, nothingVisible: string) {
  return z
    .string()
    .normalize('NFC')
    .trim()
    .refine(hasVisibleCharacter, nothingVisible)
    .refine((text) => [...text].length <= lengthMax, `Use at most ${lengthMax} characters.`)
    .refine(isPlainText, NOT_PLAIN_TEXT)
    .refine((text) => !/\p{Bidi_Control}/u.test(text), 'Leave out characters that change the direction of the text.')
    .refine(hasNoWholeSecret, HAS_WHOLE_SECRET)
    .meta({ minLength: 1, maxLength: lengthMax })
}
