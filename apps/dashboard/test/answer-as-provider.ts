import type { BrowserContext, Page } from 'playwright-core'

/**
 * Answers in place of Supabase Auth and the provider, because the provider is a real site: `answer` is added to the URL to which
 * Supabase Auth redirects. A code is exchanged for `session`, or refused if it is null. Returns what Supabase Auth received.
 */
export async function answerAsProvider(target: Page | BrowserContext, answer: string, session: object | null) {
  const received: { authorize: URL | null; exchange: Record<string, string> | null } = { authorize: null, exchange: null }
  await target.route('**/auth/v1/authorize*', async (route) => {
    received.authorize = new URL(route.request().url())
    const page = received.authorize.searchParams.get('redirect_to') ?? ''
    await route.fulfill({ status: 302, headers: { location: page + answer } })
  })
  await target.route('**/auth/v1/token?grant_type=pkce', async (route) => {
    received.exchange = route.request().postDataJSON()
    const headers = {
      'access-control-allow-origin': '*',
      'access-control-expose-headers': 'x-supabase-api-version',
      'x-supabase-api-version': '2024-01-01',
    }
    if (session !== null) return await route.fulfill({ headers, json: session })
    await route.fulfill({ status: 404, headers, json: { code: 'flow_state_not_found', message: 'invalid flow state' } })
  })
  return received
}
