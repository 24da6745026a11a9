import type { Query } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { accessToken } from '../call/session.ts'
import { queryClient, trpc } from '../call/trpc.ts'

/** Keeps what is shown of spending up to date, and says so. Where it cannot, pages ask every few seconds, as they do anyway. */
export function RealTime({ userId }: { userId: string }) {
  const [isOpen, setIsOpen] = useState(false)
  // biome-ignore lint/correctness/useExhaustiveDependencies: somebody else's spending is another stream
  useEffect(() => {
    const leaving = new AbortController()
    const { signal } = leaving
    import('./watch-usage.ts').then(
      ({ watchUsage }) => signal.aborted || watchUsage({ accessToken, refresh, onOpenChange: setIsOpen, signal }),
      () => {},
    )
    return () => leaving.abort()
  }, [userId])
  // Not announced to a screen reader, which would say it again with every break of the network.
  return (
    <span
      title="Spending shows as it happens"
      className={`flex items-center gap-1.5 text-sm text-ink-soft ${isOpen ? '' : 'invisible'}`}
    >
      <span aria-hidden="true" className="size-2 rounded-full bg-series-3" />
      <span className="max-sm:sr-only">Real time</span>
    </span>
  )
}

/**
 * All that depends on spending, where it is looked at; the rest when it is. The calls share one request. A list that is being
 * loaded further goes on with that, which another request for it would end.
 */
async function refresh(): Promise<void> {
  const predicate = ({ state }: Query) => state.fetchStatus === 'idle' || state.fetchMeta?.fetchMore === undefined
  const parts = [trpc.alerts, trpc.billing, trpc.keys, trpc.usage]
  await Promise.all(parts.map((part) => queryClient.invalidateQueries({ queryKey: part.pathKey(), predicate })))
}
