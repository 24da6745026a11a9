import {
  CALL_CONNECTIONS_MIN,
  DEFAULT_LIMITS,
  FREE_CREDITS,
  KEY_BRAND_DEFAULT,
  KeyBrand,
  type LimitSettings,
  MailFrom,
  METERING_CONNECTIONS_MIN,
  SmtpUrl,
} from '@keymeter/api/server'
import { CaptchaProvider, OAuthProvider } from '@keymeter/contract'
import { z } from 'zod'

const Port = z.coerce.number().int().min(0).max(65_535)
/** A variable without a value in a `.env` file is an empty text. An empty text counts as not set. */
const blankIsUnset = <T extends z.ZodType>(schema: T) => z.preprocess((value) => (value === '' ? undefined : value), schema)
/** A number of attempts. 0 switches the limit off. */
const limit = (name: keyof LimitSettings) =>
  blankIsUnset(z.coerce.number().int().min(0).max(ATTEMPTS_MAX).default(DEFAULT_LIMITS[name]))

/** The largest number of attempts that a limit can allow. The database counts attempts in an integer. */
const ATTEMPTS_MAX = 1_000_000_000

/** A list of OAuth providers, e.g. `google, github`. A name that occurs twice counts once. */
const OAuthProviders = z
  .string()
  .transform((list) => [
    ...new Set(
      list
        .split(',')
        .map((name) => name.trim())
        .filter(Boolean),
    ),
  ])
  .pipe(z.array(z.enum(OAuthProvider.options, { error: `must be a list of these names: ${OAuthProvider.options.join(', ')}` })))

/** A captcha needs both settings. */
const CAPTCHA_PAIRS = [
  ['CAPTCHA_PROVIDER', 'CAPTCHA_SITE_KEY'],
  ['CAPTCHA_SITE_KEY', 'CAPTCHA_PROVIDER'],
] as const

const Env = z
  .object({
    DATABASE_URL: blankIsUnset(z.string().startsWith('postgres', 'must be a postgresql:// URL')),
    DATABASE_DIRECT_URL: blankIsUnset(z.string().startsWith('postgres', 'must be a postgresql:// URL').optional()),
    DATABASE_CONNECTIONS_MAX: blankIsUnset(z.coerce.number().int().min(CALL_CONNECTIONS_MIN).default(10)),
    METERING_CONNECTIONS_MAX: blankIsUnset(z.coerce.number().int().min(METERING_CONNECTIONS_MIN).default(8)),
    SUPABASE_URL: blankIsUnset(z.url({ protocol: /^https?$/, error: 'must be an http or https URL' })),
    SUPABASE_INTERNAL_URL: blankIsUnset(z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).optional()),
    SUPABASE_PUBLISHABLE_KEY: blankIsUnset(z.string()),
    SUPABASE_SECRET_KEY: blankIsUnset(z.string().optional()),
    SUPABASE_JWT_SECRET: blankIsUnset(z.string().min(32, 'must be at least 32 characters long').optional()),
    KEYMETER_SERVICE_KEY: blankIsUnset(
      z
        .string()
        .regex(/^\S{32,}$/, 'must be at least 32 characters long, without spaces')
        .optional(),
    ),
    PUBLIC_URL: blankIsUnset(z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).optional()),
    OAUTH_PROVIDERS: blankIsUnset(OAuthProviders.default([])),
    SECOND_FACTOR: blankIsUnset(z.enum(['on', 'off']).default('on')),
    CAPTCHA_PROVIDER: blankIsUnset(CaptchaProvider.optional()),
    CAPTCHA_SITE_KEY: blankIsUnset(z.string().optional()),
    FREE_CREDITS: blankIsUnset(z.enum(FREE_CREDITS).default('after_confirmation')),
    SIGN_UPS_PER_ADDRESS_PER_HOUR: limit('signUpsPerAddressPerHour'),
    SIGN_UPS_PER_MAILBOX_PER_HOUR: limit('signUpsPerMailboxPerHour'),
    LINK_REQUESTS_PER_ADDRESS_PER_HOUR: limit('linkRequestsPerAddressPerHour'),
    LINK_REQUESTS_PER_MAILBOX_PER_HOUR: limit('linkRequestsPerMailboxPerHour'),
    KEY_CHANGES_PER_ACCOUNT_PER_HOUR: limit('keyChangesPerAccountPerHour'),
    KEY_REVOKES_PER_PERSON_PER_HOUR: limit('keyRevokesPerPersonPerHour'),
    NEW_KEYS_PER_ACCOUNT_PER_DAY: limit('newKeysPerAccountPerDay'),
    MEMBER_CHANGES_PER_PERSON_PER_HOUR: limit('memberChangesPerPersonPerHour'),
    INVITATIONS_PER_PERSON_PER_DAY: limit('invitationsPerPersonPerDay'),
    WRONG_SERVICE_KEYS_PER_ADDRESS_PER_HOUR: limit('wrongServiceKeysPerAddressPerHour'),
    KEYMETER_KEY_BRAND: blankIsUnset(KeyBrand.default(KEY_BRAND_DEFAULT)),
    SMTP_URL: blankIsUnset(SmtpUrl.optional()),
    MAIL_FROM: blankIsUnset(MailFrom.optional()),
    HOST: blankIsUnset(z.string().default('0.0.0.0')),
    PORT: blankIsUnset(Port.default(3000)),
    KEEP_ALIVE_SECONDS: blankIsUnset(z.coerce.number().int().min(1).max(3600).default(65)),
    ACCOUNT_CALLS_MAX: blankIsUnset(z.coerce.number().int().min(1).max(100).default(2)),
    TRUSTED_PROXY_HOPS: blankIsUnset(z.coerce.number().int().min(0).max(10).default(0)),
    LOG_LEVEL: blankIsUnset(z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']).default('info')),
  })
  .refine((env) => env.SMTP_URL === undefined || env.MAIL_FROM !== undefined, { path: ['MAIL_FROM'] })
  .superRefine((env, faults) => {
    for (const [one, other] of CAPTCHA_PAIRS)
      if (env[one] !== undefined && env[other] === undefined)
        faults.addIssue({ code: 'custom', path: [other], message: `must be set too, because ${one} is set` })
  })
  .transform((env) => ({
    databaseUrl: env.DATABASE_URL,
    databaseDirectUrl: env.DATABASE_DIRECT_URL ?? env.DATABASE_URL,
    databaseConnectionsMax: env.DATABASE_CONNECTIONS_MAX,
    meteringConnectionsMax: env.METERING_CONNECTIONS_MAX,
    supabaseUrl: env.SUPABASE_URL,
    supabaseInternalUrl: env.SUPABASE_INTERNAL_URL ?? env.SUPABASE_URL,
    supabasePublishableKey: env.SUPABASE_PUBLISHABLE_KEY,
    supabaseSecretKey: env.SUPABASE_SECRET_KEY ?? null,
    jwtSecret: env.SUPABASE_JWT_SECRET ?? null,
    serviceKey: env.KEYMETER_SERVICE_KEY ?? null,
    freeCredits: env.FREE_CREDITS,
    limits: {
      signUpsPerAddressPerHour: env.SIGN_UPS_PER_ADDRESS_PER_HOUR,
      signUpsPerMailboxPerHour: env.SIGN_UPS_PER_MAILBOX_PER_HOUR,
      linkRequestsPerAddressPerHour: env.LINK_REQUESTS_PER_ADDRESS_PER_HOUR,
      linkRequestsPerMailboxPerHour: env.LINK_REQUESTS_PER_MAILBOX_PER_HOUR,
      keyChangesPerAccountPerHour: env.KEY_CHANGES_PER_ACCOUNT_PER_HOUR,
      keyRevokesPerPersonPerHour: env.KEY_REVOKES_PER_PERSON_PER_HOUR,
      newKeysPerAccountPerDay: env.NEW_KEYS_PER_ACCOUNT_PER_DAY,
      memberChangesPerPersonPerHour: env.MEMBER_CHANGES_PER_PERSON_PER_HOUR,
      invitationsPerPersonPerDay: env.INVITATIONS_PER_PERSON_PER_DAY,
      wrongServiceKeysPerAddressPerHour: env.WRONG_SERVICE_KEYS_PER_ADDRESS_PER_HOUR,
    } satisfies LimitSettings,
    publicUrl: env.PUBLIC_URL ?? null,
    oauthProviders: env.OAUTH_PROVIDERS,
    secondFactor: env.SECOND_FACTOR === 'on',
    captcha:
      env.CAPTCHA_PROVIDER === undefined || env.CAPTCHA_SITE_KEY === undefined
        ? null
        : { provider: env.CAPTCHA_PROVIDER, siteKey: env.CAPTCHA_SITE_KEY },
    keyBrand: env.KEYMETER_KEY_BRAND,
    mail: env.SMTP_URL === undefined || env.MAIL_FROM === undefined ? null : { smtpUrl: env.SMTP_URL, from: env.MAIL_FROM },
    host: env.HOST,
    port: env.PORT,
    keepAliveSeconds: env.KEEP_ALIVE_SECONDS,
    accountCallsMax: env.ACCOUNT_CALLS_MAX,
    trustedProxyHops: env.TRUSTED_PROXY_HOPS,
    logLevel: env.LOG_LEVEL,
  }))

export type Env = z.infer<typeof Env>

/**
 * Reads the settings of the process. .env.example describes each variable.
 *
 * @throws Error that names every missing or invalid variable. The error never contains a value, because the value may be a
 * secret.
 */
export function readEnv(variables: NodeJS.ProcessEnv): Env {
  const result = Env.safeParse(variables)
  if (result.success) return result.data
  const faults = result.error.issues.map(({ path: [name], message }) =>
    variables[String(name)] ? `  ${String(name)}: ${message}` : `  ${String(name)} is missing`,
  )
  throw new Error(`Keymeter cannot start. Set these environment variables (see .env.example):\n${faults.join('\n')}`)
}

/** Returns the secrets among the settings. The log must not contain them. */
export function secretsOf(env: Env): (string | null)[] {
  const urls = [env.databaseUrl, env.databaseDirectUrl, env.mail?.smtpUrl ?? '']
  const passwords = urls.map((url) => (URL.canParse(url) ? new URL(url).password : null))
  const decoded = passwords.map((password) => password && decodeURIComponent(password))
  return [env.serviceKey, env.jwtSecret, env.supabaseSecretKey, ...passwords, ...decoded]
}
