import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { QueryFault } from '../call/query-fault.tsx'
import { trpc } from '../call/trpc.ts'
import { Button } from '../ui/button.tsx'
import { EmptyState } from '../ui/empty-state.tsx'
import { ActivityEntry } from './activity-entry.tsx'
import { ActivityFilters } from './activity-filters.tsx'

export function ActivityPage() {
  return (
    <section aria-labelledby="activity" className="grid gap-4">
      <title>Activity · Keymeter</title>
      <h1 id="activity" className="text-xl font-semibold">
        Activity
      </h1>
      <ActivityFilters />
      <Entries />
    </section>
  )
}

function Entries() {
  const { action, keyId } = useSearch({ from: '/signed-in/activity' })
  const navigate = useNavigate({ from: '/activity' })
  const list = useInfiniteQuery(
    trpc.audit.list.infiniteQueryOptions(
      { action, keyId },
      { getNextPageParam: (page) => page.nextCursor, placeholderData: keepPreviousData },
    ),
  )
  const entries = list.data?.pages.flatMap((page) => page.data)
  const isFiltered = action !== undefined || keyId !== undefined
  return (
    <>
      <QueryFault query={list} />
      {entries === undefined ? (
        list.isError || <EntriesSkeleton />
      ) : entries.length > 0 ? (
        <ol className="rounded-2xl border border-line bg-surface">
          {entries.map((entry) => (
            <ActivityEntry key={entry.sequence} entry={entry} />
          ))}
        </ol>
      ) : isFiltered ? (
        <EmptyState>
          <p>No activity matches.</p>
          <Button variant="secondary" onClick={() => navigate({ search: {} })}>
            Clear filters
          </Button>
        </EmptyState>
      ) : (
        <EmptyState>
          <p>Nothing has happened yet.</p>
        </EmptyState>
      )}
      {list.hasNextPage && (
        <Button
          variant="secondary"
          className="justify-self-center"
          isPending={list.isFetchingNextPage}
          onClick={() => list.fetchNextPage()}
        >
          Load more
        </Button>
      )}
    </>
  )
}

function EntriesSkeleton() {
  return (
    <div role="status" aria-label="Loading the activity" className="rounded-2xl border border-line bg-surface p-4">
      <div className="h-24 motion-safe:animate-pulse rounded bg-raised" />
    </div>
  )
}
