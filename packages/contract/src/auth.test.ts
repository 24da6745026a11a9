import { describe, expect, it } from 'vitest'
import { EMAIL_LENGTH_MAX, PASSWORD_BYTES_MAX, PASSWORD_LENGTH_MIN, SignUp } from './auth.ts'

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
