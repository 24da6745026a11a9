import { createHmac, generateKeyPairSync, randomUUID } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import { exportJWK, exportSPKI, generateKeyPair, type JWK, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { accessToken, JWT_SECRET } from '../../test/caller.ts'
import { type AccessTokenVerifier, createAccessTokenVerifier } from './verify-access-token.ts'

const userId = randomUUID()
const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const now = () => Math.floor(Date.now() / 1000)

async function refused(verify: AccessTokenVerifier, authorization: string | null, reason = 'not_signed_in') {
  await expect(verify(authorization)).rejects.toMatchObject({ reason })
}

describe('with the shared secret of the project,', () => {
  const verify = createAccessTokenVerifier({ supabaseUrl: 'http://127.0.0.1:1', jwtSecret: JWT_SECRET })
  const bearer = async (...args: Parameters<typeof accessToken>) => `Bearer ${await accessToken(...args)}`

  it('a valid token returns its user', async () => {
    const exp = now() + 100
    const amr = [{ method: 'password', timestamp: exp - 100 }]
    expect(await verify(await bearer(userId, { exp, amr, email: 'one@example.com' }))).toEqual({
      userId,
      email: 'one@example.com',
      expiresAt: new Date(exp * 1000),
      signedInAt: new Date((exp - 100) * 1000),
      isSecondFactor: false,
    })
    const lowest = '00000000-0000-0000-0000-000000000001'
    expect(await verify(await bearer(lowest))).toMatchObject({ userId: lowest })
    expect(await verify((await bearer(userId)).replace('Bearer', 'bearer'))).toMatchObject({ userId })
  })

  it.each([undefined, null, '', 7, ['one@example.com']])('a token with the address %j has no address', async (email) => {
    expect(await verify(await bearer(userId, { email }))).toMatchObject({ userId, email: null })
  })

  it('the time of the sign-in is the newest time of a first factor', async () => {
    const methods = [
      'password',
      'otp',
      'magiclink',
      'recovery',
      'invite',
      'email/signup',
      'oauth',
      'sso/saml',
      'web3',
      'passkey',
    ]
    for (const method of methods) {
      const amr = [
        { method: 'password', timestamp: 500 },
        { method, timestamp: 1_000 },
        { method: 'password', timestamp: 700 },
      ]
      expect(await verify(await bearer(userId, { amr }))).toMatchObject({ signedInAt: new Date(1_000_000) })
    }
  })

  it('a refresh, a second factor, or a change of the address does not count as a sign-in', async () => {
    for (const method of ['token_refresh', 'totp', 'mfa/phone', 'mfa/webauthn', 'email_change', 'anonymous', 'unknown']) {
      const later = { method, timestamp: now() }
      const amr = [later, { method: 'password', timestamp: 1_000 }]
      expect(await verify(await bearer(userId, { amr }))).toMatchObject({ signedInAt: new Date(1_000_000) })
      expect(await verify(await bearer(userId, { amr: [later] }))).toMatchObject({ signedInAt: null })
    }
  })

  it.each([
    undefined,
    null,
    'password',
    [],
    ['password'],
    [null],
    [{ method: 'password' }],
    [{ method: 'password', timestamp: null }],
    [{ method: 'password', timestamp: '1000' }],
    [{ method: 'password', timestamp: 8_640_000_000_001 }],
    [{ method: 'password', timestamp: 1e300 }],
    [{ timestamp: 1_000 }],
  ])('a token with the methods %j has no time of the sign-in', async (amr) => {
    expect(await verify(await bearer(userId, { amr }))).toMatchObject({ userId, signedInAt: null })
  })

  it('the latest time of a sign-in is the latest time of a JavaScript date', async () => {
    const amr = [{ method: 'password', timestamp: 8_640_000_000_000 }]
    expect(await verify(await bearer(userId, { amr }))).toMatchObject({ signedInAt: new Date(8_640_000_000_000_000) })
  })

  it.each([
    ['aal2', true],
    ['aal1', false],
    ['aal3', false],
    ['AAL2', false],
    [2, false],
    [['aal2'], false],
    [undefined, false],
  ])('a token with the level %j has a second factor: %j', async (aal, isSecondFactor) => {
    expect(await verify(await bearer(userId, { aal }))).toMatchObject({ userId, isSecondFactor })
  })

  it.each([
    ['an expired token', { exp: now() - 60 }],
    ['a token without expiry', { exp: undefined }],
    ['a token for another audience', { aud: 'anon' }],
    ['a token without audience', { aud: undefined }],
    ['a token without user', { sub: undefined }],
    ['a token whose user is not a uuid', { sub: 'admin' }],
    ['a token whose user is null', { sub: null }],
    ['the public anon key', { role: 'anon', sub: undefined, aud: undefined, iss: 'supabase' }],
    ['a token with the role anon', { role: 'anon' }],
    ['a token with the role service_role', { role: 'service_role' }],
    ['a token of an anonymous user', { is_anonymous: true }],
    ['a token that is not valid yet', { nbf: now() + 600 }],
    ['a token that is issued in the future', { iat: now() + 600 }],
    ['a token that is issued just after the tolerated time', { iat: now() + 65 }],
    ['a token without the time of its issue', { iat: undefined }],
  ])('%s is refused', async (_, claims) => {
    await refused(verify, await bearer(userId, claims))
  })

  it('a token that is issued up to a minute in the future is accepted, because clocks differ', async () => {
    expect(await verify(await bearer(userId, { iat: now() + 55 }))).toMatchObject({ userId })
  })

  it('a forged token is refused', async () => {
    await refused(verify, await bearer(userId, {}, 'another secret, as long as the right one is'))
    const [header = '', payload = '', signature = ''] = (await accessToken(userId)).split('.')
    const other = base64url({ sub: randomUUID(), aud: 'authenticated', role: 'authenticated', iat: now(), exp: now() + 60 })
    await refused(verify, `Bearer ${header}.${other}.${signature}`)
    await refused(verify, `Bearer ${header}.${payload}.`)
    await refused(verify, `Bearer ${base64url({ alg: 'none' })}.${payload}.`)
    await refused(verify, `Bearer ${base64url({ alg: 'none' })}.${payload}.${signature}`)
    const hs512 = createHmac('sha512', JWT_SECRET)
      .update(`${base64url({ alg: 'HS512' })}.${payload}`)
      .digest('base64url')
    await refused(verify, `Bearer ${base64url({ alg: 'HS512' })}.${payload}.${hs512}`)
  })

  it('any other text is refused', async () => {
    const token = await accessToken(userId)
    for (const header of [
      null,
      '',
      'Bearer',
      'Bearer ',
      token,
      `Basic ${token}`,
      `Bearer ${token} x`,
      `Bearer  ${token}`,
      'Bearer a.b.c',
      `Bearer ${'x'.repeat(100_000)}`,
    ]) {
      await refused(verify, header)
    }
  })
})

describe('with the published keys of the project,', () => {
  let server: Server
  let supabaseUrl: string
  let keys: { keys: JWK[] } = { keys: [] }
  let status = 200
  let fetches = 0
  let sign: (claims?: Record<string, unknown>, header?: Record<string, unknown>) => Promise<string>
  let publicPem: string

  beforeAll(async () => {
    const pair = await generateKeyPair('ES256', { extractable: true })
    publicPem = await exportSPKI(pair.publicKey)
    keys = { keys: [{ ...(await exportJWK(pair.publicKey)), kid: 'one', alg: 'ES256' }] }
    server = createServer((_, response) => {
      fetches++
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(keys))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    supabaseUrl = `http://127.0.0.1:${(server.address() as { port: number }).port}`
    sign = async (claims = {}, header = {}) => {
      const payload = {
        sub: userId,
        aud: 'authenticated',
        role: 'authenticated',
        iss: `${supabaseUrl}/auth/v1`,
        iat: now(),
        exp: now() + 60,
        ...claims,
      }
      return `Bearer ${await new SignJWT(payload).setProtectedHeader({ alg: 'ES256', kid: 'one', ...header }).sign(pair.privateKey)}`
    }
  })
  afterAll(() => server.close())

  const verifier = () => createAccessTokenVerifier({ supabaseUrl, jwtSecret: null })

  it('a valid token returns its user, and the keys are fetched once', async () => {
    const verify = verifier()
    fetches = 0
    for (let i = 0; i < 5; i++) expect(await verify(await sign())).toMatchObject({ userId })
    expect(fetches).toBe(1)
  })

  it('a token that is issued in the future or not valid yet is refused', async () => {
    expect(await verifier()(await sign({ iat: now() + 55 }))).toMatchObject({ userId })
    await refused(verifier(), await sign({ iat: now() + 65 }))
    await refused(verifier(), await sign({ nbf: now() + 65 }))
  })

  it('a token of another issuer is refused', async () => {
    await refused(verifier(), await sign({ iss: 'http://elsewhere.example/auth/v1' }))
    await refused(verifier(), await sign({ iss: undefined }))
  })

  it('with an internal URL, the keys are fetched from it, and the issuer is still the public URL', async () => {
    const publicUrl = 'https://auth.example'
    const verify = createAccessTokenVerifier({ supabaseUrl: publicUrl, supabaseInternalUrl: supabaseUrl, jwtSecret: null })
    expect(await verify(await sign({ iss: `${publicUrl}/auth/v1` }))).toMatchObject({ userId })
    await refused(verify, await sign())
  })

  it('a token signed with a shared secret is refused, even if the secret is the public key', async () => {
    await refused(verifier(), `Bearer ${await accessToken(userId, { iss: `${supabaseUrl}/auth/v1` })}`)
    await refused(verifier(), `Bearer ${await accessToken(userId, { iss: `${supabaseUrl}/auth/v1` }, publicPem)}`)
  })

  it('a token that is signed with a key from its own header is refused', async () => {
    const own = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const payload = {
      sub: userId,
      aud: 'authenticated',
      role: 'authenticated',
      iss: `${supabaseUrl}/auth/v1`,
      iat: now(),
      exp: now() + 60,
    }
    for (const header of [
      { kid: 'one' },
      { jwk: own.publicKey.export({ format: 'jwk' }) as JWK },
      { kid: 'one', jku: 'http://127.0.0.1:1/keys' },
      { kid: 'unknown' },
    ]) {
      await refused(
        verifier(),
        `Bearer ${await new SignJWT(payload).setProtectedHeader({ alg: 'ES256', ...header }).sign(own.privateKey)}`,
      )
    }
  })

  it('a token that does not name its key is refused as invalid if several keys are published', async () => {
    const published = keys
    const another = await generateKeyPair('ES256', { extractable: true })
    keys = { keys: [...published.keys, { ...(await exportJWK(another.publicKey)), kid: 'two', alg: 'ES256' }] }
    await refused(verifier(), await sign({}, { kid: undefined }))
    expect(await verifier()(await sign())).toMatchObject({ userId })
    keys = published
  })

  it('many tokens with unknown keys cause at most two fetches of the published keys', async () => {
    const verify = verifier()
    fetches = 0
    for (let i = 0; i < 100; i++) await refused(verify, await sign({}, { kid: `unknown-${i}` }))
    expect(fetches).toBeLessThanOrEqual(2)
  })

  it('if the published keys cannot be fetched, the error is an outage and not an invalid token', async () => {
    status = 503
    await refused(verifier(), await sign(), 'auth_unavailable')
    status = 200
    const nowhere = createAccessTokenVerifier({ supabaseUrl: 'http://127.0.0.1:1', jwtSecret: null })
    await refused(nowhere, await sign(), 'auth_unavailable')
  })
})
