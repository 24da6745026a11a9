import { UsageAction, type UsageEvent, type UsageEventFilters } from '@keymeter/contract'
import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { PagedList } from '../call/paged-list.tsx'
import { QueryFault } from '../call/query-fault.tsx'
import { queryClient, trpc } from '../call/trpc.ts'
import { KeyName } from '../keys/key-name.tsx'
import { Badge } from '../ui/badge.tsx'
import { Button } from '../ui/button.tsx'
import { formatCredits, formatMoment } from '../ui/format.ts'
import { useMinute } from '../ui/minute.ts'
import { Moment } from '../ui/moment.tsx'
import { UserText } from '../ui/user-text.tsx'
import { ACTION_TEXTS } from './event-actions.ts'
import { EventFilters } from './event-filters.tsx'
import { eventPages } from './event-pages.ts'
import { describeVerdict, explainVerdict, isRefusal, verdictsOf } from './event-verdicts.ts'
import { ExportEvents } from './export-events.tsx'
import { askFor } from './usage-range.ts'
import { defaultRange, type UsageSearch } from './usage-search.ts'

export function UsageEvents() {
  const chosenDefault = defaultRange.use()
  const { range = chosenDefault, when, keyId, operation, action, verdict } = useSearch({ from: '/signed-in/usage' })
  useMinute()
  const billing = useQuery(trpc.billing.get.queryOptions())
  /** The events are loaded after the account, because the account contains the start of the billing cycle. */
  const isReady = !billing.isPending
  const { from = billing.data?.account?.billingCycle.start } = askFor(range, Date.now())
  const filters = {
    keyId,
    operation,
    action: UsageAction.safeParse(action).data,
    verdicts: verdictsOf(verdict),
    from: when === 'any' ? undefined : from,
  }
  return (
    <section aria-labelledby="events" className="grid gap-4">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <h2 id="events" tabIndex={-1} className="text-lg font-semibold outline-none">
          Events
        </h2>
        <ExportEvents filters={filters} isReady={isReady} />
      </div>
      <EventFilters />
      {billing.isLoadingError ? <QueryFault query={billing} /> : <Events filters={filters} isReady={isReady} />}
    </section>
  )
}

function Events({ filters, isReady }: { filters: UsageEventFilters; isReady: boolean }) {
  const navigate = useNavigate({ from: '/usage' })
  const pages = eventPages(filters)
  const list = useInfiniteQuery({ ...pages, placeholderData: keepPreviousData, enabled: isReady })
  const showNewer = async () => {
    // The pressed button disappears. Focus the heading, because otherwise the focus would jump to the top of the page.
    document.getElementById('events')?.focus()
    await queryClient.resetQueries({ queryKey: pages.queryKey })
  }
  const clearFilters = () =>
    navigate({ search: ({ range, by, when }: UsageSearch) => ({ range, by, when }), resetScroll: false })
  const { from, ...others } = filters
  const isFiltered = Object.values(others).some((filter) => filter !== undefined)
  return (
    <>
      {list.data?.pages[0]?.hasNewer && (
        <Button variant="secondary" className="justify-self-center" onClick={showNewer}>
          Show newer events
        </Button>
      )}
      <PagedList
        query={list}
        isLoading={list.isPlaceholderData}
        skeleton={<EventsSkeleton />}
        empty={
          list.hasNextPage
            ? 'No newer event matches.'
            : isFiltered
              ? 'No event matches.'
              : from === undefined
                ? 'Nothing has been charged yet.'
                : 'Nothing was charged or refused in this period.'
        }
        onClearFilters={isFiltered ? clearFilters : null}
      >
        {(events) => <EventTable events={events} isBusy={list.isPlaceholderData} />}
      </PagedList>
    </>
  )
}

function EventsSkeleton() {
  return (
    <div role="status" aria-label="Loading the events" className="rounded-2xl border border-line bg-surface p-4">
      <div className="h-24 motion-safe:animate-pulse rounded bg-raised" />
    </div>
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
  const explanation = explainVerdict(event)
  const { sequence, createdAt, keyName, keyPrefix, action, operation, verdict, creditsRequested, creditsCharged, remaining } =
    event
  return (
    <tr className="border-line not-last:border-b">
      <td className="w-full max-w-0 px-3 py-3 sm:px-4">
        <p className="truncate font-medium" title={`Event ${sequence}`}>
          <KeyName name={keyName} />
        </p>
        <p className="truncate text-ink-soft text-xs">
          {action !== 'charge' && `${ACTION_TEXTS[action]} · `}
          <UserText>{operation}</UserText>
          {keyPrefix !== null && ` · ${keyPrefix}…`}
        </p>
        <p className="text-ink-soft text-xs sm:hidden">{formatMoment(createdAt)}</p>
      </td>
      <td className="hidden whitespace-nowrap px-4 py-3 text-ink-soft sm:table-cell">
        <Moment iso={createdAt} />
        <p className="text-xs">{formatMoment(createdAt)}</p>
      </td>
      <td className="px-1 py-3 sm:px-4 sm:whitespace-nowrap">
        {verdict === 'charged' ? (
          <span className="text-ink-soft">Charged</span>
        ) : (
          <Badge tone={isRefusal(verdict) ? 'danger' : 'plain'}>{describeVerdict(verdict)}</Badge>
        )}
        {explanation !== null && <p className="mt-1 text-ink-soft text-xs">{explanation}</p>}
      </td>
      <td className="figures px-3 py-3 text-right font-medium sm:px-4">
        {formatCredits(creditsCharged)}
        {creditsCharged !== creditsRequested && creditsCharged >= 0 && (
          <p className="font-normal text-ink-soft text-xs sm:whitespace-nowrap">of {formatCredits(creditsRequested)}</p>
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
