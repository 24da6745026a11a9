import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { mintToken, parseToken } from './token.ts'

const read = (path: string) => readFileSync(new URL(`../../../../docs/${path}`, import.meta.url), 'utf8')
const rule = read('secret-scanning/gitleaks.toml')
const pattern = /^regex = '''(.+)'''$/m.exec(rule)?.[1] ?? ''
const keywords = [...(/^keywords = \[(.+)\]$/m.exec(rule)?.[1] ?? '').matchAll(/"([^"]+)"/g)].map(([, word]) => word ?? '')
const entropyMin = Number(/^entropy = (.+)$/m.exec(rule)?.[1])

/** Returns the Shannon entropy in bits per character. gitleaks computes it in the same way. */
function entropy(text: string): number {
  const counts = new Map<string, number>()
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1)
  return [...counts.values()].reduce((sum, count) => sum - (count / text.length) * Math.log2(count / text.length), 0)
}

describe('the rule for secret scanners', () => {
  it('the rule contains the same regular expression as docs/terms.md', () => {
    expect(pattern.length).toBeGreaterThan(20)
    expect(read('terms.md')).toContain(`\n${pattern}\n`)
  })

  it('finds each of 2,000 whole tokens in any surrounding text', () => {
    for (let i = 0; i < 2_000; i++) {
      const token = mintToken(['km', 'acme2', 'x'][i % 3] ?? '', i % 2 ? 'dev' : 'prod', randomUUID())
      const text = [`KEY=${token}`, `"${token}"`, `Bearer ${token}\n`, `https://x?key=${token}&a`, `(${token}).`][i % 5] ?? ''
      expect(new RegExp(pattern, 'g').exec(text)?.[0]).toBe(token)
      expect(keywords.some((word) => text.includes(word))).toBe(true)
      expect(entropy(token)).toBeGreaterThan(entropyMin)
    }
  })

  it('finds nothing in a text that only resembles a token', () => {
    const token = mintToken('km', 'dev', randomUUID())
    for (const text of [
      token.slice(0, -1),
      `${token}x`,
      token.replace('_dev_', '_test_'),
      token.replace('km', 'KM'),
      'km_dev_qP3usvwC…',
    ]) {
      expect(new RegExp(pattern).test(text)).toBe(false)
    }
  })

  it('finds the example in docs/terms.md, which is a valid token', () => {
    const shown = new RegExp(pattern).exec(read('terms.md'))?.[0] ?? ''
    expect(parseToken('km', shown)).not.toBeNull()
  })
})
