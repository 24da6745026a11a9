import { describe, expect, it } from 'vitest'
import { builtDashboard } from './built-dashboard.ts'
import type { Env } from './env.ts'

const supabaseUrl = 'https://project.supabase.example/path'

/** Returns the directives of the page's Content-Security-Policy. */
async function policyOf(captcha: Env['captcha']): Promise<Record<string, string>> {
  const response = await builtDashboard({ supabaseUrl, captcha }).request('/sign-in')
  const policy = response.headers.get('content-security-policy') ?? ''
  return Object.fromEntries(policy.split('; ').map((directive) => [directive.split(' ', 1)[0], directive.replace(/^\S+ /, '')]))
}

const WITHOUT_CAPTCHA = {
  'default-src': "'none'",
  'script-src': "'self'",
  'style-src': "'self'",
  'img-src': "'self' data:",
  'font-src': "'self'",
  'connect-src': "'self' https://project.supabase.example",
  'form-action': "'self'",
  'frame-ancestors': "'none'",
  'base-uri': "'none'",
}

describe('the Content-Security-Policy of the dashboard', () => {
  it('allows no other site than Supabase without a captcha', async () => {
    expect(await policyOf(null)).toEqual(WITHOUT_CAPTCHA)
  })

  it('allows exactly the origin of Turnstile with Turnstile', async () => {
    expect(await policyOf({ provider: 'turnstile', siteKey: 'x' })).toEqual({
      ...WITHOUT_CAPTCHA,
      'script-src': "'self' https://challenges.cloudflare.com",
      'frame-src': 'https://challenges.cloudflare.com',
    })
  })

  it('allows exactly the origins of hCaptcha with hCaptcha', async () => {
    const origins = 'https://hcaptcha.com https://*.hcaptcha.com'
    expect(await policyOf({ provider: 'hcaptcha', siteKey: 'x' })).toEqual({
      ...WITHOUT_CAPTCHA,
      'script-src': `'self' ${origins}`,
      'frame-src': origins,
      'style-src': `'self' ${origins}`,
      'connect-src': `'self' https://project.supabase.example ${origins}`,
    })
  })
})
