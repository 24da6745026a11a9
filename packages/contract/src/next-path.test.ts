import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { NEXT_PATH_LENGTH_MAX, nextPath } from './next-path.ts'

const SITE = 'https://dashboard.example'

describe('the path after a sign-in', () => {
  it.each(['/', '/usage', '/usage?range=7d&key=a%2Fb', '/activity#latest', '/keys/ü?x=//y', '/invitation#token=a//b'])(
    '%s is kept',
    (path) => {
      expect(new URL(nextPath(path), SITE).href).toBe(new URL(path, SITE).href)
    },
  )

  it.each([
    '//evil.example',
    '///evil.example',
    '/\\evil.example',
    '\\\\evil.example',
    '/\t/evil.example',
    '/\n/evil.example',
    ' //evil.example',
    '\u0000//evil.example',
    '/.//evil.example',
    '/%2e//evil.example',
    '/a/..//evil.example',
    '/%2f/evil.example',
    '/%2Fevil.example',
    '/%5cevil.example',
    '/%255cevil.example',
    '/%09/evil.example',
    '/%E0%A4%A',
    '/%',
    'https://evil.example',
    'https:evil.example',
    'HTTPS:/evil.example',
    'javascript:alert(1)',
    'data:text/html,x',
    'evil.example',
    '@evil.example',
    '',
    undefined,
    null,
    7,
    ['/usage'],
    { href: '/usage' },
  ])('%j becomes the first page', (value) => {
    expect(nextPath(value)).toBe('/')
  })

  it('a path is kept up to the maximum length', () => {
    const longest = `/${'x'.repeat(NEXT_PATH_LENGTH_MAX - 1)}`
    expect(nextPath(longest)).toBe(longest)
    expect(nextPath(`${longest}x`)).toBe('/')
    expect(nextPath(`/${'ü'.repeat(NEXT_PATH_LENGTH_MAX - 1)}`)).toBe('/')
  })

  it('every text leads to a page of the same site, also after it is decoded, and its result leads to the same page', () => {
    const part = fc.constantFrom(
      '/',
      '\\',
      '.',
      '..',
      '%2f',
      '%5C',
      '%25',
      '%2e',
      '%09',
      '\t',
      '\n',
      ':',
      '@',
      '?',
      '#',
      'javascript',
    )
    const host = fc.constantFrom('evil.example', 'evil.example:80', 'a@evil.example', 'x')
    const text = fc.array(fc.oneof({ weight: 4, arbitrary: part }, host, fc.string({ maxLength: 3 })), { maxLength: 8 })
    const kept: string[] = []
    fc.assert(
      fc.property(text, (parts) => {
        const path = nextPath(parts.join(''))
        if (path !== '/') kept.push(path)
        const [pathname = ''] = path.split(/[?#]/)
        for (const form of [path, decodeURIComponent(pathname), decodeURIComponent(decodeURIComponent(pathname))]) {
          expect(form).toMatch(/^\/(?![/\\])/)
          expect(new URL(form, SITE).origin).toBe(SITE)
        }
        expect(nextPath(path)).toBe(path)
      }),
      { numRuns: 20_000 },
    )
    // The property would also hold if every text were refused.
    expect(new Set(kept).size).toBeGreaterThan(100)
  })
})
