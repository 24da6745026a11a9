import type { UsageSeries } from '@keymeter/contract'
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { describeCallError } from '../app/call-error.ts'
import { REFRESH_INTERVAL_MS, trpc } from '../app/trpc.ts'
import { formatCredits } from '../format.ts'
import { Button } from '../ui/button.tsx'
import { EmptyState } from '../ui/empty-state.tsx'
import { ErrorNotice } from '../ui/notice.tsx'
import { Select } from '../ui/select.tsx'
import { CHART_SERIES_MAX, type ChartSeries, UsageChart } from './usage-chart.tsx'
import { UsageEvents } from './usage-events.tsx'
import { askFor } from './usage-range.ts'
import type { UsageRange, UsageSearch } from './usage-search.ts'

/** The reader's own: a day is a day where they are. */
const { timeZone } = Intl.DateTimeFormat().resolvedOptions()
/** Some systems name theirs without a region, which the server does not take. */
const TIME_ZONE = timeZone.includes('/') ? timeZone : 'UTC'

const RANGES = [
  { value: 'cycle', text: 'This billing cycle' },
  { value: 'month', text: 'Last 30 days' },
  { value: 'day', text: 'Last 24 hours' },
] as const
const GROUPS = [
  { value: 'key', text: 'Key' },
  { value: 'operation', text: 'Operation' },
] as const

export function UsagePage() {
  const { range = 'cycle', by = 'key' } = useSearch({ from: '/signed-in/usage' })
  const navigate = useNavigate({ from: '/usage' })
  return (
    <section aria-labelledby="usage" className="grid gap-4">
      <title>Usage · Keymeter</title>
      <h1 id="usage" className="text-xl font-semibold">
        Usage
      </h1>
      <search className="grid gap-3 sm:grid-cols-2">
        <Select
          label="Time"
          options={RANGES}
          value={range}
          onValueChange={(chosen) => navigate({ search: (now: UsageSearch) => ({ ...now, range: chosen }) })}
        />
        <Select
          label="By"
          options={GROUPS}
          value={by}
          onValueChange={(chosen) => navigate({ search: (now: UsageSearch) => ({ ...now, by: chosen }) })}
        />
      </search>
      <Timeseries range={range} by={by} />
      <UsageEvents />
    </section>
  )
}

function Timeseries({ range, by }: { range: UsageRange; by: 'key' | 'operation' }) {
  const ask = askFor(range, Date.now())
  const usage = useQuery(
    trpc.usage.timeseries.queryOptions(
      { ...ask, by, timeZone: TIME_ZONE },
      { placeholderData: keepPreviousData, refetchInterval: REFRESH_INTERVAL_MS },
    ),
  )
  if (usage.isError) {
    return (
      <ErrorNotice error={describeCallError(usage.error)}>
        <Button variant="secondary" onClick={() => usage.refetch()}>
          Retry
        </Button>
      </ErrorNotice>
    )
  }
  if (usage.data === undefined)
    return <div role="status" aria-label="Loading your usage" className="h-72 rounded-2xl bg-raised" />
  const series = usage.data.series.map(({ keyName, operation, credits }) => ({ name: keyName ?? operation ?? '', credits }))
  if (series.length === 0) return <EmptyState>Nothing was used in this time.</EmptyState>
  const format = new Intl.DateTimeFormat(
    'en-GB',
    ask.unit === 'day'
      ? { day: 'numeric', month: 'short' }
      : { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' },
  )
  const buckets = usage.data.buckets.map((bucket) => format.format(new Date(bucket)))
  const current = usage.data.buckets.findLastIndex((bucket) => Date.parse(bucket) <= Date.now())
  return (
    <>
      <div className="rounded-2xl border border-line bg-surface p-4 sm:p-6">
        <UsageChart key={usage.data.from} buckets={buckets} series={withOthers(series)} current={current} />
      </div>
      <Totals series={usage.data.series} by={by} />
    </>
  )
}

/** As many as there are colours; the rest in one. */
function withOthers(series: ChartSeries[]): ChartSeries[] {
  if (series.length <= CHART_SERIES_MAX) return series
  const rest = series.slice(CHART_SERIES_MAX - 1)
  const credits = (rest[0]?.credits ?? []).map((_, i) => rest.reduce((sum, one) => sum + (one.credits[i] ?? 0), 0))
  return [...series.slice(0, CHART_SERIES_MAX - 1), { name: `${rest.length} others`, credits }]
}

function Totals({ series, by }: { series: UsageSeries[]; by: 'key' | 'operation' }) {
  return (
    <div className="overflow-hidden rounded-2xl border border-line bg-surface">
      <table className="w-full text-left text-sm">
        <thead className="border-line border-b text-ink-soft">
          <tr>
            <th scope="col" className="px-4 py-3 font-medium">
              {by === 'key' ? 'Key' : 'Operation'}
            </th>
            <th scope="col" className="px-4 py-3 text-right font-medium">
              Charges
            </th>
            <th scope="col" className="px-4 py-3 text-right font-medium">
              Credits
            </th>
          </tr>
        </thead>
        <tbody>
          {series.map(({ keyId, keyName, operation, charges, credits }) => (
            <tr key={keyId ?? operation} className="border-line not-last:border-b">
              <td className="w-full max-w-0 truncate px-4 py-3 font-medium">{keyName ?? operation}</td>
              <td className="figures px-4 py-3 text-right text-ink-soft">{formatCredits(total(charges))}</td>
              <td className="figures px-4 py-3 text-right font-medium">{formatCredits(total(credits))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function total(numbers: number[]): number {
  return numbers.reduce((sum, value) => sum + value, 0)
}
