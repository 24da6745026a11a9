import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { PagedList } from '../call/paged-list.tsx'
import { trpc } from '../call/trpc.ts'
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
  const isFiltered = action !== undefined || keyId !== undefined
  return (
    <PagedList
      query={list}
      skeleton={<EntriesSkeleton />}
      empty={isFiltered ? 'No activity matches.' : 'Nothing has happened yet.'}
      onClearFilters={isFiltered ? () => navigate({ search: {} }) : null}
    >
      {(entries) => (
        <ol className="rounded-2xl border border-line bg-surface">
          {entries.map((entry) => (
            <ActivityEntry key={entry.sequence} entry={entry} />
          ))}
        </ol>
      )}
    </PagedList>
  )
}

function EntriesSkeleton() {
  return (
    <div role="status" aria-label="Loading the activity" className="rounded-2xl border border-line bg-surface p-4">
      <div className="h-24 motion-safe:animate-pulse rounded bg-raised" />
    </div>
  )
}
