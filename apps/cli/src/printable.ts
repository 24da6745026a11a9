/** The zero-width joiner and non-joiner, which emoji and some scripts need, and the line feed. */
const HARMLESS = ['\u200d', '\u200c', '\n']

/**
 * Returns a text in which control characters and invisible characters are written as escapes, e.g. `\u001b`. A customer could
 * otherwise write into the operator's terminal, with a name that contains such characters. JSON stays valid JSON.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Control}\p{Format}\p{Line_Separator}\p{Paragraph_Separator}]/gu, (character) =>
    HARMLESS.includes(character) ? character : character.split('').map(escaped).join(''),
  )
}

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}
