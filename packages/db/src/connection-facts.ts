import { TLSSocket } from 'node:tls'
import pg from 'pg'

const TIMEOUT_MS = 5_000
/** Postgres delivers a notification within milliseconds of the commit. */
const NOTIFICATION_TIMEOUT_MS = 2_000

/** What `keymeter doctor` needs to know about one connection URL. */
export interface ConnectionFacts {
  /** The role of the session, e.g. `keymeter_api`. */
  role: string
  /** Two URLs with the same value lead to the same database of the same server. */
  database: string
  /** True if the connection between this machine and the server, or its pooler, uses TLS. */
  isEncrypted: boolean
  /** True if the server is a standby, which accepts no writes. */
  isStandby: boolean
  /** True if a pooler is between this machine and Postgres. */
  isPooled: boolean
  /** The database's clock minus the clock of this machine. */
  clockAheadMs: number
  /** The uncertainty of `clockAheadMs`: half of the round trip. */
  clockUncertaintyMs: number
}

/** @throws Error if the connection cannot be opened. */
export async function readConnectionFacts(url: string): Promise<ConnectionFacts> {
  return await onConnection(url, async (client) => {
    const sentAt = Date.now()
    const { rows } = await client.query(
      `select (extract(epoch from clock_timestamp()) * 1000)::float8 as now, current_user as role, pg_backend_pid() as pid,
              pg_is_in_recovery() as "isStandby", current_database() || ' since ' || extract(epoch from pg_postmaster_start_time()) as database`,
    )
    const receivedAt = Date.now()
    const [{ now, pid, role, isStandby, database }] = rows
    // Postgres sends its process id when a connection opens. A pooler sends a number of its own instead.
    const announcedPid = 'processID' in client ? client.processID : null
    return {
      role,
      database,
      isStandby,
      isEncrypted: client.connection.stream instanceof TLSSocket,
      isPooled: announcedPid !== pid,
      clockAheadMs: now - (sentAt + receivedAt) / 2,
      clockUncertaintyMs: (receivedAt - sentAt) / 2,
    }
  })
}

/**
 * Returns true if a connection that listens receives the notification of another session. A pooler in transaction mode loses it.
 *
 * @param notifierUrl Must lead directly to Postgres, or to any pooler.
 */
export async function receivesNotifications(listenerUrl: string, notifierUrl: string): Promise<boolean> {
  return await onConnection(listenerUrl, async (listener) => {
    const received = Promise.withResolvers<boolean>()
    listener.on('notification', () => received.resolve(true))
    await listener.query('listen keymeter_doctor')
    await onConnection(notifierUrl, async (notifier) => await notifier.query('notify keymeter_doctor'))
    const timer = setTimeout(() => received.resolve(false), NOTIFICATION_TIMEOUT_MS)
    try {
      return await received.promise
    } finally {
      clearTimeout(timer)
    }
  })
}

async function onConnection<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: TIMEOUT_MS,
    query_timeout: TIMEOUT_MS,
    application_name: 'keymeter doctor',
  })
  client.on('error', () => {})
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
