import type { UsageTimeseries } from '@keymeter/contract'
import type { UsageRange } from './usage-search.ts'

const HOUR_MS = 3_600_000
const MONTH_DAYS = 30

/**
 * Returns the parameters of `usage.timeseries` for a range: the current billing cycle, the last 24 hours, or the last 30 days
 * of the user's time zone. `to` is at least an hour in the future, because the user's clock may be slow.
 */
export function askFor(range: UsageRange, now: number): Pick<UsageTimeseries, 'from' | 'to' | 'unit'> {
  if (range === 'cycle') return { unit: 'day' }
  const end = Math.ceil(now / HOUR_MS) * HOUR_MS
  const to = iso(end + HOUR_MS)
  if (range === 'day') return { from: iso(end - 24 * HOUR_MS), to, unit: 'hour' }
  const midnight = new Date(now)
  midnight.setHours(0, 0, 0, 0)
  midnight.setDate(midnight.getDate() - MONTH_DAYS + 1)
  return { from: midnight.toISOString(), to, unit: 'day' }
}

function iso(moment: number): string {
  return new Date(moment).toISOString()
}
