import { testDatabase } from '@keymeter/local/testing'
import { describe, expect, it } from 'vitest'
import { type Answer, startAuthStandIn } from '../../test/auth-stand-in.ts'
import { contextOf } from '../../test/caller.ts'
import { signUp } from './sign-up.ts'

const database = testDatabase()
const RAW = 'raw sentence of Supabase'
/** The two formats in which Supabase Auth sends an error. */
const withCode = (status: number, code: string, more = {}): Answer => ({
  status,
  body: { code: status, error_code: code, msg: RAW, ...more },
})
const withVersion = (status: number, code: string): Answer => ({
  status,
  body: { code, message: RAW },
  headers: { 'x-supabase-api-version': '2024-01-01' },
})

async function refusalOf(answer: Answer) {
  const auth = await startAuthStandIn(() => answer)
  const ctx = contextOf(database, null, { supabase: { url: auth.url, publishableKey: 'none', secretKey: null } })
  const error = await signUp(ctx, { email: 'someone@example.com', password: 'a long password' }).catch((error) => error)
  auth.close()
  return error
}

describe('a sign-up that Supabase Auth refuses', () => {
  it.each([
    [400, 'captcha_failed', 'captcha_failed', 'BAD_REQUEST'],
    [422, 'signup_disabled', 'sign_up_disabled', 'FORBIDDEN'],
    [400, 'email_provider_disabled', 'sign_up_disabled', 'FORBIDDEN'],
    [422, 'provider_disabled', 'sign_up_disabled', 'FORBIDDEN'],
    [422, 'user_already_exists', 'email_taken', 'CONFLICT'],
    [422, 'email_exists', 'email_taken', 'CONFLICT'],
    [400, 'email_address_invalid', 'email_invalid', 'BAD_REQUEST'],
    [400, 'email_address_not_authorized', 'email_invalid', 'BAD_REQUEST'],
    [400, 'email_address_not_provided', 'email_invalid', 'BAD_REQUEST'],
    [400, 'validation_failed', 'email_invalid', 'BAD_REQUEST'],
    [429, 'over_request_rate_limit', 'too_many_attempts', 'TOO_MANY_REQUESTS'],
    [429, 'over_sms_send_rate_limit', 'too_many_attempts', 'TOO_MANY_REQUESTS'],
    [429, 'unknown_limit', 'too_many_attempts', 'TOO_MANY_REQUESTS'],
    [409, 'conflict', 'too_many_attempts', 'TOO_MANY_REQUESTS'],
    [422, 'hook_timeout', 'sign_up_refused', 'FORBIDDEN'],
    [422, 'hook_timeout_after_retry', 'sign_up_refused', 'FORBIDDEN'],
    [422, 'hook_payload_over_size_limit', 'sign_up_refused', 'FORBIDDEN'],
    [400, 'hook_payload_invalid_content_type', 'sign_up_refused', 'FORBIDDEN'],
    [403, 'hook_rejected', 'sign_up_refused', 'FORBIDDEN'],
    [402, 'quota_exceeded', 'sign_up_refused', 'FORBIDDEN'],
    [403, 'user_banned', 'sign_up_refused', 'FORBIDDEN'],
    [400, 'phone_provider_disabled', 'sign_up_refused', 'FORBIDDEN'],
    [418, 'a_code_of_a_later_version', 'sign_up_refused', 'FORBIDDEN'],
    [504, 'request_timeout', 'auth_unavailable', 'SERVICE_UNAVAILABLE'],
    [500, 'unexpected_failure', 'auth_unavailable', 'SERVICE_UNAVAILABLE'],
    [401, 'no_authorization', 'auth_unavailable', 'SERVICE_UNAVAILABLE'],
    [403, 'bad_jwt', 'auth_unavailable', 'SERVICE_UNAVAILABLE'],
  ])('with %i %s gets the reason %s in our own words', async (status, code, reason, trpcCode) => {
    for (const answer of [withCode(status, code), withVersion(status, code)]) {
      const error = await refusalOf(answer)
      expect(error).toMatchObject({ reason, code: trpcCode })
      expect(error.message).not.toContain(RAW)
      expect(JSON.stringify(error.issues)).not.toContain(RAW)
    }
  })

  it.each([
    [
      'a rejection by a hook, which has a status and no code',
      { status: 403, body: { code: 403, msg: RAW } },
      'sign_up_refused',
    ],
    [
      'a project over its quota, which has no code of Supabase Auth',
      { status: 402, body: { message: RAW } },
      'sign_up_refused',
    ],
    ['an API key that the gateway does not accept', { status: 401, body: { message: RAW, hint: RAW } }, 'auth_unavailable'],
    ['a redirect of another server', { status: 304, body: {} }, 'auth_unavailable'],
  ])('with %s gets a reason of ours', async (_, answer, reason) => {
    const error = await refusalOf(answer)
    expect(error).toMatchObject({ reason })
    expect(error.message).not.toContain(RAW)
  })

  it('with a hook that did not answer says that a retry can succeed', async () => {
    expect(await refusalOf(withCode(422, 'hook_timeout'))).toMatchObject({ retryAfterSeconds: 60 })
    expect(await refusalOf(withCode(403, 'hook_rejected'))).toMatchObject({ retryAfterSeconds: null })
    expect(await refusalOf(withCode(409, 'conflict'))).toMatchObject({ retryAfterSeconds: 1 })
  })

  it.each([
    [['length'], 'This password is too weak. It is too short. Choose a stronger one.'],
    [['pwned'], 'This password is too weak. It is in a public list of leaked passwords. Choose a stronger one.'],
    [['length', 'characters'], expect.stringMatching(/too short\. It needs more kinds of characters/)],
    [['a reason of a later version'], 'This password is too weak. Choose a stronger one.'],
    [[], 'This password is too weak. Choose a stronger one.'],
  ])('because of a weak password (%j) says why', async (reasons, message) => {
    const error = await refusalOf(withCode(422, 'weak_password', { weak_password: { reasons } }))
    expect(error).toMatchObject({ reason: 'password_weak', message, issues: [{ field: 'password', message }] })
  })
})

describe('a sign-up for which Supabase Auth sends no mail, because it has sent too many', () => {
  it('looks like a first sign-up, because Supabase Auth reports this only for addresses without a confirmed account', async () => {
    for (const answer of [withCode(429, 'over_email_send_rate_limit'), withVersion(429, 'over_email_send_rate_limit')]) {
      const outcome = await refusalOf(answer)
      expect(outcome).toEqual({
        user: { id: expect.stringMatching(/^[0-9a-f-]{36}$/), email: 'someone@example.com' },
        session: null,
        defaultKey: null,
      })
    }
  })
})

describe('the API key of a sign-up', () => {
  it.each([
    [null, 'publishable'],
    ['sb_secret_x', 'sb_secret_x'],
  ])('with the secret key %s, the sign-up sends %s and the address of the client', async (secretKey, apikey) => {
    const auth = await startAuthStandIn(() => withCode(422, 'signup_disabled'))
    const supabase = { url: auth.url, publishableKey: 'publishable', secretKey }
    const ctx = contextOf(database, null, { supabase, clientAddress: '192.0.2.7' })
    await expect(signUp(ctx, { email: 'a@example.com', password: 'a long password' })).rejects.toThrow()
    expect(auth.received).toMatchObject([{ path: '/auth/v1/signup', headers: { apikey, 'sb-forwarded-for': '192.0.2.7' } }])
    auth.close()
  })
})

describe('the captcha of a sign-up', () => {
  it('sends the token of the captcha to Supabase Auth, which verifies it, and none if the client has sent none', async () => {
    const auth = await startAuthStandIn(() => withCode(422, 'signup_disabled'))
    const ctx = contextOf(database, null, { supabase: { url: auth.url, publishableKey: 'none', secretKey: null } })
    const person = { email: 'a@example.com', password: 'a long password' }
    await expect(signUp(ctx, { ...person, captchaToken: 'the-token' })).rejects.toThrow()
    await expect(signUp(ctx, person)).rejects.toThrow()
    const tokens = auth.received.map(({ body }) => (body as { gotrue_meta_security: object }).gotrue_meta_security)
    expect(tokens).toEqual([{ captcha_token: 'the-token' }, {}])
    auth.close()
  })
})
