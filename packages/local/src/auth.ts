import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startAuthProxy } from './auth-proxy.ts'
import { packageDir } from './package-dir.ts'
import { freePort } from './ports.ts'
import { type ManagedProcess, startProcess } from './process.ts'
import type { Secrets } from './secrets.ts'

/** Generous, because a busy machine is not a fault. A server that ends is reported immediately. */
const START_TIMEOUT_MS = 300_000
const POLL_TIMEOUT_MS = 10_000
const PASSWORD_LENGTH_MIN = 8

interface AuthOptions {
  /** Receives the server's settings file. */
  dir: string
  logFile: string
  port: number
  /** For the role `supabase_auth_admin`: on a REST request the auth server shows every table that its role can read. */
  databaseUrl: string
  secrets: Secrets
  /** Where people return to after they sign in with Google or follow a link in an e-mail. */
  siteUrl: string
  google: { clientId: string; clientSecret: string } | null
  /** Requires people to confirm their e-mail address before their first session. The e-mails are in the log. */
  emailConfirmation?: boolean
  signal?: AbortSignal | undefined
}

/**
 * Starts Supabase Auth on that database, behind a proxy. It creates the schema `auth`, which the migrations need. Its keys
 * must be set and its admin mode must be off: otherwise it handles REST requests of any local caller as `service_role`.
 */
export async function startAuth(options: AuthOptions): Promise<ManagedProcess> {
  const { dir, logFile, port, databaseUrl, secrets, google } = options
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
      // The auth server writes to the home directory, and a system user may have none.
      HOME: dir,
      DO_NOT_TRACK: '1',
      AUTH_DATABASE_URL: databaseUrl,
      AUTH_JWT_SECRET: secrets.jwtSecret,
      AUTH_PUBLISHABLE_KEY: secrets.publishableKey,
      AUTH_SECRET_KEY: secrets.secretKey,
      AUTH_GOOGLE_CLIENT_ID: google?.clientId,
      AUTH_GOOGLE_CLIENT_SECRET: google?.clientSecret,
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

/** The file contains no secrets: the auth server reads them from its environment. */
function settings({ port, siteUrl, google, emailConfirmation = false }: AuthOptions, innerPort: number): string {
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

[auth.external.google]
enabled = ${google !== null}
client_id = "env(AUTH_GOOGLE_CLIENT_ID)"
secret = "env(AUTH_GOOGLE_CLIENT_SECRET)"
`
}
