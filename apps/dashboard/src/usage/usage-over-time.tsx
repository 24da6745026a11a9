import { type TimeseriesUnit, type UsageRest, type UsageSeries, UsageTimeseries } from '@keymeter/contract'
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { QueryFault } from '../call/query-fault.tsx'
import { api, REFRESH_INTERVAL_MS, trpc } from '../call/trpc.ts'
import { KeyName, keyNameText } from '../keys/key-name.tsx'
import { EmptyState } from '../ui/empty-state.tsx'
import { formatCredits } from '../ui/format.ts'
import { useMinute } from '../ui/minute.ts'
import { timeZoneName } from '../ui/time-zone.ts'
import { isolated, UserText } from '../ui/user-text.tsx'
import { CHART_SERIES_MAX, type ChartSeries, UsageChart } from './usage-chart.tsx'
import { askFor } from './usage-range.ts'
import type { UsageRange } from './usage-search.ts'
import { UsageTotals } from './usage-totals.tsx'

/**
 * Returns the chosen time zone, so that each day starts at its midnight. If the server does not accept this zone, UTC is used.
 */
function acceptedTimeZone(): string {
  return UsageTimeseries.shape.timeZone.safeParse(timeZoneName()).data ?? 'UTC'
}

export function UsageOverTime({ range, by }: { range: UsageRange; by: UsageTimeseries['by'] }) {
  useMinute()
  const input = { ...askFor(range, Date.now()), by, timeZone: acceptedTimeZone() }
  const usage = useQuery({
    queryKey: [...trpc.usage.pathKey(), 'timeseries', input],
    // The result contains its own input. It stays visible while the next result loads, and is then shown with its own input.
    queryFn: async ({ signal }) => ({ ...(await api.usage.timeseries.query(input, { signal })), ...input, range }),
    placeholderData: keepPreviousData,
    refetchInterval: REFRESH_INTERVAL_MS,
  })
  return (
    <>
      <QueryFault query={usage} />
      {usage.data === undefined ? (
        usage.isError || <div role="status" aria-label="Loading your usage" className="h-72 rounded-2xl bg-raised" />
      ) : usage.data.series.length === 0 ? (
        <EmptyState>Nothing was used in this period.</EmptyState>
      ) : (
        <Shown {...usage.data} isBusy={usage.isPlaceholderData} />
      )}
    </>
  )
}

interface ShownProps extends Pick<UsageTimeseries, 'unit' | 'by'> {
  timeZone: string
  buckets: string[]
  series: UsageSeries[]
  rest: UsageRest | null
  range: UsageRange
  isBusy: boolean
}

function Shown({ buckets, series, rest, unit, by, range, timeZone, isBusy }: ShownProps) {
  const named = series.map((one) => ({ ...one, id: one.keyId ?? one.operation ?? '', ...namesOf(one, series) }))
  const others = rest === null ? [] : [{ ...rest, id: 'others', ...nameOthers(rest.count, by) }]
  const starts = buckets.map(formatStart(unit, timeZone))
  // When clocks are turned back, two hours of a day have the same name. Their names then contain the time zone.
  const withZone = formatStart(unit, timeZone, { timeZoneName: 'short' })
  // The user's clock may be slow. A bucket with usage has begun, even if the clock shows an earlier time.
  const used = buckets.findLastIndex((_, i) => [...named, ...others].some(({ credits }) => credits[i] !== 0))
  const current = Math.max(
    0,
    used,
    buckets.findLastIndex((start) => Date.parse(start) <= Date.now()),
  )
  return (
    <div aria-busy={isBusy} className="grid gap-4">
      <div className="rounded-2xl border border-line bg-surface p-4 sm:p-6">
        <UsageChart
          key={range}
          buckets={buckets
            .map((start, i) => ({ start, name: isUnique(starts[i], starts) ? (starts[i] ?? '') : withZone(start) }))
            // A billing cycle is shown to its end. Any other range is shown up to now.
            .slice(0, range === 'cycle' ? undefined : current + 1)}
          series={chartSeries(named, rest, by)}
          current={current}
          timeZone={timeZone}
        />
      </div>
      <UsageTotals series={[...named, ...others]} by={by} />
    </div>
  )
}

type Names = Pick<ChartSeries, 'name' | 'label'>

/** Returns the name of a key or an operation. Keys with the same name are shown with their key prefixes. */
function namesOf({ operation, keyName, keyPrefix }: UsageSeries, all: UsageSeries[]): Names {
  if (operation !== null) return { name: <UserText>{operation}</UserText>, label: isolated(operation) }
  const names = all.map((one) => one.keyName)
  const key = { name: keyName, keyPrefix: isUnique(keyName, names) ? null : keyPrefix }
  return { name: <KeyName {...key} />, label: keyNameText(key) }
}

function isUnique<T>(one: T, all: T[]): boolean {
  return all.indexOf(one) === all.lastIndexOf(one)
}

function formatStart(unit: TimeseriesUnit, timeZone: string, more: Intl.DateTimeFormatOptions = {}): (start: string) => string {
  const time = { hour: '2-digit', minute: '2-digit', ...more } as const
  const format = new Intl.DateTimeFormat('en-GB', {
    day: 'numeric',
    month: 'short',
    timeZone,
    ...(unit === 'hour' && time),
  })
  return (start) => format.format(new Date(start))
}

/**
 * Returns the series of the chart, and one series for all others. If there are more series than colours, the smallest are also
 * among the others.
 */
function chartSeries(series: ChartSeries[], rest: UsageRest | null, by: UsageTimeseries['by']): ChartSeries[] {
  if (rest === null && series.length <= CHART_SERIES_MAX) return series
  const shown = series.slice(0, CHART_SERIES_MAX - 1)
  const smallest = series.slice(CHART_SERIES_MAX - 1)
  const others = [...smallest, ...(rest === null ? [] : [rest])]
  const credits = (others[0]?.credits ?? []).map((_, i) => others.reduce((sum, one) => sum + (one.credits[i] ?? 0), 0))
  return [...shown, { id: 'others', ...nameOthers(smallest.length + (rest?.count ?? 0), by), credits }]
}

/** Returns e.g. `Other (12 keys)`. */
function nameOthers(count: number, by: UsageTimeseries['by']): Names {
  const name = `Other (${formatCredits(count)} ${by}${count === 1 ? '' : 's'})`
  return { name, label: name }
}
