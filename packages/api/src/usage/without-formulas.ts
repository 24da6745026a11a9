/** Spreadsheets run text that begins with one of these characters. Some also accept the full-width forms. */
const FORMULA = '[=+\\-@\uFF1D\uFF0B\uFF0D\uFF20]'
/** Spreadsheets can remove these characters from the beginning of a cell: blanks, invisible characters, quotes, separators. */
const SKIPPED = '[\\p{Z}\\p{C}\\p{Pi}\\p{Pf}"\'`,;|]'

const BEGINS_LIKE_FORMULA = new RegExp(`^${SKIPPED}*${FORMULA}`, 'u')
/** Consumes each run of skipped characters once, so that the time grows only linearly with the length of the text. */
const SKIPPED_RUN = new RegExp(`(${SKIPPED}+)(${FORMULA}?)`, 'gu')
const SEPARATOR = /[;|\t\r\n]/

/**
 * Returns the text of a CSV cell with apostrophes before each part that a spreadsheet could run as a formula. Other text stays
 * unchanged.
 *
 * - One apostrophe comes before the whole text if the text begins with a formula, or with blanks, quotes or separators and then
 *   a formula.
 * - One apostrophe comes before each formula that follows a separator other than a comma. Excel splits lines at semicolons in
 *   countries that write decimal commas. It then ignores the quotes around a cell, because they are not at the beginning of
 *   what it takes for a cell, so `a;=1+1` would become two cells, and the second one would run.
 */
export function withoutFormulas(text: string): string {
  const separated = text.replace(SKIPPED_RUN, (run, skipped: string, formula: string) =>
    formula !== '' && SEPARATOR.test(skipped) ? `${skipped}'${formula}` : run,
  )
  return BEGINS_LIKE_FORMULA.test(text) ? `'${separated}` : separated
}
