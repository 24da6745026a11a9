import type { Server } from 'node:http'
import {
  AccountQueue,
  type ApiDeps,
  createAccessTokenVerifier,
  createLimits,
  createSessionChecker,
  Metering,
  NO_LIMITS,
  UsageWatch,
} from '@keymeter/api/server'
import { ping } from '@keymeter/db'
import type { TestAuth, TestDatabase } from '@keymeter/local/testing'
import { Hono } from 'hono'
import { pino } from 'pino'
import { afterAll, beforeAll } from 'vitest'
import { createHttpApp, type HttpOptions } from '../src/http.ts'
import type { HttpEnv } from '../src/http-env.ts'
import { createHttpServer } from '../src/http-server.ts'
import { createRequestListener } from '../src/request-listener.ts'

/** Keymeter's HTTP server in the process of the test. `url` and `server` are set when the `beforeAll` hook has run. */
export interface TestApp {
  url: string
  port: number
  server: Server
  api: ApiDeps
  /** The parsed lines of the log. */
  logged: Record<string, unknown>[]
}

interface Options extends Partial<HttpOptions> {
  keepAliveSeconds?: number
  patienceMs?: number
}

/** Starts the HTTP server for the calling test file, and stops it after the last test of the file. */
export function testApp(database: TestDatabase, auth: TestAuth, options: Options = {}): TestApp {
  const { keepAliveSeconds = 65, patienceMs, ...httpOptions } = options
  const logged: TestApp['logged'] = []
  const log = pino({ level: 'debug' }, { write: (line) => logged.push(JSON.parse(line)) })
  const server = createHttpServer({ keepAliveSeconds, log, ...(patienceMs !== undefined && { patienceMs }) })
  const app = { url: '', port: 0, server, logged } as unknown as TestApp
  beforeAll(async () => {
    app.api = {
      db: database.db,
      log,
      supabase: { url: auth.supabaseUrl, publishableKey: auth.publishableKey, secretKey: null },
      publicUrl: null,
      verifyAccessToken: createAccessTokenVerifier(auth),
      checkSession: createSessionChecker({ url: auth.supabaseUrl, publishableKey: auth.publishableKey }),
      limits: createLimits(database.db, NO_LIMITS),
      freeCredits: 'after_confirmation',
      mailer: null,
      keyBrand: 'km',
      serviceKey: auth.serviceKey,
      metering: new Metering({ db: database.db, keyBrand: 'km', log }),
      usageWatch: new UsageWatch(log),
      accountCalls: new AccountQueue(2),
      accountExports: new AccountQueue(2),
    }
    const listener = createRequestListener(
      createHttpApp({
        api: app.api,
        settings: { supabaseUrl: auth.supabaseUrl, supabasePublishableKey: auth.publishableKey, googleSignIn: false },
        trustedProxyHops: 0,
        dashboard: new Hono<HttpEnv>().get('*', (c) => c.html('the dashboard')),
        isReady: () => ping(database.db).then(() => true),
        ...httpOptions,
      }),
      log,
    )
    server.on('request', listener)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    if (typeof address !== 'object' || address === null) throw new Error('The server has no port.')
    app.port = address.port
    app.url = `http://127.0.0.1:${app.port}`
  })
  afterAll(() => {
    app.api.usageWatch.close()
    server.closeAllConnections()
    server.close()
  })
  return app
}
