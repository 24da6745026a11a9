import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { serveStatic } from '@hono/node-server/serve-static'
import { Hono } from 'hono'
import type { HttpEnv } from './http.ts'

const BUILD = fileURLToPath(new URL('../../dashboard/dist', import.meta.url))

/**
 * The built dashboard: files whose names carry their hash may be kept for good, the page itself never; every unknown
 * path is the page, whose own router takes over.
 *
 * @throws Error when there is no build.
 */
export function builtDashboard(supabaseUrl: string): Hono<HttpEnv> {
  if (!existsSync(`${BUILD}/index.html`)) throw new Error('The dashboard is not built. Run `pnpm build` first.')
  const app = new Hono<HttpEnv>()
  app.get(
    '/assets/*',
    serveStatic({ root: BUILD, onFound: (_path, c) => c.header('cache-control', 'public, max-age=31536000, immutable') }),
  )
  app.get('/assets/*', (c) => c.notFound())
  app.get('*', async (c, next) => {
    c.header('content-security-policy', contentSecurityPolicy(supabaseUrl))
    c.header('cache-control', 'no-cache')
    await next()
  })
  app.get('*', serveStatic({ root: BUILD }))
  app.get('*', serveStatic({ root: BUILD, path: 'index.html' }))
  return app
}

/** Nothing but the build's own files, and calls to our own origin and to Supabase. */
function contentSecurityPolicy(supabaseUrl: string): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    `connect-src 'self' ${new URL(supabaseUrl).origin}`,
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join('; ')
}
