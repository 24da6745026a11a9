/** What is measured against each other. */
export interface Rival {
  name: string
  /** Works for about so long, and answers the figure: more is better, or less, as the scenario says. */
  run: (seconds: number) => Promise<number>
}

export interface Effort {
  rounds: number
  /** Of each rival in each round. */
  seconds: number
}

export interface Series {
  name: string
  unit: '/s' | 'ms'
  /** One a round. */
  values: number[]
}

/** One rival's figure over another's, round by round. */
export interface Ratio {
  name: string
  values: number[]
  /** Null: stated, and held to nothing. */
  target: Target | null
}

export interface Target {
  at: 'least' | 'most'
  value: number
  unit?: 'ms'
}

/** What one scenario found out. */
export interface Finding {
  title: string
  /** What was done, for whoever reads the numbers. */
  what: string
  series: Series[]
  ratios: Ratio[]
  notes: string[]
}

/**
 * Measures the rivals in turn, so that what else the machine does meets all of them: every round has each of them once, and
 * begins with another one. `before` is called ahead of each.
 */
export async function alternate(
  rivals: Rival[],
  unit: Series['unit'],
  { rounds, seconds }: Effort,
  before: () => Promise<void>,
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

/** Calls made by `callers` at once, each the next one as soon as it is answered, for so many seconds. */
export async function closedLoop(
  callers: number,
  seconds: number,
  call: () => Promise<unknown>,
): Promise<{ perSecond: number; p50Ms: number }> {
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
  return { perSecond: (latencies.length * 1000) / (performance.now() - start), p50Ms: median(latencies) }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/** Held by the median; null where there is nothing to hold it to. */
export function isMet({ values, target }: Ratio): boolean | null {
  if (target === null) return null
  return target.at === 'least' ? median(values) >= target.value : median(values) <= target.value
}
