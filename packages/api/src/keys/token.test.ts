import { randomBytes, randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hashToken, mintToken, parseToken, tokenPrefix } from './token.ts'

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const keyTypes = fc.constantFrom('dev' as const, 'prod' as const)
const brands = fc.stringMatching(/^[a-z][a-z0-9]{0,15}$/)

describe('a minted token', () => {
  it('contains its type and account, which a parser returns only for its own brand', () => {
    fc.assert(
      fc.property(brands, brands, keyTypes, fc.uuid(), (brand, otherBrand, keyType, userId) => {
        const token = mintToken(brand, keyType, userId)
        expect(parseToken(brand, token)).toEqual({ keyType, userId })
        if (otherBrand !== brand) expect(parseToken(otherBrand, token)).toBeNull()
      }),
      { numRuns: 2_000 },
    )
  })

  it('can contain the smallest and the largest account id', () => {
    for (const userId of ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff']) {
      expect(parseToken('km', mintToken('km', 'dev', userId))?.userId).toBe(userId)
    }
  })

  it('a token is a single word, so that a double-click selects it, and its prefix shows brand, type and 8 random characters', () => {
    const token = mintToken('km', 'prod', randomUUID())
    expect(token).toMatch(/^\w+$/)
    expect(token).toMatch(/^km_prod_[0-9A-Za-z]{55}$/)
    expect(tokenPrefix(token)).toMatch(/^km_prod_[0-9A-Za-z]{8}$/)
    expect(token.startsWith(tokenPrefix(token))).toBe(true)
  })

  it('contains 27 random characters, which are evenly distributed and never repeat', () => {
    const userId = randomUUID()
    const bodies = Array.from({ length: 20_000 }, () =>
      mintToken('km', 'dev', userId).slice('km_dev_'.length, 'km_dev_'.length + 27),
    )
    expect(new Set(bodies).size).toBe(bodies.length)
    const expected = (bodies.length * 27) / 62
    const counts = new Map<string, number>()
    for (const character of bodies.join('')) counts.set(character, (counts.get(character) ?? 0) + 1)
    const chiSquare = [...BASE62].reduce((sum, character) => sum + ((counts.get(character) ?? 0) - expected) ** 2 / expected, 0)
    // A chi-square test with 61 degrees of freedom. If the characters are evenly distributed, the value exceeds 140 about
    // once in 10^7 runs.
    expect(chiSquare).toBeLessThan(140)
  })

  it('hashToken returns the SHA-256 hash of a token', () => {
    expect(hashToken('abc').toString('hex')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  })
})

describe('a string that is not a token', () => {
  it('a string with a wrong checksum is refused: none of 10^5 random strings in the format of a token passes', () => {
    let accepted = 0
    for (let batch = 0; batch < 100; batch++) {
      const bytes = randomBytes(1_000 * 55)
      for (let i = 0; i < 1_000; i++) {
        let body = ''
        for (const byte of bytes.subarray(i * 55, (i + 1) * 55)) body += BASE62[byte % 62]
        if (parseToken('km', `km_dev_${body}`) !== null) accepted++
      }
    }
    expect(accepted).toBe(0)
  })

  it('a token with one wrong character is refused: none of 40,000 such strings passes', () => {
    const typed = `${BASE62}_-. `
    let accepted = 0
    for (let i = 0; i < 10_000; i++) {
      const token = mintToken('km', i % 2 ? 'dev' : 'prod', randomUUID())
      const at = i % token.length
      const character = typed[Math.floor(Math.random() * typed.length)] ?? ''
      const replaced = token.slice(0, at) + character + token.slice(at + 1)
      const dropped = token.slice(0, at) + token.slice(at + 1)
      const doubled = token.slice(0, at) + token.slice(at - 1)
      for (const typo of [replaced, dropped, doubled, swapped(token, at)]) {
        if (typo !== token && parseToken('km', typo) !== null) accepted++
      }
    }
    expect(accepted).toBe(0)
  })

  it('a random text is refused', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        expect(parseToken('km', text)).toBeNull()
      }),
      { numRuns: 2_000 },
    )
  })

  it('a text that contains a valid token and anything else is refused, e.g. a token with a newline at the end', () => {
    const token = mintToken('km', 'dev', randomUUID())
    for (const text of [` ${token}`, `${token} `, `${token}\n`, `\n${token}`, `Bearer ${token}`, token.toUpperCase()]) {
      expect(parseToken('km', text)).toBeNull()
    }
  })
})

function swapped(token: string, at: number): string {
  return token.slice(0, at) + (token[at + 1] ?? '') + (token[at] ?? '') + token.slice(at + 2)
}
