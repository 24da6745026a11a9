import { connectionRoute } from '@keymeter/db'
import type { Logger } from 'pino'
import type { Env } from './env.ts'

/** Warns about each connection of the server that others on the network could read. */
export function warnAboutPlainConnections(
  env: Pick<Env, 'supabaseUrl' | 'databaseUrl' | 'databaseDirectUrl'>,
  log: Pick<Logger, 'warn'>,
): void {
  const { protocol, hostname } = new URL(env.supabaseUrl)
  if (protocol === 'http:' && !isThisMachine(hostname))
    log.warn('passwords and access tokens travel without encryption: set SUPABASE_URL to an https URL')
  // If only DATABASE_URL is set, both URLs are the same.
  const databases = new Map([
    [env.databaseDirectUrl, 'DATABASE_DIRECT_URL'],
    [env.databaseUrl, 'DATABASE_URL'],
  ])
  for (const [url, name] of databases)
    if (isPlainDatabase(url))
      log.warn(`data travels to the database without encryption: add sslmode=verify-full and sslrootcert to ${name}`)
}

function isPlainDatabase(url: string): boolean {
  try {
    const { host, isEncrypted } = connectionRoute(url)
    return !isEncrypted && !isThisMachine(host)
  } catch {
    // The URL is not valid. The first query reports it.
    return false
  }
}

function isThisMachine(host: string): boolean {
  return /^(?:localhost|127(?:\.\d{1,3}){3}|\[?::1\]?|\/.*)$/.test(host)
}
