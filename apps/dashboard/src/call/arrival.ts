import { nextPath } from '@keymeter/contract'
import type { EmailOtpType } from '@supabase/auth-js'

/** The kinds of links in the mails of Supabase Auth. */
const LINK_TYPES = ['signup', 'invite', 'magiclink', 'recovery', 'email_change', 'email'] as const satisfies EmailOtpType[]
export type LinkType = (typeof LINK_TYPES)[number]

/** A link from a mail. Its token works once. */
export type MailLink =
  /** A link to the page `/confirm`. The token is not used yet. */
  | { kind: 'unused'; tokenHash: string; type: LinkType }
  /** A link to Supabase Auth, which has used the token and redirected here with a session. */
  | { kind: 'session'; accessToken: string; refreshToken: string; type: LinkType }
  /** A link to Supabase Auth, which has confirmed one of the two addresses of a change. */
  | { kind: 'half' }
  /** A link to Supabase Auth, which has refused the token with this error code. */
  | { kind: 'refused'; errorCode: string }

export interface Arrival {
  /** The link that a person has opened, or null. */
  link: MailLink | null
  /** The code with which an OAuth provider has redirected here, or null. */
  code: string | null
  /** The error code with which an OAuth provider or Supabase Auth has refused a sign-in and redirected here, or null. */
  refusal: string | null
}

const NOTHING: Arrival = { link: null, code: null, refusal: null }

/**
 * Reads what a mail or an OAuth provider has put into the URL, and removes it from the URL before anything else runs. Otherwise the
 * tokens would get into the history of the browser, and a reload would use them again. `hasVerifier` is true if this browser has
 * started a sign-in with a provider: only then is the parameter `code` ours.
 */
export function takeArrival(hasVerifier: boolean): Arrival {
  const { arrival, path } = readArrival(new URL(location.href), hasVerifier)
  if (path !== null) history.replaceState(null, '', path)
  // A link that differs from the open page only in its hash does not load the page.
  window.addEventListener('hashchange', () => {
    if (readArrival(new URL(location.href), hasVerifier).path !== null) location.reload()
  })
  return arrival
}

function readArrival(url: URL, hasVerifier: boolean): { arrival: Arrival; path: string | null } {
  const { searchParams: query, pathname } = url
  const hash = new URLSearchParams(url.hash.slice(1))
  const isConfirm = pathname === '/confirm'
  const next = isConfirm
    ? nextPath(withoutOrigin(hash.get('next') ?? query.get('next') ?? query.get('redirect_to'), url.origin))
    : nextPath(pathOf(url))
  const to = (path: string) => (next === '/' ? path : `${path}?${new URLSearchParams({ next })}`)

  // Our mails put the token into the hash, which no server and no log sees. The links of Supabase Auth put it into the query.
  const tokenHash = hash.get('token_hash') ?? query.get('token_hash') ?? query.get('token')
  const type = LINK_TYPES.find((name) => name === (query.get('type') ?? hash.get('type')))
  if (isConfirm && tokenHash !== null && type !== undefined)
    return { arrival: { ...NOTHING, link: { kind: 'unused', tokenHash, type } }, path: to('/confirm') }

  const [accessToken, refreshToken] = [hash.get('access_token'), hash.get('refresh_token')]
  if (accessToken !== null && refreshToken !== null) {
    const link: MailLink = { kind: 'session', accessToken, refreshToken, type: type ?? 'magiclink' }
    return { arrival: { ...NOTHING, link }, path: to('/confirm') }
  }
  if (hash.has('message')) return { arrival: { ...NOTHING, link: { kind: 'half' } }, path: to('/confirm') }

  const errorCode = ['error_code', 'error'].map((name) => hash.get(name) ?? query.get(name)).find((value) => value !== null)
  if (errorCode !== undefined) {
    // Supabase Auth puts the error of a mail's link only into the hash, and the error of an OAuth sign-in also into the query.
    const isOfLink = isConfirm || errorCode === 'otp_expired' || !(query.has('error') || query.has('error_code'))
    if (isOfLink) return { arrival: { ...NOTHING, link: { kind: 'refused', errorCode } }, path: to('/confirm') }
    return { arrival: { ...NOTHING, refusal: errorCode }, path: '/sign-in' }
  }
  const code = query.get('code')
  return code !== null && hasVerifier ? { arrival: { ...NOTHING, code }, path: next } : { arrival: NOTHING, path: null }
}

/** The parameters that OAuth providers and Supabase Auth add to the URL of the page to which they redirect. */
const ADDED = ['code', 'error', 'error_code', 'error_description', 'message', 'sb', 'sb_flow_id']

/** Returns the page to which a redirect leads, without the parameters that the redirect has added. */
function pathOf({ pathname, search }: URL): string {
  const query = new URLSearchParams(search)
  for (const name of ADDED) query.delete(name)
  return query.size === 0 ? pathname : `${pathname}?${query}`
}

/** Mail templates contain the whole URL of the next page (`{{ .RedirectTo }}`). */
function withoutOrigin(target: string | null, origin: string): string | null {
  if (target === origin) return '/'
  return target?.startsWith(`${origin}/`) ? target.slice(origin.length) : target
}
