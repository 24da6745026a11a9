/** The half-open interval `[start, end)`. */
export interface Cycle {
  start: Date
  end: Date
}

/**
 * Boundary `months` of the cycles of `anchor`: `months` calendar months later in UTC, at the same time of day, its day
 * clipped to the month's length. Always from the anchor, never from the boundary before: Jan 31, Feb 28, Mar 31.
 */
export function cycleBoundary(anchor: Date, months: number): Date {
  const firstOfMonth = new Date(anchor)
  firstOfMonth.setUTCDate(1)
  firstOfMonth.setUTCMonth(anchor.getUTCMonth() + months)
  const daysInMonth = new Date(Date.UTC(firstOfMonth.getUTCFullYear(), firstOfMonth.getUTCMonth() + 1, 0)).getUTCDate()
  const boundary = new Date(firstOfMonth)
  boundary.setUTCDate(Math.min(anchor.getUTCDate(), daysInMonth))
  return boundary
}

/**
 * The cycle that `now` lies in, in closed form: at most one month from the difference of the two months, because a
 * boundary lies somewhere in each calendar month. A `now` before the anchor lies in the first cycle.
 */
export function cycleAt(anchor: Date, now: Date): Cycle {
  const months = (now.getUTCFullYear() - anchor.getUTCFullYear()) * 12 + now.getUTCMonth() - anchor.getUTCMonth()
  const isBeforeThisMonthsBoundary = now < cycleBoundary(anchor, months)
  const cycle = Math.max(0, isBeforeThisMonthsBoundary ? months - 1 : months)
  return { start: cycleBoundary(anchor, cycle), end: cycleBoundary(anchor, cycle + 1) }
}
