import type { Query } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { accessToken } from '../call/session.ts'
import { queryClient, trpc } from '../call/trpc.ts'

/**
 * Refreshes the pages when the stream reports spending, and shows whether the stream is open. Without a stream, the pages are
 * still refreshed by polling.
 */
export function RealTime({ userId, account }: { userId: string; account: string }) {
  const [isOpen, setIsOpen] = useState(false)
  // biome-ignore lint/correctness/useExhaustiveDependencies: another user needs another stream, also for the same account
  useEffect(() => {
    const leaving = new AbortController()
    const { signal } = leaving
    import('./watch-usage.ts').then(
      ({ watchUsage }) => signal.aborted || watchUsage({ accessToken, account, refresh, onOpenChange: setIsOpen, signal }),
      () => {},
    )
    return () => leaving.abort()
  }, [userId, account])
  // This text is not a live region, because a screen reader would announce it after every network failure.
  return (
    <span
      title="Spending appears as it happens"
      className={`flex shrink-0 items-center gap-1.5 text-sm whitespace-nowrap text-ink-soft ${isOpen ? '' : 'invisible'}`}
    >
      <span aria-hidden="true" className="size-2 rounded-full bg-series-3" />
      <span className="max-sm:sr-only">Real time</span>
    </span>
  )
}

/**
 * Refreshes the visible data that depends on spending, in one request. Other data is refreshed when it becomes visible. A list
 * that is loading its next page is not refreshed, because a refresh would cancel the loading.
 */
async function refresh(): Promise<void> {
  const predicate = ({ state }: Query) => state.fetchStatus === 'idle' || state.fetchMeta?.fetchMore === undefined
  const parts = [trpc.alerts, trpc.billing, trpc.keys, trpc.usage]
  await Promise.all(parts.map((part) => queryClient.invalidateQueries({ queryKey: part.pathKey(), predicate })))
}
