import { createServer, type RequestListener, type Server } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { getRequestListener } from '@hono/node-server'
import {
  createAccessTokenVerifier,
  createMetering,
  createUsageAnnouncer,
  listenForUsage,
  makeUsagePartitions,
  UsageWatch,
} from '@keymeter/api/server'
import { createDb, type Db, ping } from '@keymeter/db'
import closeWithGrace from 'close-with-grace'
import type { Hono, MiddlewareHandler } from 'hono'
import type { Logger } from 'pino'
import type { Env } from './env.ts'
import { createHttpApp } from './http.ts'
import type { HttpEnv } from './http-env.ts'

/** In-flight requests have this long to end before the process stops anyway. */
const SHUTDOWN_TIMEOUT_MS = 10_000
/** A kept-alive connection would otherwise outlast its last answer by seconds. */
const CLOSE_IDLE_INTERVAL_MS = 50
const READY_TIMEOUT_MS = 2_000
/** A client that sends its request slower than this is cut off. */
const REQUEST_TIMEOUT_MS = 30_000
/** One batch is in flight at a time; the other connections are for accounts that wait for their lock, and for upkeep. */
const METERING_CONNECTIONS_MAX = 8
const UPKEEP_INTERVAL_MS = 6 * 3_600_000

/** What this process serves beside the API. */
export interface Pages {
  dashboard?: Hono<HttpEnv>
  panel?: MiddlewareHandler<HttpEnv>
  /** Wraps the listener of everything else. */
  inFront?: (listener: RequestListener) => RequestListener
  /** Ends what holds connections of its own, such as the browser's link to Vite, before the server waits for them. */
  close?: () => Promise<void>
}

/** Serves until SIGTERM or SIGINT: then finishes what is in flight, closes the pool and ends. */
export async function serve(env: Env, log: Logger, createPages: (server: Server) => Pages | Promise<Pages>): Promise<void> {
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS })
  const onConnectionError = (error: Error) => log.warn({ err: error }, 'a database connection broke')
  const db = createDb(env.databaseUrl, onConnectionError)
  // Charges never wait for a connection that the dashboard's calls hold.
  const meteringDb = createDb(env.databaseUrl, onConnectionError, { connectionsMax: METERING_CONNECTIONS_MAX })
  const usageWatch = new UsageWatch(log)
  const announcer = createUsageAnnouncer(meteringDb, log)
  const { inFront = (listener) => listener, close: closePages, ...pages } = await createPages(server)
  const app = createHttpApp({
    ...pages,
    api: {
      db,
      log,
      supabase: { url: env.supabaseUrl, publishableKey: env.supabasePublishableKey },
      verifyAccessToken: createAccessTokenVerifier(env),
      keyBrand: env.keyBrand,
      serviceKey: env.serviceKey,
      metering: createMetering({ db: meteringDb, keyBrand: env.keyBrand, log, onDecided: announcer.announce }),
      usageWatch,
    },
    settings: {
      supabaseUrl: env.supabaseUrl,
      supabasePublishableKey: env.supabasePublishableKey,
      googleSignIn: env.googleSignIn,
    },
    trustedProxyHops: env.trustedProxyHops,
    isReady: () => isReady(db),
  })
  server.on('request', inFront(getRequestListener(app.fetch)))
  const listener = listenForUsage(env.databaseDirectUrl, usageWatch, log)
  const upkeep = setInterval(() => void keepPartitions(meteringDb, log), UPKEEP_INTERVAL_MS)
  closeWithGrace({ delay: SHUTDOWN_TIMEOUT_MS }, async ({ err }) => {
    if (err) log.fatal({ err }, 'stopping after an error nobody caught')
    clearInterval(upkeep)
    await closePages?.()
    // Streams would never end by themselves. Their clients come back to another process.
    usageWatch.close()
    await close(server)
    await announcer.flush()
    await listener.close()
    await db.destroy()
    await meteringDb.destroy()
  })
  await listen(server, env)
  log.info({ host: env.host, port: env.port }, 'listening')
  await ping(db).catch((error) => log.warn({ err: error }, 'the database does not answer: until it does, calls fail'))
  await keepPartitions(meteringDb, log)
}

/** Ahead of need. Charges go on without, so a failure is only noted. */
async function keepPartitions(db: Db, log: Logger): Promise<void> {
  try {
    const made = await makeUsagePartitions(db)
    if (made.length > 0) log.info({ made }, 'made partitions of the usage events')
  } catch (error) {
    log.warn({ err: error }, 'could not make partitions of the usage events: trying again later')
  }
}

/** A database that hangs is as good as none. */
async function isReady(db: Db): Promise<boolean> {
  const tooLate = sleep(READY_TIMEOUT_MS, false, { ref: false })
  return await Promise.race([
    ping(db).then(
      () => true,
      () => false,
    ),
    tooLate,
  ])
}

function listen(server: Server, { host, port }: Env): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const isTaken = 'code' in error && error.code === 'EADDRINUSE'
      reject(isTaken ? new Error(`Port ${port} is taken.`, { cause: error }) : error)
    })
    server.listen(port, host, resolve)
  })
}

/** Takes no new connection, and ends each open one as soon as its answer is given. */
function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const closing = setInterval(() => server.closeIdleConnections(), CLOSE_IDLE_INTERVAL_MS)
    server.close(() => {
      clearInterval(closing)
      resolve()
    })
  })
}
