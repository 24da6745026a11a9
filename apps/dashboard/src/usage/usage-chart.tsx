import { type KeyboardEvent, type ReactNode, useRef, useState } from 'react'
import { countCredits, formatCredits } from '../ui/format.ts'

interface ChartBucket {
  /** The start of the bucket, as ISO-8601. */
  start: string
  /** The label of the bucket, e.g. `5 Mar`. */
  name: string
}

/** The credits of one key or operation. `credits` contains one number for each bucket. */
export interface ChartSeries {
  id: string
  /** The name as an element, which isolates it from the text around it. */
  name: ReactNode
  /** The same name as a text, for labels that only screen readers use. */
  label: string
  credits: number[]
}

interface UsageChartProps {
  buckets: ChartBucket[]
  /** At most `CHART_SERIES_MAX` series, the largest first. The largest is drawn at the bottom. */
  series: ChartSeries[]
  /** The index of the bucket that contains the current time. */
  current: number
  timeZone: string
}

const FILLS = ['fill-series-1', 'fill-series-2', 'fill-series-3', 'fill-series-4', 'fill-series-5', 'fill-series-6']
const SWATCHES = ['bg-series-1', 'bg-series-2', 'bg-series-3', 'bg-series-4', 'bg-series-5', 'bg-series-6']
export const CHART_SERIES_MAX = FILLS.length

const COLUMN_WIDTH = 10
const BAR_WIDTH = 7
const HEIGHT = 100

/**
 * Draws stacked columns. The user chooses a column with the pointer or the arrow keys. The figures of this column are below the
 * chart and in its label for screen readers.
 */
export function UsageChart({ buckets, series, current, timeZone }: UsageChartProps) {
  const totals = buckets.map((_, i) => series.reduce((sum, { credits }) => sum + (credits[i] ?? 0), 0))
  const highest = Math.max(1, ...totals)
  /** The start of the chosen bucket. If it is null or outside the range, the figures of the current bucket are shown. */
  const [chosen, setChosen] = useState<string | null>(null)
  const columns = useRef<HTMLDivElement>(null)
  const found = buckets.findIndex(({ start }) => start === chosen)
  const shown = found === -1 ? current : found
  const choose = (i: number) => setChosen(i === current ? null : (buckets[i]?.start ?? null))
  const move = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -buckets.length, End: buckets.length }[event.key]
    if (step === undefined) return
    event.preventDefault()
    const next = Math.max(0, Math.min(buckets.length - 1, shown + step))
    choose(next)
    columns.current?.querySelectorAll('button')[next]?.focus()
  }
  return (
    <div className="grid gap-3">
      <div className="flex justify-between gap-3 text-xs text-ink-soft">
        <span className="figures">Highest bar: {countCredits(highest)}</span>
        <span>{timeZone}</span>
      </div>
      <div className="relative h-48 border-line border-y">
        <svg
          viewBox={`0 0 ${buckets.length * COLUMN_WIDTH} ${HEIGHT}`}
          preserveAspectRatio="none"
          className="absolute inset-0 size-full"
          aria-hidden="true"
        >
          {buckets.map(({ start }, i) => {
            let below = 0
            return series.map(({ id, credits }, of) => {
              const height = ((credits[i] ?? 0) / highest) * HEIGHT
              below += height
              return (
                <rect
                  key={`${start} ${id}`}
                  x={i * COLUMN_WIDTH + (COLUMN_WIDTH - BAR_WIDTH) / 2}
                  y={HEIGHT - below}
                  width={BAR_WIDTH}
                  height={height}
                  className={FILLS[of]}
                />
              )
            })
          })}
        </svg>
        {/* biome-ignore lint/a11y/useSemanticElements: a fieldset draws a border that a chart has no room for. */}
        <div ref={columns} role="group" aria-label="Credits by time" className="absolute inset-0 flex" onKeyDown={move}>
          {buckets.map(({ start, name }, i) => (
            <button
              key={start}
              type="button"
              tabIndex={i === shown ? 0 : -1}
              aria-label={describe(name, i, totals, series)}
              onFocus={() => choose(i)}
              onPointerEnter={() => choose(i)}
              onClick={() => choose(i)}
              className={`h-full min-w-0 flex-1 rounded-sm ${i === shown ? 'bg-ink/10' : ''}`}
            />
          ))}
        </div>
      </div>
      <div className="flex justify-between text-xs text-ink-soft">
        <span>{buckets[0]?.name}</span>
        <span>{buckets.at(-1)?.name}</span>
      </div>
      <div className="flex flex-wrap gap-x-4 gap-y-1 text-sm">
        <span className="font-medium">
          {buckets[shown]?.name}: <span className="figures">{formatCredits(totals[shown] ?? 0)}</span>
        </span>
        {series.map(({ id, name, credits }, of) => (
          <span key={id} className="inline-flex min-w-0 items-center gap-1.5 text-ink-soft">
            <span className={`size-3 shrink-0 rounded-sm ${SWATCHES[of]}`} aria-hidden="true" />
            <span className="truncate">{name}</span>
            <span className="figures">{formatCredits(credits[shown] ?? 0)}</span>
          </span>
        ))}
      </div>
    </div>
  )
}

function describe(bucket: string, i: number, totals: number[], series: ChartSeries[]): string {
  const parts = series.flatMap(({ label, credits }) => (credits[i] ? [`${label} ${formatCredits(credits[i])}`] : []))
  return `${bucket}: ${countCredits(totals[i] ?? 0)}${parts.length > 0 ? ` (${parts.join(', ')})` : ''}`
}
