import type { UsageEvent, UsageEventFilters } from '@keymeter/contract'
import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { describeCallError } from '../app/call-error.ts'
import { queryClient } from '../app/trpc.ts'
import { formatCredits } from '../format.ts'
import { Badge } from '../ui/badge.tsx'
import { Button } from '../ui/button.tsx'
import { EmptyState } from '../ui/empty-state.tsx'
import { Moment } from '../ui/moment.tsx'
import { ErrorNotice } from '../ui/notice.tsx'
import { EventFilters } from './event-filters.tsx'
import { eventPages } from './event-pages.ts'
import { describeVerdict, verdictsOf } from './event-verdicts.ts'
import { ExportEvents } from './export-events.tsx'
import type { UsageSearch } from './usage-search.ts'

export function UsageEvents() {
  const { keyId, operation, verdict } = useSearch({ from: '/signed-in/usage' })
  const filters = { keyId, operation, verdicts: verdictsOf(verdict) }
  return (
    <section aria-labelledby="events" className="grid gap-4">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <h2 id="events" tabIndex={-1} className="text-lg font-semibold outline-none">
          Events
        </h2>
        <ExportEvents filters={filters} />
      </div>
      <EventFilters />
      <Events filters={filters} />
    </section>
  )
}

function Events({ filters }: { filters: UsageEventFilters }) {
  const navigate = useNavigate({ from: '/usage' })
  const pages = eventPages(filters)
  const list = useInfiniteQuery({ ...pages, placeholderData: keepPreviousData })
  const events = list.data?.pages.flatMap((page) => page.data) ?? []
  const showNewer = async () => {
    // The button goes, and the focus must not fall back to the page's beginning.
    document.getElementById('events')?.focus()
    await queryClient.resetQueries({ queryKey: pages.queryKey })
  }
  const isFiltered = Object.values(filters).some((filter) => filter !== undefined)
  return (
    <>
      {list.isError && (
        <ErrorNotice error={describeCallError(list.error)}>
          <Button variant="secondary" onClick={() => list.refetch()}>
            Retry
          </Button>
        </ErrorNotice>
      )}
      {list.data?.pages[0]?.hasNewer && (
        <Button variant="secondary" className="justify-self-center" onClick={showNewer}>
          Show newer events
        </Button>
      )}
      {events.length > 0 ? (
        <EventTable events={events} isBusy={list.isPlaceholderData} />
      ) : list.isPending || list.isPlaceholderData ? (
        <div role="status" aria-label="Loading the events" className="rounded-2xl border border-line bg-surface p-4">
          <div className="h-24 motion-safe:animate-pulse rounded bg-raised" />
        </div>
      ) : (
        list.isError || (
          <EmptyState>
            <p>
              {list.hasNextPage
                ? 'No newer event matches.'
                : isFiltered
                  ? 'No event matches.'
                  : 'Nothing has been charged yet.'}
            </p>
            {isFiltered && (
              <Button
                variant="secondary"
                onClick={() => navigate({ search: ({ range, by }: UsageSearch) => ({ range, by }), resetScroll: false })}
              >
                Clear filters
              </Button>
            )}
          </EmptyState>
        )
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

function EventTable({ events, isBusy }: { events: UsageEvent[]; isBusy: boolean }) {
  return (
    <div className="overflow-hidden rounded-2xl border border-line bg-surface">
      <table aria-busy={isBusy} className="w-full text-left text-sm">
        <thead className="border-line border-b text-ink-soft">
          <tr>
            <Heading>Event</Heading>
            <Heading className="hidden sm:table-cell">Time</Heading>
            <Heading>Verdict</Heading>
            <Heading className="text-right">Credits</Heading>
            <Heading className="hidden text-right md:table-cell">Left</Heading>
          </tr>
        </thead>
        <tbody>
          {events.map((event) => (
            <EventRow key={event.sequence} event={event} />
          ))}
        </tbody>
      </table>
    </div>
  )
}

function EventRow({ event }: { event: UsageEvent }) {
  const { sequence, createdAt, keyName, action, operation, verdict, creditsRequested, creditsCharged, remaining } = event
  const isTaken = verdict === 'charged' || creditsCharged !== 0
  return (
    <tr className="border-line not-last:border-b">
      <td className="w-full max-w-0 px-3 py-3 sm:px-4">
        <p className="truncate font-medium" title={`Event ${sequence}`}>
          {keyName ?? 'A key that is gone'}
        </p>
        <p className="truncate text-ink-soft text-xs">
          {action !== 'charge' && `${describeVerdict(action)} · `}
          {operation}
          <span className="sm:hidden">
            {' · '}
            <Moment iso={createdAt} />
          </span>
        </p>
      </td>
      <td className="hidden whitespace-nowrap px-4 py-3 text-ink-soft sm:table-cell">
        <Moment iso={createdAt} />
      </td>
      <td className="px-1 py-3 sm:px-4 sm:whitespace-nowrap">
        {verdict === 'charged' ? (
          <span className="text-ink-soft">Charged</span>
        ) : (
          <Badge tone={isTaken || action !== 'charge' ? 'plain' : 'danger'}>{describeVerdict(verdict)}</Badge>
        )}
      </td>
      <td className="figures px-3 py-3 text-right font-medium sm:px-4">
        {formatCredits(creditsCharged)}
        {creditsCharged !== creditsRequested && creditsCharged >= 0 && (
          <p className="font-normal text-ink-soft text-xs">of {formatCredits(creditsRequested)}</p>
        )}
      </td>
      <td className="figures hidden px-4 py-3 text-right text-ink-soft md:table-cell">{formatCredits(remaining)}</td>
    </tr>
  )
}

function Heading({ className = '', children }: { className?: string; children: string }) {
  return (
    <th scope="col" className={`px-3 py-3 font-medium sm:px-4 ${className}`}>
      {children}
    </th>
  )
}
