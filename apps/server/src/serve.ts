import type { RequestListener, Server } from 'node:http'
import {
  AccountQueue,
  createAccessTokenVerifier,
  createLimits,
  createMailer,
  createSessionChecker,
  createUsageAnnouncer,
  deleteEndedLimits,
  listenForUsage,
  Metering,
  makeUsagePartitions,
  requireProtection,
  UnprotectedDatabaseError,
  UsageWatch,
} from '@keymeter/api/server'
import { createDb, type Db, ping, type RunSql } from '@keymeter/db'
import closeWithGrace from 'close-with-grace'
import type { Hono, MiddlewareHandler } from 'hono'
import type { Logger } from 'pino'
import type { Env } from './env.ts'
import { createHttpApp } from './http.ts'
import type { HttpEnv } from './http-env.ts'
import { createHttpServer } from './http-server.ts'
import { createReadiness } from './readiness.ts'
import { createRequestListener } from './request-listener.ts'

/** The longest time between the stop signal and the end of the process. Requests that take longer are aborted. */
const SHUTDOWN_TIMEOUT_MS = 10_000
/**
 * While the server stops, it closes idle connections at this interval. Otherwise a connection that the client keeps open would
 * delay the stop by seconds.
 */
const CLOSE_IDLE_INTERVAL_MS = 50
/** The maximum number of exports of one account that run at the same time in this process. */
const ACCOUNT_EXPORTS_MAX = 2
const UPKEEP_INTERVAL_MS = 6 * 3_600_000
/** Short, so that the counters of a flood of sign-ups from many addresses do not stay long in the table. */
const DELETE_LIMITS_INTERVAL_MS = 300_000

/** The parts of the process that serve pages. */
export interface Pages {
  dashboard?: Hono<HttpEnv>
  panel?: MiddlewareHandler<HttpEnv>
  mailbox?: MiddlewareHandler<HttpEnv>
  /**
   * Receives the listener for requests to the API, and returns the listener for all requests. The development server uses it to
   * send all other requests to Vite.
   */
  inFront?: (listener: RequestListener) => RequestListener
  /**
   * Closes the connections that do not belong to the API, e.g. the browser's connection to Vite. The server can stop only after
   * these connections are closed.
   */
  close?: () => Promise<void>
}

/**
 * Runs the server until SIGTERM or SIGINT. Then the server answers the requests in flight, closes its database connections and
 * stops.
 *
 * @throws UnprotectedDatabaseError before the server listens. If the database does not answer yet, the server starts, and stops
 *   when the first connection shows that the database is not protected. No query is sent before that.
 */
export async function serve(env: Env, log: Logger, createPages: (server: Server) => Pages | Promise<Pages>): Promise<void> {
  const onConnectionError = (error: Error) => log.warn({ err: error }, 'a database connection broke')
  let isRunning = false
  const verify = async (run: RunSql) => {
    try {
      await requireProtection(run)
    } catch (error) {
      // If the database did not answer at the start, the server runs already. Stop it, as after an uncaught error.
      if (isRunning && error instanceof UnprotectedDatabaseError) {
        isRunning = false
        setImmediate(() => {
          throw error
        })
      }
      throw error
    }
  }
  const db = createDb(env.databaseUrl, onConnectionError, { connectionsMax: env.databaseConnectionsMax, verify })
  await ping(db).catch((error) => {
    if (error instanceof UnprotectedDatabaseError) throw error
    log.warn({ err: error }, 'the database does not answer or accepts no writes; calls fail until it does')
  })
  const server = createHttpServer({ keepAliveSeconds: env.keepAliveSeconds, log })
  // Charges have their own pool, so they never wait for connections that the dashboard's calls use.
  const meteringDb = createDb(env.databaseUrl, onConnectionError, { connectionsMax: env.meteringConnectionsMax, verify })
  const readiness = createReadiness(env.databaseUrl, onConnectionError, verify)
  const usageWatch = new UsageWatch(log)
  const supabase = {
    url: env.supabaseInternalUrl,
    publishableKey: env.supabasePublishableKey,
    secretKey: env.supabaseSecretKey,
  }
  const announcer = createUsageAnnouncer(meteringDb, usageWatch, log)
  const { inFront = (listener) => listener, close: closePages, ...pages } = await createPages(server)
  const app = createHttpApp({
    ...pages,
    api: {
      db,
      log,
      supabase,
      publicUrl: env.publicUrl,
      verifyAccessToken: createAccessTokenVerifier(env),
      checkSession: createSessionChecker(supabase),
      limits: createLimits(db, env.limits),
      freeCredits: env.freeCredits,
      mailer: env.mail && createMailer(env.mail, log),
      keyBrand: env.keyBrand,
      serviceKey: env.serviceKey,
      metering: new Metering({ db: meteringDb, keyBrand: env.keyBrand, log, onDecided: announcer.announce }),
      usageWatch,
      accountCalls: new AccountQueue(env.accountCallsMax),
      accountExports: new AccountQueue(ACCOUNT_EXPORTS_MAX),
    },
    settings: {
      supabaseUrl: env.supabaseUrl,
      supabasePublishableKey: env.supabasePublishableKey,
      googleSignIn: env.googleSignIn,
    },
    trustedProxyHops: env.trustedProxyHops,
    isReady: readiness.isReady,
  })
  server.on('request', inFront(createRequestListener(app, log)))
  const listener = listenForUsage(env.databaseDirectUrl, announcer, usageWatch, log)
  const upkeep = setInterval(() => void keepPartitions(meteringDb, log), UPKEEP_INTERVAL_MS)
  const deletion = setInterval(() => void deleteLimits(db, log), DELETE_LIMITS_INTERVAL_MS)
  closeWithGrace({ delay: SHUTDOWN_TIMEOUT_MS }, async ({ err }) => {
    if (err) log.fatal({ err }, 'stopping after an uncaught error')
    clearInterval(upkeep)
    clearInterval(deletion)
    await closePages?.()
    // Streams do not end by themselves, so they are ended here. Their clients reconnect to another process.
    usageWatch.close()
    await close(server)
    await announcer.flush()
    await listener.close()
    await readiness.close()
    await db.destroy()
    await meteringDb.destroy()
  })
  isRunning = true
  await listen(server, env)
  log.info({ host: env.host, port: env.port }, 'listening')
  await keepPartitions(meteringDb, log)
}

/** Creates the partitions for the next months. Charges do not need these partitions yet, so a failure is only logged. */
async function keepPartitions(db: Db, log: Logger): Promise<void> {
  try {
    const made = await makeUsagePartitions(db)
    if (made.length > 0) log.info({ made }, 'created partitions for usage events')
  } catch (error) {
    log.warn({ err: error }, 'could not create partitions for usage events; the next attempt is in 6 hours')
  }
}

/** Deletes the counters that have ended. They have no effect, so a failure is only logged. */
async function deleteLimits(db: Db, log: Logger): Promise<void> {
  await deleteEndedLimits(db).catch((error) =>
    log.warn({ err: error }, 'could not delete ended rate limits; the next attempt is in 5 minutes'),
  )
}

function listen(server: Server, { host, port }: Env): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const isTaken = 'code' in error && error.code === 'EADDRINUSE'
      reject(
        isTaken
          ? new Error(`Port ${port} is taken. Stop the program that listens there, or set PORT to another port.`, {
              cause: error,
            })
          : error,
      )
    })
    server.listen(port, host, resolve)
  })
}

/** Stops accepting connections, and closes each open connection after its answer. Resolves when all connections are closed. */
function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const closing = setInterval(() => server.closeIdleConnections(), CLOSE_IDLE_INTERVAL_MS)
    server.close(() => {
      clearInterval(closing)
      resolve()
    })
  })
}
