import { hasVisibleCharacter } from '@keymeter/contract'

/**
 * These characters change the direction of all text up to their end, e.g. `exe.png` can look like `gnp.exe`. They are left out
 * when the page shows the text. The marks for single characters (U+200E, U+200F, U+061C) stay: texts in Arabic and Hebrew need
 * them.
 */
const DIRECTION_CONTROLS = /[\u202A-\u202E\u2066-\u2069]/g
const FIRST_STRONG_ISOLATE = '\u2068'
const POP_DIRECTIONAL_ISOLATE = '\u2069'

/** Shows text that a user wrote. Right-to-left letters in it do not change the order of the text around it. */
export function UserText({ children }: { children: string }) {
  return <bdi>{shownText(children)}</bdi>
}

/**
 * Does the same as `UserText` for an attribute, e.g. a tooltip, because an attribute cannot contain elements. Text of ASCII
 * characters needs no isolation.
 */
export function isolated(text: string): string {
  if (/^[\x20-\x7E]*$/.test(text)) return text
  return `${FIRST_STRONG_ISOLATE}${shownText(text)}${POP_DIRECTIONAL_ISOLATE}`
}

/** A text that consists only of blank or invisible characters would look like a mistake of the page. */
function shownText(text: string): string {
  return hasVisibleCharacter(text) ? text.replace(DIRECTION_CONTROLS, '') : '(invisible text)'
}
