import { Socket } from 'node:net'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import type { DB } from './schema.gen.ts'

/** The database handle: a pool, until the caller opens a transaction on it. */
export type Db = Kysely<DB>

const POOL_CONNECTIONS_MAX = 10
/** Past these a call fails as `database_unavailable` instead of hanging. Postgres' own bounds are on the role. */
const CONNECT_TIMEOUT_MS = 5_000
const QUERY_TIMEOUT_MS = 10_000

/**
 * Opens a pool on `url`; nothing connects before the first query. No session state is kept on a connection (no named
 * statements, no session settings), so a transaction-mode pooler may stand in between.
 *
 * @param onConnectionError told of each connection that breaks, by the server's shutdown or the network.
 */
export function createDb(
  url: string,
  onConnectionError: (error: Error) => void,
  { connectionsMax = POOL_CONNECTIONS_MAX, queryTimeoutMs = QUERY_TIMEOUT_MS } = {},
): Db {
  const pool = new pg.Pool({
    connectionString: url,
    max: connectionsMax,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: queryTimeoutMs,
    stream: () => createSocket(queryTimeoutMs),
    application_name: 'keymeter',
    types: { getTypeParser },
  })
  // A connection may break at any moment, with no query on it to report to: while idle, or between two statements of a
  // transaction. Without a listener Node would end the process.
  pool.on('error', onConnectionError)
  pool.on('connect', (client) => client.on('error', onConnectionError))
  return new Kysely<DB>({ dialect: new PostgresDialect({ pool }) })
}

/**
 * A connection that says nothing for as long as a query may take is dead, though nobody closed it. It must end with its
 * query: given back to the pool, it would be the first to be taken again, and every query after would wait behind the lost
 * one. A little later than the pool lets go of an idle connection, which is no fault.
 */
function createSocket(queryTimeoutMs: number): Socket {
  const socket = new Socket()
  if (queryTimeoutMs === 0) return socket
  return socket.setTimeout(queryTimeoutMs + 1_000, () => socket.destroy(new Error('Connection terminated: Postgres is silent')))
}

/** `bigint` and `numeric` hold credits: whole numbers, which JSON must carry exactly or not at all. */
function toSafeInteger(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError(`${text} is not a whole number that JSON can carry exactly`)
  return value
}

/** Of an array without nulls. */
function toSafeIntegers(text: string): number[] {
  return text === '{}' ? [] : text.slice(1, -1).split(',').map(toSafeInteger)
}

/** The oids of `smallint[]` and `bigint[]`, which the driver has no names for. Its own parser takes three times as long. */
const INTEGER_ARRAYS: readonly number[] = [1005, 1016]
const getTypeParser: typeof pg.types.getTypeParser = (oid, format) => {
  if (format !== 'binary' && (oid === pg.types.builtins.INT8 || oid === pg.types.builtins.NUMERIC)) return toSafeInteger
  if (format !== 'binary' && INTEGER_ARRAYS.includes(oid)) return toSafeIntegers
  return pg.types.getTypeParser(oid, format)
}
