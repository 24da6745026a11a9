import pg from 'pg'

/**
 * Returns where the driver connects to, without connecting. `host` is the folder of a socket if the connection stays on this
 * machine. The driver also reads the environment variables of libpq, e.g. PGSSLMODE.
 *
 * @throws Error if the URL is not valid.
 */
export function connectionRoute(url: string): { host: string; isEncrypted: boolean } {
  const { host, ssl } = new pg.Client({ connectionString: url })
  return { host, isEncrypted: Boolean(ssl) }
}
