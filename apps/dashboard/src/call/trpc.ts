import type { AppRouter } from '@keymeter/api'
import { BATCH_CALLS_MAX } from '@keymeter/contract'
import { QueryClient } from '@tanstack/react-query'
import { createTRPCClient, httpBatchLink } from '@trpc/client'
import { createTRPCOptionsProxy } from '@trpc/tanstack-react-query'
import { describeCallError } from './call-error.ts'
import { accessToken, endExpiredSession } from './session.ts'

const RETRIES_MAX = 2
/** A request that hangs fails then, or else all that waits for its answer would stand still unseen. */
const REQUEST_MS_MAX = 20_000
/** What depends on spending is asked for this often, where no stream tells of it sooner. */
export const REFRESH_INTERVAL_MS = 10_000

/** Calls as they are. Those whose answer holds a secret are made with this, so that no cache ever has it. */
export const api = createTRPCClient<AppRouter>({
  links: [
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
    // Offline, a call fails and says so; it must not wait unseen and go out later.
    mutations: { networkMode: 'always' },
    queries: {
      networkMode: 'always',
      // A refusal is an answer; only what may pass is tried again.
      retry: (failures, error) => failures < RETRIES_MAX && describeCallError(error).isPassing,
    },
  },
})

export const trpc = createTRPCOptionsProxy<AppRouter>({ client: api, queryClient })
