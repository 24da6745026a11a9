/** A larger |t| of Welch's test shows a difference, with a probability of error below 0.001 %. */
export const T_MAX = 4.5
/** The number of measured calls: half of them of each kind. */
export const CALLS = 2_000
/** The first calls compile code and open connections, so they are not measured. */
const WARM_UP_CALLS = 200

/**
 * Calls both functions alternately and measures their answers. Each pair of calls has a random order, so a call that makes the next
 * one slower cannot look like a difference.
 *
 * @returns the t of Welch's test. Its sign is positive if `first` takes longer.
 */
export async function compareTimes(first: () => Promise<unknown>, second: () => Promise<unknown>): Promise<number> {
  const ofFirst = { call: first, times: [] as number[] }
  const ofSecond = { call: second, times: [] as number[] }
  for (let n = 0; n < WARM_UP_CALLS + CALLS; n += 2) {
    for (const { call, times } of Math.random() < 0.5 ? [ofFirst, ofSecond] : [ofSecond, ofFirst]) {
      const start = performance.now()
      await call()
      if (n >= WARM_UP_CALLS) times.push(performance.now() - start)
    }
  }
  return welch(ofFirst.times, ofSecond.times)
}

function welch(a: number[], b: number[]): number {
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  const [meanA, meanB] = [mean(a), mean(b)]
  const errorOf = (values: number[], middle: number) => mean(values.map((value) => (value - middle) ** 2)) / (values.length - 1)
  return (meanA - meanB) / Math.sqrt(errorOf(a, meanA) + errorOf(b, meanB))
}
