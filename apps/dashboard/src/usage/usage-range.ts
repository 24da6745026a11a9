import type { UsageTimeseries } from '@keymeter/contract'
import { parseLocalText, toLocalText } from '../ui/time-zone.ts'
import type { UsageRange } from './usage-search.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const MONTH_DAYS = 30

/**
 * Returns the parameters of `usage.timeseries` for a range: the current billing cycle, the last 24 hours, or the last 30 days
 * of the chosen time zone. `to` is at least an hour in the future, because the user's clock may be slow.
 */
export function askFor(range: UsageRange, now: number): Pick<UsageTimeseries, 'from' | 'to' | 'unit'> {
  if (range === 'cycle') return { unit: 'day' }
  const end = Math.ceil(now / HOUR_MS) * HOUR_MS
  const to = iso(end + HOUR_MS)
  if (range === 'day') return { from: iso(end - 24 * HOUR_MS), to, unit: 'hour' }
  const today = Date.parse(dayOf(toLocalText(now)))
  const first = dayOf(iso(today - (MONTH_DAYS - 1) * DAY_MS))
  return { from: iso(parseLocalText(`${first}T00:00`)), to, unit: 'day' }
}

function dayOf(text: string): string {
  return text.slice(0, 'YYYY-MM-DD'.length)
}

function iso(moment: number): string {
  return new Date(moment).toISOString()
}
