import { Socket } from 'node:net'
import { Kysely, PostgresDialect, type PostgresPool } from 'kysely'
import pg from 'pg'
import { ConnectionFailure, isReadOnly, isSessionUnusable } from './errors.ts'
import type { DB } from './schema.gen.ts'

/** The handle of the database. Each statement or transaction takes a connection from its pool. */
export type Db = Kysely<DB>

/**
 * A connection attempt or a query that takes longer than these times fails instead of hanging. Postgres also has timeouts for
 * the server's role.
 */
const CONNECT_TIMEOUT_MS = 5_000
const QUERY_TIMEOUT_MS = 10_000
/**
 * The pool closes a connection after this time. After a failover, an old connection can lead to the old primary, which still
 * answers reads. This limit also ends such a connection if it never writes.
 */
const CONNECTION_LIFETIME_SECONDS = 300

interface DbOptions {
  connectionsMax?: number
  queryTimeoutMs?: number
  connectionLifetimeSeconds?: number
  verify?: (run: RunSql) => Promise<void>
}

/** Runs one SQL text without parameters. */
export type RunSql = (text: string) => Promise<{ rows: unknown[] }>

/**
 * Creates a connection pool for `url`. The first query opens the first connection. Connections have no session state (no named
 * statements, no session settings), so a pooler in transaction mode works.
 *
 * The pool has at most `connectionsMax` connections, by default 10 (the default of pg).
 *
 * @param onConnectionError Receives the error of each connection that breaks, e.g. because the server shuts down.
 * @param options.verify Checks the database before the first query. If `verify` rejects, the query is not sent and fails with
 *   the same error, and the next query is checked again.
 */
export function createDb(
  url: string,
  onConnectionError: (error: Error) => void,
  {
    connectionsMax,
    queryTimeoutMs = QUERY_TIMEOUT_MS,
    connectionLifetimeSeconds = CONNECTION_LIFETIME_SECONDS,
    verify,
  }: DbOptions = {},
): Db {
  const pool = new pg.Pool({
    connectionString: url,
    ...(connectionsMax !== undefined && { max: connectionsMax }),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: queryTimeoutMs,
    maxLifetimeSeconds: connectionLifetimeSeconds,
    stream: () => createSocket(queryTimeoutMs),
    application_name: 'keymeter',
    types: { getTypeParser },
  })
  // A connection can break while it is idle, or between two statements of a transaction. If nothing listened for the error,
  // Node would end the process.
  pool.on('error', onConnectionError)
  pool.on('connect', (client) => client.on('error', onConnectionError))
  return new Kysely<DB>({ dialect: new PostgresDialect({ pool: verified(withoutUnusableConnections(pool), verify) }) })
}

/** Runs `verify` on the first connection that the pool hands out, before any other query. */
function verified(pool: PostgresPool, verify: DbOptions['verify']): PostgresPool {
  let isVerified = verify === undefined
  return {
    ...pool,
    connect: async () => {
      const client = await pool.connect()
      if (isVerified) return client
      try {
        await verify?.(async (text) => await client.query(text, []))
        isVerified = true
        return client
      } catch (error) {
        client.release()
        throw error
      }
    },
  }
}

/**
 * Closes a connection that Postgres reports to be unusable, instead of returning it to the pool. If a connection is read-only,
 * all connections that were opened before are closed too. After a failover, they probably lead to the same old primary, and a
 * batch that is sent again must not try them one after the other.
 *
 * `connect` throws a `ConnectionFailure` if it cannot open a connection.
 */
function withoutUnusableConnections(pool: pg.Pool): PostgresPool {
  const open = new Set<object>()
  const unusable = new WeakSet<object>()
  pool.on('connect', (client) => {
    if (!(client instanceof pg.Client)) return
    open.add(client)
    client.connection.on('errorMessage', (error: unknown) => {
      if (isSessionUnusable(error)) unusable.add(client)
      if (isReadOnly(error)) for (const other of open) unusable.add(other)
    })
  })
  pool.on('remove', (client) => open.delete(client))
  const connect = async () => {
    try {
      return await pool.connect()
    } catch (error) {
      throw new ConnectionFailure(error)
    }
  }
  return {
    connect: async () => {
      let client = await connect()
      while (unusable.has(client)) {
        client.release(true)
        client = await connect()
      }
      const { release } = client
      client.release = (isBroken) => release(isBroken || unusable.has(client))
      return client
    },
    end: async () => await pool.end(),
    options: pool.options,
  }
}

/**
 * Closes a connection that is silent for longer than a query may take, because it is probably dead. Otherwise the pool would
 * use this connection first, and each query would wait behind the query that got no answer. The pool closes an idle connection
 * slightly earlier, so an idle connection is never reported as broken.
 */
function createSocket(queryTimeoutMs: number): Socket {
  const socket = new Socket()
  if (queryTimeoutMs === 0) return socket
  return socket.setTimeout(queryTimeoutMs + 1_000, () => socket.destroy(new Error('Connection terminated: Postgres is silent')))
}

/** `bigint` and `numeric` values contain credits. JSON must represent them exactly, so larger numbers throw. */
function toSafeInteger(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError(`${text} is not a whole number that JSON can carry exactly`)
  return value
}

/** Parses an array of integers without nulls, e.g. `{1,2}`. */
function toSafeIntegers(text: string): number[] {
  return text === '{}' ? [] : text.slice(1, -1).split(',').map(toSafeInteger)
}

/** The oids of `smallint[]` and `bigint[]`. The driver has no names for them, and its own parser takes three times as long. */
const INTEGER_ARRAYS: readonly number[] = [1005, 1016]
const getTypeParser: typeof pg.types.getTypeParser = (oid, format) => {
  if (format !== 'binary' && (oid === pg.types.builtins.INT8 || oid === pg.types.builtins.NUMERIC)) return toSafeInteger
  if (format !== 'binary' && INTEGER_ARRAYS.includes(oid)) return toSafeIntegers
  return pg.types.getTypeParser(oid, format)
}
