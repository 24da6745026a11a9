export const QUARTER_HOUR_MS = 900_000
export const QUARTERS_PER_DAY = 96

/** Days of UTC, cut where a bucket begins or ends. */
export interface DayParts {
  /** The last quarter of an hour of each part of a day, 0 to 95; the same for all days. */
  ends: number[]
  /** Which bucket each quarter of an hour of a day, counted from 1970-01-01, is of, and so each part by its end; null: of none. */
  bucketsOf(day: number): (number | null)[]
}

/**
 * @param starts of the buckets, in their order. Time zones shift by full quarters of an hour; those of before 1972 are rounded.
 * @param end of the last bucket; null: whatever comes after its start is of it.
 */
export function dayParts(starts: readonly Date[], end: Date | null): DayParts {
  const bounds = [...starts, ...(end === null ? [] : [end])].map((bound) => Math.floor(bound.getTime() / QUARTER_HOUR_MS))
  const lastBefore = (bound: number) => (((bound - 1) % QUARTERS_PER_DAY) + QUARTERS_PER_DAY) % QUARTERS_PER_DAY
  const ends = [...new Set([...bounds.map(lastBefore), QUARTERS_PER_DAY - 1])].sort((a, b) => a - b)

  const known = new Map<number, (number | null)[]>()
  const bucketsOf = (day: number) => {
    const buckets = known.get(day) ?? read(day * QUARTERS_PER_DAY)
    known.set(day, buckets)
    return buckets
  }
  const read = (midnight: number) => {
    let bucket = bounds.findLastIndex((bound) => bound <= midnight)
    return Array.from({ length: QUARTERS_PER_DAY }, (_, quarter) => {
      while ((bounds[bucket + 1] ?? Number.POSITIVE_INFINITY) <= midnight + quarter) bucket++
      return bucket === -1 || bucket === starts.length ? null : bucket
    })
  }
  return { ends, bucketsOf }
}
