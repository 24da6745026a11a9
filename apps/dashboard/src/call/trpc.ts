import type { AppRouter } from '@keymeter/api'
import { BATCH_CALLS_MAX } from '@keymeter/contract'
import { QueryClient } from '@tanstack/react-query'
import { createTRPCClient, httpBatchLink } from '@trpc/client'
import { createTRPCOptionsProxy } from '@trpc/tanstack-react-query'
import { describeCallError } from './call-error.ts'
import { accessToken, endExpiredSession } from './session.ts'
import { stepUpLink } from './step-up.ts'

const RETRIES_MAX = 2
/** The pause before the first retry. Each further pause is twice as long. */
const RETRY_PAUSE_MS_MIN = 1_000
/** A request that takes longer than this fails. Otherwise the page would wait without a message. */
const REQUEST_MS_MAX = 20_000
/**
 * The interval at which data about spending is loaded again. If the stream is open, real-time.tsx usually loads the data
 * sooner.
 */
export const REFRESH_INTERVAL_MS = 10_000

/** A tRPC client without a cache. Use it for calls whose answer contains a secret, because no cache may contain a secret. */
export const api = createTRPCClient<AppRouter>({
  links: [
    stepUpLink,
    httpBatchLink({
      url: '/trpc',
      maxItems: BATCH_CALLS_MAX,
      headers: async () => {
        const token = await accessToken()
        return token === null ? {} : { authorization: `Bearer ${token}` }
      },
      fetch: async (input, init) => {
        const signals = [AbortSignal.timeout(REQUEST_MS_MAX), ...(init?.signal ? [init.signal] : [])]
        const response = await fetch(input, { ...(init as RequestInit), signal: AbortSignal.any(signals) })
        if (response.status === 401) await endExpiredSession(new Headers(init?.headers as HeadersInit).get('authorization'))
        return response
      },
    }),
  ],
})

export const queryClient = new QueryClient({
  defaultOptions: {
    // Without a network, a call must fail with a message. By default, TanStack Query waits and sends the call later.
    mutations: { networkMode: 'always' },
    queries: {
      networkMode: 'always',
      // Retry only after a temporary failure, e.g. of the network. A refusal is final.
      retry: (failures, error) => failures < RETRIES_MAX && describeCallError(error).isPassing,
      retryDelay: (failures, error) => Math.max(RETRY_PAUSE_MS_MIN * 2 ** failures, describeCallError(error).retryAfterMs),
    },
  },
})

export const trpc = createTRPCOptionsProxy<AppRouter>({ client: api, queryClient })
