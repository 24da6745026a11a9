import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { withoutFormulas } from './without-formulas.ts'

/** Texts of characters that matter to spreadsheets, and some that do not. */
const text = fc.string({ unit: fc.constantFrom(...'=+-@＝;,|\t\r\n "\'“`\u00a0\u200b\ufeffa1'), maxLength: 12 })

describe('withoutFormulas', () => {
  it('a spreadsheet finds no formula in the text, no matter at which separator it splits, and which characters it skips', () => {
    fc.assert(
      fc.property(text, (one) => {
        const safe = withoutFormulas(one)
        for (const separator of [/$^/, /;/, /[;\r\n]/, /\|/, /\t/, /[;\t|\r\n]/])
          for (const cell of safe.split(separator)) expect(cell).not.toMatch(/^[\s\u200b"“`,;|]*[=+\-@＝]/)
        expect(safe.replaceAll("'", '')).toBe(one.replaceAll("'", ''))
      }),
      { numRuns: 5_000 },
    )
  })

  it('text that a spreadsheet does not run stays unchanged', () => {
    for (const one of ['', 'Production - EU', 'a=b', 'a, -b', "it's", 'x;y', 'mail@example.com', '木', "'quoted'"])
      expect(withoutFormulas(one)).toBe(one)
  })
})
