import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import { DEFAULT_LIMITS, type LimitSettings } from '@keymeter/api/server'
import { OAuthProvider } from '@keymeter/contract'
import { describe, expect, it } from 'vitest'
import { readEnv, secretsOf } from './env.ts'

const required = {
  DATABASE_URL: 'postgresql://u:p@h/d',
  SUPABASE_URL: 'https://x.supabase.co',
  SUPABASE_PUBLISHABLE_KEY: 'sb_publishable_x',
}

describe('environment variables', () => {
  it('`readEnv` throws an error that names every missing or empty variable', () => {
    expect(() => readEnv({ SUPABASE_URL: '' })).toThrow(
      /DATABASE_URL is missing\n.*SUPABASE_URL is missing\n.*SUPABASE_PUBLISHABLE_KEY is missing/,
    )
  })

  it('`readEnv` throws an error that names every invalid variable, but does not contain the values', () => {
    const faulty = () => readEnv({ ...required, SUPABASE_JWT_SECRET: 'too-short', KEYMETER_KEY_BRAND: 'My_Brand', PORT: 'abc' })
    expect(faulty).toThrow(/SUPABASE_JWT_SECRET: .*\n.*KEYMETER_KEY_BRAND: .*\n.*PORT: /)
    expect(faulty).not.toThrow(/too-short|My_Brand/)
  })

  it('`readEnv` has defaults for optional variables', () => {
    expect(readEnv({ ...required, PORT: '' })).toMatchObject({
      port: 3000,
      databaseDirectUrl: required.DATABASE_URL,
      keyBrand: 'km',
      jwtSecret: null,
      oauthProviders: [],
      publicUrl: null,
      accountCallsMax: 2,
    })
  })

  it('`OAUTH_PROVIDERS` is a list of providers of Supabase Auth, each once, and an unknown name is refused with the list', () => {
    const providers = (list: string) => readEnv({ ...required, OAUTH_PROVIDERS: list }).oauthProviders
    expect(providers('')).toEqual([])
    expect(providers(' , ')).toEqual([])
    expect(providers('github')).toEqual(['github'])
    expect(providers('github, google,github,')).toEqual(['github', 'google'])
    for (const wrong of ['myspace', 'google,myspace', 'Google', 'google github', 'constructor'])
      expect(() => providers(wrong)).toThrow(/OAUTH_PROVIDERS: must be a list of these names: apple, .*google.*, zoom/)
    const example = readFileSync(new URL('../../../.env.example', import.meta.url), 'utf8')
    const [, names = ''] = /Names: ([^.]*)\./.exec(example.replaceAll('\n#', '')) ?? []
    expect(names.split(', ').map((name) => name.replace(/ \(.*/, ''))).toEqual(OAuthProvider.options)
  })

  it('a captcha needs a provider that Supabase Auth knows, and a site key', () => {
    const captcha = (provider: string, siteKey: string) =>
      readEnv({ ...required, CAPTCHA_PROVIDER: provider, CAPTCHA_SITE_KEY: siteKey }).captcha
    expect(captcha('', '')).toBeNull()
    expect(captcha('turnstile', '1x00')).toEqual({ provider: 'turnstile', siteKey: '1x00' })
    expect(captcha('hcaptcha', '1000')).toEqual({ provider: 'hcaptcha', siteKey: '1000' })
    expect(() => captcha('recaptcha', '1000')).toThrow('CAPTCHA_PROVIDER: ')
    expect(() => captcha('hcaptcha', '')).toThrow('CAPTCHA_SITE_KEY is missing')
    expect(() => captcha('', '1000')).toThrow('CAPTCHA_PROVIDER is missing')
  })

  it('`PUBLIC_URL` is optional, and must be an http or https URL', () => {
    const publicUrl = (url: string) => readEnv({ ...required, PUBLIC_URL: url }).publicUrl
    expect([publicUrl(''), publicUrl('https://keys.example')]).toEqual([null, 'https://keys.example'])
    for (const wrong of ['keys.example', 'javascript:alert(1)', 'ftp://keys.example'])
      expect(() => publicUrl(wrong)).toThrow('PUBLIC_URL: ')
  })

  it('a second factor is offered unless SECOND_FACTOR is off', () => {
    const offers = (value: string) => readEnv({ ...required, SECOND_FACTOR: value }).secondFactor
    expect([offers(''), offers('on'), offers('off')]).toEqual([true, true, false])
    expect(() => offers('false')).toThrow(/SECOND_FACTOR: /)
  })

  it('the server reaches Supabase at SUPABASE_INTERNAL_URL if it is set, otherwise at SUPABASE_URL, and tells browsers only SUPABASE_URL', () => {
    const internal = { ...required, SUPABASE_INTERNAL_URL: 'http://gateway:9998' }
    expect(readEnv(internal)).toMatchObject({
      supabaseUrl: required.SUPABASE_URL,
      supabaseInternalUrl: 'http://gateway:9998',
    })
    expect(readEnv({ ...required, SUPABASE_INTERNAL_URL: '' }).supabaseInternalUrl).toBe(required.SUPABASE_URL)
    expect(() => readEnv({ ...required, SUPABASE_INTERNAL_URL: 'gateway:9998' })).toThrow(/SUPABASE_INTERNAL_URL: /)
  })

  it('`readEnv` keeps idle connections open for 65 seconds, which is longer than load balancers do, and accepts 1 to 3,600', () => {
    const keepAlive = (seconds: string) => readEnv({ ...required, KEEP_ALIVE_SECONDS: seconds }).keepAliveSeconds
    expect([keepAlive(''), keepAlive('1'), keepAlive('3600')]).toEqual([65, 1, 3600])
    for (const seconds of ['0', '3601', '1.5', 'x']) expect(() => keepAlive(seconds)).toThrow(/KEEP_ALIVE_SECONDS: /)
  })

  it('`secretsOf` returns every secret among the settings, so that the log can hide them', () => {
    const env = readEnv({
      ...required,
      DATABASE_URL: 'postgresql://u:p%40ss@h/d',
      DATABASE_DIRECT_URL: 'postgresql://u:direct@h/d',
      SUPABASE_JWT_SECRET: 'j'.repeat(32),
      KEYMETER_SERVICE_KEY: 's'.repeat(32),
      SUPABASE_SECRET_KEY: 'sb_secret_x',
      SMTP_URL: 'smtps://u:mail%40@h',
      MAIL_FROM: 'a@example.com',
    })
    const secrets = ['mail%40', 'mail@', 'p%40ss', 'p@ss', 'direct', 'j'.repeat(32), 's'.repeat(32), 'sb_secret_x']
    expect(secretsOf(env)).toEqual(expect.arrayContaining(secrets))
    expect(secretsOf(readEnv({ ...required, DATABASE_URL: 'postgresql:///d?host=/tmp' })).join('')).toBe('')
  })

  it.each([
    ['DATABASE_CONNECTIONS_MAX', 'databaseConnectionsMax', 10, 5],
    ['METERING_CONNECTIONS_MAX', 'meteringConnectionsMax', 8, 6],
  ] as const)('%s has a default, and cannot be smaller than the process needs', (name, setting, byDefault, min) => {
    const read = (value: string) => readEnv({ ...required, [name]: value })[setting]
    expect([read(''), read(String(min)), read('200')]).toEqual([byDefault, min, 200])
    for (const wrong of [String(min - 1), '0', '7.5', 'many']) expect(() => read(wrong)).toThrow(name)
  })

  it('each limit has a default, and 0 switches it off', () => {
    expect(readEnv(required)).toMatchObject({
      limits: DEFAULT_LIMITS,
      freeCredits: 'after_confirmation',
      supabaseSecretKey: null,
    })
    const names = {
      SIGN_UPS_PER_ADDRESS_PER_HOUR: 'signUpsPerAddressPerHour',
      SIGN_UPS_PER_MAILBOX_PER_HOUR: 'signUpsPerMailboxPerHour',
      LINK_REQUESTS_PER_ADDRESS_PER_HOUR: 'linkRequestsPerAddressPerHour',
      LINK_REQUESTS_PER_MAILBOX_PER_HOUR: 'linkRequestsPerMailboxPerHour',
      KEY_CHANGES_PER_ACCOUNT_PER_HOUR: 'keyChangesPerAccountPerHour',
      KEY_REVOKES_PER_PERSON_PER_HOUR: 'keyRevokesPerPersonPerHour',
      NEW_KEYS_PER_ACCOUNT_PER_DAY: 'newKeysPerAccountPerDay',
      MEMBER_CHANGES_PER_PERSON_PER_HOUR: 'memberChangesPerPersonPerHour',
      INVITATIONS_PER_PERSON_PER_DAY: 'invitationsPerPersonPerDay',
      WRONG_SERVICE_KEYS_PER_ADDRESS_PER_HOUR: 'wrongServiceKeysPerAddressPerHour',
    } satisfies Record<string, keyof LimitSettings>
    expect(Object.values(names).sort()).toEqual(Object.keys(DEFAULT_LIMITS).sort())
    for (const [variable, limit] of Object.entries(names)) {
      expect(readEnv({ ...required, [variable]: '' }).limits).toEqual(DEFAULT_LIMITS)
      for (const value of [0, 7, 1_000_000_000])
        expect(readEnv({ ...required, [variable]: String(value) }).limits).toEqual({ ...DEFAULT_LIMITS, [limit]: value })
      for (const value of ['-1', '1.5', 'many', '1000000001'])
        expect(() => readEnv({ ...required, [variable]: value })).toThrow(`${variable}: `)
    }
  })

  it('the defaults of the limits are the numbers in .env.example', () => {
    const example = parseEnv(readFileSync(new URL('../../../.env.example', import.meta.url), 'utf8'))
    expect(readEnv({ ...example, ...required })).toMatchObject({ limits: DEFAULT_LIMITS, freeCredits: 'after_confirmation' })
    for (const name of Object.keys(example).filter((name) => name.includes('_PER_'))) expect(example[name]).toMatch(/^\d+$/)
  })

  it('`FREE_CREDITS` is one of three words', () => {
    for (const freeCredits of ['after_confirmation', 'on_sign_up', 'none'])
      expect(readEnv({ ...required, FREE_CREDITS: freeCredits })).toMatchObject({ freeCredits })
    expect(() => readEnv({ ...required, FREE_CREDITS: 'always' })).toThrow('FREE_CREDITS: ')
  })

  it('`SMTP_URL` is optional, and needs `MAIL_FROM`', () => {
    const read = (smtpUrl: string, from = 'Acme Keys <keys@example.com>') =>
      readEnv({ ...required, SMTP_URL: smtpUrl, MAIL_FROM: from }).mail
    expect([read('', ''), read('')]).toEqual([null, null])
    for (const url of [
      'smtp://127.0.0.1',
      'smtp://mail.example.com:25',
      'smtps://user%40x:p%2Fw@mail.example.com:465',
      'smtp://[::1]',
    ])
      expect(read(url)).toEqual({ smtpUrl: url, from: 'Acme Keys <keys@example.com>' })
    for (const from of ['keys@example.com', 'Bücher <keys@bücher.example>'])
      expect(read('smtp://h', from)).toMatchObject({ from })
    const wrongUrls = [
      'mail.example.com',
      'https://h',
      'smtp://',
      'smtp://h/path',
      'smtp://h?tls.rejectUnauthorized=false',
      'smtp://h#x',
      'smtp://u:100%@h',
    ]
    for (const url of wrongUrls) expect(() => read(url)).toThrow('SMTP_URL: must be smtp')
    for (const from of [
      'Acme',
      'a@example.com, b@example.com',
      'Acme <keys@example.com>\r\nBcc: x@example.com',
      'A <b> <c@example.com>',
    ])
      expect(() => read('smtp://h', from)).toThrow('MAIL_FROM: must be an e-mail address')
    expect(() => read('smtp://h', '')).toThrow('MAIL_FROM is missing')
    expect(() => read('https://user:hidden-password@h')).not.toThrow('hidden-password')
  })

  it('`PUBLIC_URL` is optional, and is an http or https URL', () => {
    expect(readEnv({ ...required, PUBLIC_URL: '' }).publicUrl).toBeNull()
    expect(readEnv({ ...required, PUBLIC_URL: 'https://usage.example.com' }).publicUrl).toBe('https://usage.example.com')
    for (const wrong of ['usage.example.com', 'ftp://usage.example.com'])
      expect(() => readEnv({ ...required, PUBLIC_URL: wrong })).toThrow('PUBLIC_URL: ')
  })

  it('`SUPABASE_SECRET_KEY` is optional', () => {
    expect(readEnv({ ...required, SUPABASE_SECRET_KEY: 'sb_secret_x' }).supabaseSecretKey).toBe('sb_secret_x')
  })

  it('the file .env.example describes every variable that `readEnv` reads', () => {
    const example = readFileSync(new URL('../../../.env.example', import.meta.url), 'utf8')
    const source = readFileSync(new URL('env.ts', import.meta.url), 'utf8')
    const names = [...source.matchAll(/^ {4}([A-Z_]+): /gm)].map(([, name]) => name)
    expect(names.length).toBeGreaterThanOrEqual(10)
    for (const name of [
      ...names,
      'MIGRATION_DATABASE_URL',
      'SUPABASE_PORT',
      'POSTGRES_PORT',
      'KEYMETER_LOCAL_DIR',
      'GOOGLE_OAUTH_CLIENT_SECRET',
      'GITHUB_OAUTH_CLIENT_ID',
      'GITHUB_OAUTH_CLIENT_SECRET',
    ])
      expect(example).toMatch(new RegExp(`^(# )?${name}=`, 'm'))
  })
})
