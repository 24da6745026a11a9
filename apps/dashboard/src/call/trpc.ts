import type { AppRouter } from '@keymeter/api'
import { BATCH_CALLS_MAX } from '@keymeter/contract'
import { QueryClient } from '@tanstack/react-query'
import { createTRPCClient, httpBatchLink, type OperationLink, TRPCClientError, type TRPCLink } from '@trpc/client'
import { observable } from '@trpc/server/observable'
import { createTRPCOptionsProxy } from '@trpc/tanstack-react-query'
import { currentAccountId, isAccountGuessed } from '../account/current-account.ts'
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

/** The option of a call that acts on this account, and not on the one that the tab shows when the call is made. */
export function onAccount(account: string | null) {
  return { context: { [ACCOUNT]: account } }
}
const ACCOUNT = 'account'

/** Chooses the account of a call when the call is made, so that it stays the same if the call is repeated after a sign-in. */
const chooseAccountLink: TRPCLink<AppRouter> =
  () =>
  ({ op, next }) =>
    next({ ...op, context: { [ACCOUNT]: currentAccountId(), ...op.context } })

/**
 * Sends each call to its account. A batch is sent a moment later, when the tab can already
 * show another account. So each account has its own batches, and a batch never contains calls on two accounts.
 */
function linkOfAccount(): TRPCLink<AppRouter> {
  return (runtime) => {
    const links = new Map<string | null, OperationLink<AppRouter>>()
    return ({ op, next }) => {
      const account = op.context[ACCOUNT] as string | null
      const link = links.get(account) ?? batchesOf(account)(runtime)
      links.set(account, link)
      return observable((observer) =>
        link({ op, next }).subscribe({
          next: observer.next,
          complete: observer.complete,
          error: (error) => {
            noteRefusal(error)
            observer.error(error)
          },
        }),
      )
    }
  }
}

function batchesOf(account: string | null): TRPCLink<AppRouter> {
  return httpBatchLink({
    url: '/trpc',
    maxItems: BATCH_CALLS_MAX,
    headers: async () => {
      const token = await accessToken()
      return {
        ...(token !== null && { authorization: `Bearer ${token}` }),
        ...(account !== null && { 'x-keymeter-account': account }),
      }
    },
    fetch: async (input, init) => {
      const signals = [AbortSignal.timeout(REQUEST_MS_MAX), ...(init?.signal ? [init.signal] : [])]
      const response = await fetch(input, { ...(init as RequestInit), signal: AbortSignal.any(signals) })
      if (response.status === 401) await endExpiredSession(new Headers(init?.headers as HeadersInit).get('authorization'))
      return response
    },
  })
}

function reasonOf(error: unknown) {
  return error instanceof TRPCClientError ? (error as TRPCClientError<AppRouter>).data?.reason : undefined
}

/** Another member can have removed the person or changed their role since the accounts were read. So they are read again. */
function noteRefusal(error: unknown): void {
  const reason = reasonOf(error)
  if (reason === 'not_a_member' || reason === 'role_insufficient')
    void queryClient.invalidateQueries(trpc.accounts.list.queryFilter())
}

/** A tRPC client without a cache. Use it for calls whose answer contains a secret, because no cache may contain a secret. */
export const api = createTRPCClient<AppRouter>({ links: [chooseAccountLink, stepUpLink, linkOfAccount()] })

export const queryClient = new QueryClient({
  defaultOptions: {
    // Without a network, a call must fail with a message. By default, TanStack Query waits and sends the call later.
    mutations: { networkMode: 'always' },
    queries: {
      networkMode: 'always',
      // Retry only after a temporary failure, e.g. of the network. A refusal is final, unless the page has only guessed the account.
      retry: (failures, error) =>
        failures < RETRIES_MAX &&
        (describeCallError(error).isPassing || (isAccountGuessed() && reasonOf(error) === 'not_a_member')),
      retryDelay: (failures, error) => Math.max(RETRY_PAUSE_MS_MIN * 2 ** failures, describeCallError(error).retryAfterMs),
    },
  },
})

export const trpc = createTRPCOptionsProxy<AppRouter>({ client: api, queryClient })

/** Forgets all data except the list of accounts. A later answer to a call on the previous account is dropped. */
export function forgetAccountData(): void {
  const [listOfAccounts] = trpc.accounts.list.queryKey()
  queryClient.removeQueries({ predicate: ({ queryKey }) => String(queryKey[0]) !== String(listOfAccounts) })
}
