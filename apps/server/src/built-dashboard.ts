import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { serveStatic } from '@hono/node-server/serve-static'
import type { CaptchaProvider } from '@keymeter/contract'
import { Hono } from 'hono'
import type { Env } from './env.ts'
import type { HttpEnv } from './http-env.ts'

const BUILD = fileURLToPath(new URL('../../dashboard/dist', import.meta.url))
/** Beside most files, the build has a file with the same name and `.br` or `.gz`, which is its compressed form. */
const FILES = { root: BUILD, precompressed: true }

/**
 * Serves the built dashboard. Browsers may cache the files in `/assets` for a year, because the names of these files contain a
 * hash. Browsers must revalidate the HTML page. Every other path also gets this page, because the dashboard decides in the
 * browser which paths exist.
 *
 * @throws Error if the dashboard is not built.
 */
export function builtDashboard(settings: Pick<Env, 'supabaseUrl' | 'captcha'>): Hono<HttpEnv> {
  if (!existsSync(`${BUILD}/index.html`)) throw new Error('The dashboard is not built. Run `pnpm build` first.')
  const app = new Hono<HttpEnv>()
  app.get(
    '/assets/*',
    serveStatic({
      ...FILES,
      onFound: (_path, c) => c.header('cache-control', 'public, max-age=31536000, immutable'),
    }),
  )
  app.get('/assets/*', (c) => c.notFound())
  app.get('*', async (c, next) => {
    c.header('content-security-policy', contentSecurityPolicy(settings))
    c.header('cache-control', 'no-cache')
    await next()
  })
  app.get('*', serveStatic(FILES))
  app.get('*', serveStatic({ ...FILES, path: 'index.html' }))
  return app
}

const HCAPTCHA = ' https://hcaptcha.com https://*.hcaptcha.com'
/** What the documentation of each captcha demands. */
const CAPTCHA_SOURCES = {
  turnstile: { scripts: ' https://challenges.cloudflare.com', styles: '', calls: '' },
  hcaptcha: { scripts: HCAPTCHA, styles: HCAPTCHA, calls: HCAPTCHA },
} satisfies Record<CaptchaProvider, { scripts: string; styles: string; calls: string }>

/**
 * The value of the Content-Security-Policy header. The page may load only files of this origin and images in `data:` URLs, and
 * may call only this origin and Supabase. With a captcha, it may also load and show the captcha.
 */
function contentSecurityPolicy({ supabaseUrl, captcha }: Pick<Env, 'supabaseUrl' | 'captcha'>): string {
  const { scripts = '', styles = '', calls = '' } = captcha === null ? {} : CAPTCHA_SOURCES[captcha.provider]
  return [
    "default-src 'none'",
    `script-src 'self'${scripts}`,
    ...(scripts === '' ? [] : [`frame-src${scripts}`]),
    `style-src 'self'${styles}`,
    "img-src 'self' data:",
    "font-src 'self'",
    `connect-src 'self' ${new URL(supabaseUrl).origin}${calls}`,
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join('; ')
}
