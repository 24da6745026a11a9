import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { ChevronLeft, ChevronRight } from 'lucide-react'
import { QueryFault } from '../call/query-fault.tsx'
import { REFRESH_INTERVAL_MS, trpc } from '../call/trpc.ts'
import { Button } from '../ui/button.tsx'
import { EmptyState } from '../ui/empty-state.tsx'
import { balanceByDay } from './balance-by-day.ts'
import { BalanceChart } from './balance-chart.tsx'
import { LedgerTable } from './ledger-table.tsx'

/** Shows all changes of the balance in one billing cycle. The URL contains the cycle, unless it is the current one. */
export function Ledger() {
  const { cycle } = useSearch({ from: '/signed-in/billing' })
  const ledger = useQuery(
    trpc.billing.ledger.queryOptions(
      { cycleStart: cycle },
      { placeholderData: keepPreviousData, refetchInterval: REFRESH_INTERVAL_MS },
    ),
  )
  const { billingCycle = null, isCurrent = true, entries = [], balance = 0, previousCycleStart = null } = ledger.data ?? {}
  return (
    <section aria-labelledby="ledger" aria-busy={ledger.isPlaceholderData} className="grid gap-4">
      <div className="flex flex-wrap items-end justify-between gap-3">
        <div>
          <h2 id="ledger" className="text-lg font-semibold">
            Ledger
          </h2>
          <p className="text-sm text-ink-soft" aria-live="polite">
            Everything that moved your balance
            {billingCycle !== null &&
              `, ${dayUtc.formatRange(new Date(billingCycle.start), new Date(billingCycle.end))} in UTC`}
            .
          </p>
        </div>
        <CycleButtons previous={previousCycleStart} next={isCurrent ? null : (billingCycle?.end ?? null)} />
      </div>
      <QueryFault query={ledger} />
      {ledger.data === undefined ? (
        ledger.isError || <div role="status" aria-label="Loading the ledger" className="h-72 rounded-2xl bg-raised" />
      ) : billingCycle === null ? (
        <EmptyState>Nothing has moved your balance yet.</EmptyState>
      ) : (
        <>
          <BalanceChart
            {...balanceByDay(billingCycle, entries, Date.now())}
            from={dayUtc.format(new Date(billingCycle.start))}
            to={dayUtc.format(new Date(billingCycle.end))}
          />
          <LedgerTable entries={entries} balance={balance} isCurrent={isCurrent} />
        </>
      )}
    </section>
  )
}

const dayUtc = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeZone: 'UTC' })

/**
 * The controls for the cycles are buttons, because a disabled button keeps the focus. A link without `href` would lose the
 * focus.
 */
function CycleButtons({ previous, next }: { previous: string | null; next: string | null }) {
  const { cycle } = useSearch({ from: '/signed-in/billing' })
  const navigate = useNavigate({ from: '/billing' })
  const current = useQuery(trpc.billing.get.queryOptions()).data?.account?.billingCycle.start
  // For the current cycle, the URL contains no cycle. So a bookmark of this page always opens the current cycle.
  const open = (start: string | null) =>
    navigate({ search: { cycle: start === current ? undefined : (start ?? undefined) }, resetScroll: false })
  return (
    <nav aria-label="Billing cycle" className="flex flex-wrap gap-2">
      <Button variant="secondary" disabled={previous === null} onClick={() => open(previous)}>
        <ChevronLeft className="-ml-1 size-4" aria-hidden="true" />
        <CycleName name="Previous" />
      </Button>
      <Button variant="secondary" disabled={next === null} onClick={() => open(next)}>
        <CycleName name="Next" />
        <ChevronRight className="-mr-1 size-4" aria-hidden="true" />
      </Button>
      <Button variant="secondary" disabled={cycle === undefined} onClick={() => open(null)}>
        <CycleName name="Current" />
      </Button>
    </nav>
  )
}

/** Hides the word "cycle" on narrow pages. */
function CycleName({ name }: { name: string }) {
  return (
    <span>
      {name}
      <span className="max-sm:sr-only"> cycle</span>
    </span>
  )
}
