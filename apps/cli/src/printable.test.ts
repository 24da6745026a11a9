import { describe, expect, it } from 'vitest'
import { printable } from './printable.ts'

describe('text on the terminal', () => {
  it('control characters and invisible characters are written as escapes, and all other text stays', () => {
    expect(printable('x\u001b[2J\u0007\u009b\r\u202e\u2028\ufff9\t.')).toBe(
      String.raw`x\u001b[2J\u0007\u009b\u000d\u202e\u2028\ufff9\u0009.`,
    )
    const plain = 'Ключ 鍵 مفتاح 👩‍💻 क्‍ष\nnext line'
    expect(printable(plain)).toBe(plain)
  })

  it('JSON stays valid, and its value stays the same', () => {
    const value = { name: 'x\u009b\u202e\u{e0041}"\\' }
    expect(JSON.parse(printable(JSON.stringify(value)))).toEqual(value)
  })
})
