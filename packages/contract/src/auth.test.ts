import { describe, expect, it } from 'vitest'
import {
  CAPTCHA_TOKEN_LENGTH_MAX,
  EMAIL_LENGTH_MAX,
  Email,
  PASSWORD_BYTES_MAX,
  PASSWORD_LENGTH_MIN,
  RequestLink,
  SignUp,
  withAsciiDomain,
} from './auth.ts'

const accepts = (input: { email?: string; password?: string }) =>
  SignUp.safeParse({ email: 'someone@example.com', password: 'a long password', ...input }).success

describe('signing up', () => {
  it('accepts only passwords of the allowed lengths, and measures the maximum in bytes', () => {
    expect(accepts({ password: 'x'.repeat(PASSWORD_LENGTH_MIN) })).toBe(true)
    expect(accepts({ password: 'x'.repeat(PASSWORD_LENGTH_MIN - 1) })).toBe(false)
    expect(accepts({ password: 'x'.repeat(PASSWORD_BYTES_MAX) })).toBe(true)
    expect(accepts({ password: 'x'.repeat(PASSWORD_BYTES_MAX + 1) })).toBe(false)
    expect(accepts({ password: 'é'.repeat(PASSWORD_BYTES_MAX / 2) })).toBe(true)
    expect(accepts({ password: `x${'é'.repeat(PASSWORD_BYTES_MAX / 2)}` })).toBe(false)
  })

  it('accepts e-mail addresses up to the maximum length to which mail can be sent', () => {
    const address = (length: number) =>
      `someone@${`${'x'.repeat(60)}.`.repeat(4)}`
        .slice(0, length - 4)
        .padEnd(length - 4, 'x')
        .concat('.com')
    expect(address(EMAIL_LENGTH_MAX)).toHaveLength(EMAIL_LENGTH_MAX)
    expect(accepts({ email: address(EMAIL_LENGTH_MAX) })).toBe(true)
    expect(accepts({ email: address(EMAIL_LENGTH_MAX + 1) })).toBe(false)
  })
})

describe('a request for a mail', () => {
  it('accepts a captcha token up to the maximum length, and only a page of this site', () => {
    const accepts = (input: object) => RequestLink.safeParse({ email: 'someone@example.com', ...input }).success
    expect(accepts({ captchaToken: 'x'.repeat(CAPTCHA_TOKEN_LENGTH_MAX) })).toBe(true)
    expect(accepts({ captchaToken: 'x'.repeat(CAPTCHA_TOKEN_LENGTH_MAX + 1) })).toBe(false)
    expect(accepts({ next: '/usage?range=day' })).toBe(true)
    for (const next of ['//evil.example', 'https://evil.example', 'usage', '']) expect(accepts({ next })).toBe(false)
  })
})

const INVALID = 'Enter an e-mail address, like name@example.com.'
const NOT_ASCII = "Before the @, use only the letters a to z, digits and . _ ' + -."

describe('an e-mail address', () => {
  it.each([
    ['someone@example.com', 'someone@example.com'],
    [' someone@example.com ', 'someone@example.com'],
    ["o'neil.x_y-z+tag@example.com", "o'neil.x_y-z+tag@example.com"],
    ['Someone@Example.COM', 'Someone@example.com'],
    ['someone@example.com.', 'someone@example.com'],
    ['user@bücher.example', 'user@xn--bcher-kva.example'],
    ['user@BÜCHER.example', 'user@xn--bcher-kva.example'],
    ['user@bu\u0308cher.example', 'user@xn--bcher-kva.example'],
    ['user@xn--bcher-kva.example', 'user@xn--bcher-kva.example'],
    ['user@XN--BCHER-KVA.example', 'user@xn--bcher-kva.example'],
    ['user@faß.example', 'user@xn--fa-hia.example'],
    ['user@例え.jp', 'user@xn--r8jz45g.jp'],
    ['user@例え。jp。', 'user@xn--r8jz45g.jp'],
    ['user@例え.テスト', 'user@xn--r8jz45g.xn--zckzah'],
    ['user@ｅxample.com', 'user@example.com'],
  ])('%s is accepted as %s', (written, address) => {
    expect(Email.parse(written)).toBe(address)
    expect(withAsciiDomain(withAsciiDomain(written))).toBe(withAsciiDomain(written))
  })

  it.each([
    ['nonsense', INVALID],
    ['@example.com', INVALID],
    ['someone@', INVALID],
    ['someone@.', INVALID],
    ['someone@...', INVALID],
    ['someone@example.com..', INVALID],
    ['someone@example', INVALID],
    ['someone@-example.com', INVALID],
    ['someone@127.0.0.1', INVALID],
    ['someone@１２７.0.0.1', INVALID],
    ['someone@1', INVALID],
    ['someone@[127.0.0.1]', INVALID],
    ['someone@[::1]', INVALID],
    ['someone@\u200d.com', INVALID],
    ['someone@exa mple.com', INVALID],
    ['someone@bücher.example/path', INVALID],
    ['someone@bücher.example:80', INVALID],
    ['someone@b%C3%BCcher.example', INVALID],
    ['some@one@bücher.example', INVALID],
    ['some..one@example.com', INVALID],
    [`someone@${'ü'.repeat(60)}.example`, INVALID],
    ['用户@example.com', NOT_ASCII],
    ['jürgen@bücher.example', NOT_ASCII],
  ])('%s is refused', (written, message) => {
    expect(Email.safeParse(written).error?.issues.map((issue) => issue.message)).toEqual([message])
  })

  it('is measured after its domain is converted, because mail servers limit the ASCII form', () => {
    const address = (length: number) => `${'x'.repeat(length - '@ü.xn--p1ai'.length - 6)}@ü.xn--p1ai`
    expect(Email.parse(address(EMAIL_LENGTH_MAX))).toHaveLength(EMAIL_LENGTH_MAX)
    expect(address(EMAIL_LENGTH_MAX + 1).length).toBeLessThanOrEqual(EMAIL_LENGTH_MAX)
    expect(Email.safeParse(address(EMAIL_LENGTH_MAX + 1)).error?.issues.map(({ message }) => message)).toEqual([
      'Use at most 254 characters.',
    ])
  })
})
