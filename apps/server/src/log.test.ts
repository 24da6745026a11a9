import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createLog } from './log.ts'
import { createRedaction, PATTERNS } from './redact.ts'

const KEY = 'km_dev_qP3usvwCaoJvXLrM01gigb5XOmK035391nkbgAGKudCjLAm7Y4KKHwa'
const TOKEN = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl'
const PASSWORD = 'a-password'
const SERVICE_KEY = 'service/"key"\\ of 32 ünïcode characters'

function capture(level: string) {
  const lines: string[] = []
  const log = createLog({ level, secrets: [SERVICE_KEY, null] }, { write: (line) => lines.push(line) })
  return { lines, log }
}

/** Writes `text` to every part of a log line. */
function writeEverywhere(log: ReturnType<typeof capture>['log'], text: string) {
  log.info(text)
  log.info({ [text]: 1 }, 'as a name')
  log.warn({ a: { b: { c: { d: [{ e: text }] } } } }, 'deep')
  log.error({ err: new Error(`about ${text}`, { cause: new Error(text) }) }, 'in an error')
  log.info(JSON.stringify({ a: JSON.stringify({ text }) }))
  log.child({ text }).debug('%s', `GET /trpc/x?key=${text}&y=1`)
}

/** Any text, e.g. one that ends with a letter or a backslash, so that the secret is glued to it. */
const around = fc.string({ unit: 'grapheme', maxLength: 40 })
const chars = (alphabet: string, minLength: number, maxLength: number) =>
  fc.array(fc.constantFrom(...alphabet), { minLength, maxLength }).map((list) => list.join(''))
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const base64url = (min: number, max: number) => chars(`${BASE62}-_`, min, max)

/** A secret, and the shortest text that shows that it is one. */
const secrets: fc.Arbitrary<{ secret: string; text: string }> = fc.oneof(
  fc
    .tuple(chars('abkmz09', 0, 15), fc.constantFrom('dev', 'prod'), chars(BASE62, 55, 55))
    .map(([brand, type, rest]) => ({ secret: rest, text: `k${brand}_${type}_${rest}` })),
  base64url(43, 43).map((secret) => ({ secret, text: `kminv_${secret}` })),
  fc
    .tuple(base64url(10, 60), base64url(10, 200), base64url(20, 60))
    .map(([header, payload, signature]) => ({ secret: signature, text: `eyJ${header}.eyJ${payload}.${signature}` })),
  fc
    .tuple(fc.constantFrom('Bearer ', 'bearer ', 'Basic ', 'Bearer%20'), chars(`${BASE62}+/=.~-_`, 32, 64))
    .map(([scheme, secret]) => ({ secret, text: `${scheme}${secret}` })),
  fc
    .tuple(fc.constantFrom('postgres', 'postgresql', 'https'), chars(`${BASE62}!$%^*()@:;,.-_~`, 12, 400))
    .map(([scheme, secret]) => ({ secret, text: `${scheme}://keymeter_api:${secret}@db.example:5432/postgres` })),
  fc
    .tuple(
      fc.constantFrom('password', 'refresh_token', 'refreshToken', 'SUPABASE_JWT_SECRET', 'apikey'),
      fc.constantFrom('=', ': '),
      chars(BASE62, 12, 80),
    )
    .map(([name, sign, secret]) => ({ secret, text: `${name}${sign}${secret}` })),
  fc
    .tuple(
      fc.constantFrom('password', 'refreshToken', 'jwt_secret', 'serviceKey', 'Authorization'),
      fc.string({ minLength: 12, unit: 'grapheme' }),
    )
    .map(([name, secret]) => ({ secret, text: JSON.stringify({ a: 1, [name]: secret, b: 'x' }) })),
  fc.constant({ secret: SERVICE_KEY, text: SERVICE_KEY }),
)

describe('log', () => {
  it('the log contains no key, token or database password in any part of a line', () => {
    const { lines, log } = capture('trace')
    for (const secret of [KEY, TOKEN]) {
      log.info(secret)
      log.info({ [secret]: 1 }, 'as a name')
      log.warn({ a: { b: { c: { d: [{ e: secret }] } } } }, 'deep')
      log.error({ err: new Error(`about ${secret}`, { cause: new Error(secret) }) }, 'in an error')
      log.child({ secret }).debug('%s', `GET /trpc/x?key=${secret}&y=1`)
    }
    log.error({ err: new Error(`connect postgresql://keymeter_api:${PASSWORD}@127.0.0.1:5432/postgres`) }, 'in a URL')
    const all = lines.join('')
    for (const secret of [KEY, TOKEN, PASSWORD, 'c2lnbmF0dXJl']) expect(all).not.toContain(secret)
    expect(all.match(/\[secret\]/g)?.length).toBeGreaterThanOrEqual(13)
    for (const line of lines) expect(() => JSON.parse(line)).not.toThrow()
  })

  it('the log contains no secret, no matter which text is around the secret, and each line stays valid JSON', () => {
    fc.assert(
      fc.property(around, secrets, around, (before, { secret, text }, after) => {
        const { lines, log } = capture('trace')
        // White space or a quotation mark ends a secret that has no shape of its own.
        writeEverywhere(log, `${before}${text} ${after}`)
        expect(lines).toHaveLength(6)
        const written = JSON.stringify(secret).slice(1, -1)
        for (const line of lines) {
          // A random text around the secret can contain a short secret by chance, but not one of 12 characters.
          expect(line).not.toContain(written)
          expect(JSON.stringify(JSON.parse(line))).not.toContain(written)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  it('the log hides an API key that other characters surround', () => {
    for (const text of [`x_${KEY}`, `X${KEY}`, `9${KEY}_y`, `ключ${KEY}`, `km_prod_km_dev_${KEY.slice(7)}`]) {
      expect(createRedaction([])(text)).not.toContain(KEY.slice(-40))
    }
  })

  it('the log does not hide values that only look like a secret', () => {
    const { lines, log } = capture('info')
    const fine = {
      url: 'http://127.0.0.1:3000/a@b',
      prefix: 'km_dev_qP3usvwC',
      reason: 'secret_not_lost',
      isSecretSaved: true,
      idempotencyKey: 'order-1',
      message: 'Send the access token as "authorization: Bearer …", and not as a Basic one.',
    }
    log.info(fine, 'fine')
    const { message, ...others } = fine
    expect(JSON.parse(lines[0] ?? '')).toMatchObject(others)
    expect(JSON.parse(lines[0] ?? '').message).toMatch(/^Send the access token as .* and not as a Basic one\.$/)
  })

  it('the log searches a line in linear time: only the end of a pattern has an unlimited quantifier', () => {
    for (const [name, { source, flags }] of Object.entries(PATTERNS)) {
      const withoutClasses = source.replaceAll(/\\./g, 'x').replaceAll(/\[[^\]]*\]/g, 'x')
      const unlimited = [...withoutClasses.matchAll(/[*+]|\{\d+,\}/g)]
      const isAtEnd = unlimited.every((match) => match.index + match[0].length === withoutClasses.length)
      expect([name, unlimited.length <= 1 && isAtEnd, flags.startsWith('g')]).toEqual([name, true, true])
    }
  })
})
