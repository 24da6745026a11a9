import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'smol-toml'
import { startAuthProxy } from './auth-proxy.ts'
import { AUTH_SENDER } from './mail.ts'
import type { Mailbox } from './mailbox.ts'
import { REPOSITORY } from './migrate.ts'
import { packageDir } from './package-dir.ts'
import { freePort } from './ports.ts'
import { type ManagedProcess, startProcess } from './process.ts'
import type { Secrets } from './secrets.ts'

/**
 * The limit is long, because a busy machine may start the auth server slowly. If the start fails, the error comes immediately.
 */
const START_TIMEOUT_MS = 300_000
const POLL_TIMEOUT_MS = 10_000
const PASSWORD_LENGTH_MIN = 8

interface AuthOptions {
  /** The folder in which the auth server's settings file is written. */
  dir: string
  logFile: string
  port: number
  /**
   * The role in this URL must be `supabase_auth_admin`, which cannot read our tables. The auth server also has a REST API, and
   * it serves every table that its role can read.
   */
  databaseUrl: string
  secrets: Secrets
  /** The page to which people return after they sign in with Google or follow a link in an e-mail. */
  siteUrl: string
  google: { clientId: string; clientSecret: string } | null
  /** If true, people must confirm their e-mail address before their first session. */
  emailConfirmation?: boolean
  /** Receives the mails of the auth server. Without a mailbox, the auth server writes its mails to its log. */
  mailbox?: Mailbox
  signal?: AbortSignal | undefined
}

/**
 * Starts Supabase Auth on the database, behind a proxy. The auth server creates the schema `auth`, which the migrations need.
 *
 * The auth server always gets a publishable key, a JWT secret and the flag `--no-admin`. Without them, any local program could
 * send REST requests to the auth server, and the auth server would run these requests as `service_role`.
 */
export async function startAuth(options: AuthOptions): Promise<ManagedProcess> {
  const { dir, logFile, port, databaseUrl, secrets, google, mailbox } = options
  const innerPort = await freePort()
  mkdirSync(join(dir, 'supabase'), { recursive: true })
  writeFileSync(join(dir, 'supabase', 'config.toml'), settings(options, innerPort))
  const server = await startProcess({
    name: 'Supabase Auth',
    command: process.execPath,
    args: [`${packageDir('@supabase/lite')}/dist/cli/index.js`, 'start', '--no-admin'],
    cwd: dir,
    env: {
      PATH: process.env['PATH'],
      // The auth server writes to its home directory. A system user perhaps has no home directory.
      HOME: dir,
      DO_NOT_TRACK: '1',
      AUTH_DATABASE_URL: databaseUrl,
      AUTH_JWT_SECRET: secrets.jwtSecret,
      AUTH_PUBLISHABLE_KEY: secrets.publishableKey,
      AUTH_SECRET_KEY: secrets.secretKey,
      AUTH_GOOGLE_CLIENT_ID: google?.clientId,
      AUTH_GOOGLE_CLIENT_SECRET: google?.clientSecret,
      AUTH_SMTP_PASSWORD: mailbox && new URL(mailbox.smtpUrl).password,
      NODE_EXTRA_CA_CERTS: mailbox?.certificateFile,
    },
    logFile,
    signal: options.signal,
    isReady: async () => {
      const headers = { apikey: secrets.publishableKey }
      const response = await fetch(`http://127.0.0.1:${innerPort}/auth/v1/settings`, {
        headers,
        signal: AbortSignal.timeout(POLL_TIMEOUT_MS),
      }).catch(() => null)
      return response?.status === 200
    },
    readyTimeoutMs: START_TIMEOUT_MS,
  })
  try {
    const proxy = await startAuthProxy(port, innerPort)
    return {
      exited: server.exited,
      stop: async () => {
        await proxy.stop()
        await server.stop()
      },
    }
  } catch (error) {
    await server.stop()
    throw error
  }
}

/**
 * Returns the settings file of the auth server. It contains no secrets, because the auth server reads them from its
 * environment.
 */
function settings(options: AuthOptions, innerPort: number): string {
  const { port, siteUrl, google, emailConfirmation = false, mailbox } = options
  return `[api]
port = ${innerPort}
external_url = "http://127.0.0.1:${port}"

[db]
driver = "postgres"
url = "env(AUTH_DATABASE_URL)"

[studio]
enabled = false

[auth]
site_url = ${JSON.stringify(siteUrl)}
additional_redirect_urls = [${JSON.stringify(siteUrl)}, ${JSON.stringify(siteUrl.replace('127.0.0.1', 'localhost'))}]
jwt_secret = "env(AUTH_JWT_SECRET)"
publishable_key = "env(AUTH_PUBLISHABLE_KEY)"
secret_key = "env(AUTH_SECRET_KEY)"
minimum_password_length = ${PASSWORD_LENGTH_MIN}

[auth.email]
enable_confirmations = ${emailConfirmation}
${mailbox === undefined ? '' : smtp(mailbox)}
${templates()}
[auth.external.google]
enabled = ${google !== null}
client_id = "env(AUTH_GOOGLE_CLIENT_ID)"
secret = "env(AUTH_GOOGLE_CLIENT_SECRET)"
`
}

/** The real auth server of Supabase sends its mails with these settings, too. */
function smtp(mailbox: Mailbox): string {
  const { hostname, port, username } = new URL(mailbox.smtpUrl)
  return `
[auth.email.smtp]
enabled = true
host = "${hostname}"
port = ${port}
user = "${username}"
pass = "env(AUTH_SMTP_PASSWORD)"
admin_email = "${AUTH_SENDER}"
sender_name = "Keymeter"
`
}

/** The mails have the templates that a Supabase project should have. Their settings are in supabase/config.toml. */
function templates(): string {
  const { auth } = parse(readFileSync(join(REPOSITORY, 'supabase/config.toml'), 'utf8')) as unknown as ProjectSettings
  return Object.entries(auth.email.template)
    .map(
      ([name, { subject, content_path }]) => `
[auth.email.template.${name}]
subject = ${JSON.stringify(subject)}
content_path = ${JSON.stringify(join(REPOSITORY, content_path))}
`,
    )
    .join('')
}

interface ProjectSettings {
  auth: { email: { template: Record<string, { subject: string; content_path: string }> } }
}
