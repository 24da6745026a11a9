import cliTruncate from 'cli-truncate'
import stringWidth from 'string-width'

export interface Column<Row> {
  title: string
  /** Numbers are aligned on the right, and null is shown as `-`. */
  value: (row: Row) => string | number | null
  /** The maximum width. A longer text is cut, and ends with `…`. */
  widthMax?: number
}

const GAP = '  '

/** Returns the rows as aligned lines below a line of titles. Widths are those of a terminal, where some characters are two wide. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = columns.map(({ title, value, widthMax = Number.POSITIVE_INFINITY }) => {
    const values = rows.map(value)
    const isNumeric = values.some((one) => typeof one === 'number')
    const texts = [title, ...values.map((one) => cliTruncate(String(one ?? '-'), Math.min(widthMax, 1_000)))]
    const width = Math.max(...texts.map((text) => stringWidth(text)))
    return texts.map((text) => {
      const padding = ' '.repeat(width - stringWidth(text))
      return isNumeric ? padding + text : text + padding
    })
  })
  return ['', ...rows]
    .map((_, line) =>
      cells
        .map((column) => column[line])
        .join(GAP)
        .trimEnd(),
    )
    .join('\n')
}
