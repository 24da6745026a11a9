/** One of the variants that a scenario compares, e.g. Keymeter, another library, or a table of a certain size. */
export interface Rival {
  name: string
  /** Runs for about `seconds` and returns one figure: calls per second, or milliseconds. */
  run: (seconds: number) => Promise<number>
}

export interface Effort {
  rounds: number
  /** The length of the measurement of one rival in one round. */
  seconds: number
}

export interface Series {
  name: string
  unit: '/s' | 'ms'
  /** One figure for each round. */
  values: number[]
}

/** For each round, the figure of one rival divided by the figure of another rival. */
export interface Ratio {
  name: string
  values: number[]
  /** Null means that the ratio has no target. */
  target: Target | null
}

export interface Target {
  at: 'least' | 'most'
  value: number
  unit?: 'ms'
}

/** The result of one scenario. */
export interface Finding {
  title: string
  /** A description of the measurement, for docs/performance.md. */
  what: string
  series: Series[]
  ratios: Ratio[]
  notes: string[]
  /** Figures for the first table of docs/performance.md. */
  headlines?: { what: string; of: Series | Ratio | undefined }[]
}

/**
 * Measures every rival once in each round. Each round begins with a different rival, so that other programs on the machine
 * affect all rivals in a similar way. `before` runs before each measurement.
 */
export async function alternate(
  rivals: Rival[],
  unit: Series['unit'],
  { rounds, seconds }: Effort,
  before: () => Promise<void> = async () => {},
): Promise<Series[]> {
  const series = rivals.map(({ name }): Series => ({ name, unit, values: [] }))
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < rivals.length; turn++) {
      const i = (round + turn) % rivals.length
      await before()
      const value = await rivals[i]?.run(seconds)
      if (value !== undefined) series[i]?.values.push(value)
    }
  }
  return series
}

export function ratio(name: string, over: Series | undefined, under: Series | undefined, target: Target | null = null): Ratio {
  const values = (over?.values ?? []).map((value, round) => value / (under?.values[round] ?? Number.NaN))
  return { name, values, target }
}

/** Runs `callers` concurrent loops for `seconds`. Each loop makes its next call when its previous call is answered. */
export async function closedLoop(
  callers: number,
  seconds: number,
  call: () => Promise<unknown>,
): Promise<{ perSecond: number; p50Ms: number; p95Ms: number }> {
  const latencies: number[] = []
  const start = performance.now()
  const end = start + seconds * 1000
  await Promise.all(
    Array.from({ length: callers }, async () => {
      for (let now = performance.now(); now < end; ) {
        await call()
        const answeredAt = performance.now()
        latencies.push(answeredAt - now)
        now = answeredAt
      }
    }),
  )
  const p95Ms = latencies.toSorted((a, b) => a - b)[Math.floor(latencies.length * 0.95)] ?? Number.NaN
  return { perSecond: (latencies.length * 1000) / (performance.now() - start), p50Ms: median(latencies), p95Ms }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/** Returns true if the median meets the target, and null if there is no target. */
export function isMet({ values, target }: Ratio): boolean | null {
  if (target === null) return null
  return target.at === 'least' ? median(values) >= target.value : median(values) <= target.value
}
