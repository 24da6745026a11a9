import { describe, expect, it } from 'vitest'
import { CreateKey, KEY_NAME_LENGTH_MAX, KeyName, ListKeys } from './keys.ts'
import { GrantTopUp, TOP_UP_NOTE_LENGTH_MAX } from './operator.ts'

const noteOf = (note: string) =>
  GrantTopUp.safeParse({
    accountId: '2f1c9a0e-6d0b-4f3e-9a51-7c3b8f2d1e60',
    credits: 1,
    idempotencyKey: 'x',
    note,
  })
/** Every schema of a text that people write and others read. */
const SCHEMAS = [
  ['the name of a key', (text: string) => KeyName.safeParse(text).success, KEY_NAME_LENGTH_MAX],
  ['the note of a top-up', (text: string) => noteOf(text).success, TOP_UP_NOTE_LENGTH_MAX],
] as const

describe.each(SCHEMAS)('%s', (_, accepts, lengthMax) => {
  it.each([
    ['zero-width space', '\u200b'],
    ['zero-width joiner and non-joiner', '\u200d\u200c'],
    ['byte order mark', '\ufeff'],
    ['word joiner', '\u2060'],
    ['soft hyphen', '\u00ad'],
    ['combining grapheme joiner', '\u034f'],
    ['Hangul fillers', '\u115f\u1160\u3164\uffa0'],
    ['braille blank', '\u2800'],
    ['variation selectors', '\ufe0f\u{e0100}'],
    ['tag characters', '\u{e0041}\u{e007f}'],
    ['ideographic space', '\u3000'],
    ['no-break space and line separator', '\u00a0\u2028'],
    ['null notehead', '\u{1d159}'],
    ['blank hieroglyphs', '\u{13441}\u{13442}'],
    ['Mongolian vowel separator', '\u180e'],
    ['interlinear annotation', '\ufff9\ufffa\ufffb'],
    ['nothing', ''],
  ])('needs a visible character: %s is not enough', (_, blank) => {
    for (const text of [blank, `${blank} ${blank}`, `\u200b${blank}\u2800`]) expect(accepts(text)).toBe(false)
    expect(accepts(`${blank}a${blank}`)).toBe(true)
  })

  it('contains no bidirectional control', () => {
    const ranges = [
      [0x061c, 0x061c],
      [0x200e, 0x200f],
      [0x202a, 0x202e],
      [0x2066, 0x2069],
    ] as const
    const codes = ranges.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, n) => first + n))
    expect(codes).toHaveLength(12)
    for (const code of codes) expect(accepts(`a${String.fromCodePoint(code)}b`), code.toString(16)).toBe(false)
  })

  it.each(['مفتاح الإنتاج', 'מפתח ייצור 2', 'क्‍ष क्‌ष', 'می‌خواهم', '👩‍👩‍👧‍👦', '🏴󠁧󠁢󠁳󠁣󠁴󠁿', '❤️', 'key 木', '\u0301', '.'])(
    'can be %s',
    (text) => {
      expect(accepts(text)).toBe(true)
    },
  )

  it('is counted in code points after its normalisation, up to the maximum length and not past it', () => {
    for (const letter of ['a', '😀', 'e\u0301', '\u1100\u1161\u11a8']) {
      expect(accepts(letter.repeat(lengthMax))).toBe(true)
      expect(accepts(letter.repeat(lengthMax + 1))).toBe(false)
    }
    // U+0958 has two code points in NFC.
    expect(accepts('\u0958'.repeat(lengthMax / 2))).toBe(true)
    expect(accepts('\u0958'.repeat(lengthMax / 2 + 1))).toBe(false)
  })
})

describe('the same text in another form', () => {
  it('becomes the same name, the same note and the same search text', () => {
    const forms = ['Schlu\u0308ssel', 'Schl\u00fcssel', ' Schlu\u0308ssel ']
    expect(new Set(forms.map((name) => CreateKey.parse({ name }).name))).toEqual(new Set(['Schl\u00fcssel']))
    expect(new Set(forms.map((search) => ListKeys.parse({ search }).search))).toEqual(new Set(['Schl\u00fcssel']))
    expect(new Set(forms.map((note) => noteOf(note).data?.note))).toEqual(new Set(['Schl\u00fcssel']))
  })
})
