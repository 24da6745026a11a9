import { z } from 'zod'

/** The OAuth providers of Supabase Auth that need no more settings than credentials, with the names that people read. */
export const OAUTH_PROVIDER_NAMES = {
  apple: 'Apple',
  azure: 'Microsoft',
  bitbucket: 'Bitbucket',
  discord: 'Discord',
  facebook: 'Facebook',
  figma: 'Figma',
  fly: 'Fly.io',
  github: 'GitHub',
  gitlab: 'GitLab',
  google: 'Google',
  kakao: 'Kakao',
  keycloak: 'Keycloak',
  linkedin_oidc: 'LinkedIn',
  notion: 'Notion',
  slack_oidc: 'Slack',
  spotify: 'Spotify',
  twitch: 'Twitch',
  workos: 'WorkOS',
  x: 'X',
  zoom: 'Zoom',
} as const

export type OAuthProvider = keyof typeof OAUTH_PROVIDER_NAMES
export const OAuthProvider = z.enum(Object.keys(OAUTH_PROVIDER_NAMES) as [OAuthProvider, ...OAuthProvider[]])

/** The captchas that Supabase Auth can verify. */
export const CaptchaProvider = z.enum(['turnstile', 'hcaptcha'])
export type CaptchaProvider = z.infer<typeof CaptchaProvider>

/**
 * The public settings of a deployment. The dashboard loads them from `/config.json`, so one build works in every deployment.
 */
export const Settings = z.object({
  supabaseUrl: z.url(),
  supabasePublishableKey: z.string(),
  /** The providers with which people can sign in, in the order of their buttons. */
  oauthProviders: z.array(OAuthProvider),
  /** True if people can set up a second factor. */
  secondFactor: z.boolean(),
  /** The captcha that Supabase Auth requires, or null. */
  captcha: z.object({ provider: CaptchaProvider, siteKey: z.string() }).nullable(),
})
export type Settings = z.infer<typeof Settings>
