const QUARTER_HOUR_MS = 900_000
export const QUARTERS_PER_DAY = 96

/** Returns the number of the 15-minute bucket that contains `time`. Bucket 0 starts at 1970-01-01T00:00Z. */
export function quarterOf(time: Date): number {
  return Math.floor(time.getTime() / QUARTER_HOUR_MS)
}

/**
 * UTC days, cut into parts so that each part lies in at most one interval of a time series. An interval is an hour or a day in
 * the time zone of the series.
 */
export interface DayParts {
  /** The last 15-minute bucket (0 to 95) of each part, in ascending order. All days are cut into the same parts. */
  ends: number[]
  /**
   * Returns 96 values for a UTC day. Each value is the index of the interval that contains this 15-minute bucket of the day,
   * or null if no interval contains the bucket. `day` is the number of days since 1970-01-01.
   */
  intervalsOf(day: number): (number | null)[]
}

/**
 * @param starts The starts of the intervals, in ascending order. Historical UTC offsets that are not multiples of 15 minutes
 *   are rounded.
 * @param end The end of the last interval. Null means that the last interval is open.
 */
export function dayParts(starts: readonly Date[], end: Date | null): DayParts {
  const bounds = [...starts, ...(end === null ? [] : [end])].map(quarterOf)
  // A bound before 1970 is a negative number, and `%` returns a negative remainder for it.
  const lastBefore = (bound: number) => (((bound - 1) % QUARTERS_PER_DAY) + QUARTERS_PER_DAY) % QUARTERS_PER_DAY
  const ends = [...new Set([...bounds.map(lastBefore), QUARTERS_PER_DAY - 1])].sort((a, b) => a - b)

  const computeIntervals = (midnight: number) => {
    let interval = bounds.findLastIndex((bound) => bound <= midnight)
    return Array.from({ length: QUARTERS_PER_DAY }, (_, quarter) => {
      while ((bounds[interval + 1] ?? Number.POSITIVE_INFINITY) <= midnight + quarter) interval++
      return interval === -1 || interval === starts.length ? null : interval
    })
  }
  const known = new Map<number, (number | null)[]>()
  const intervalsOf = (day: number) => {
    const intervals = known.get(day) ?? computeIntervals(day * QUARTERS_PER_DAY)
    known.set(day, intervals)
    return intervals
  }
  return { ends, intervalsOf }
}
