import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

/** The call runs this many times. The first runs are slower, because the code is not compiled yet. */
const RUNS = 5
/** The time after a call in which the monitor can still measure the last block. */
const SETTLE_MS = 5

/**
 * Runs the call several times, each time with its answer as JSON. Returns the longest time in milliseconds in which the event
 * loop could not do anything else. The figure includes garbage collection, and the time in which the processor runs other
 * programs.
 */
export async function longestBlock(call: () => Promise<unknown>): Promise<number> {
  const monitor = monitorEventLoopDelay({ resolution: 1 })
  monitor.enable()
  let longest = 0
  for (let run = 0; run < RUNS; run++) {
    await sleep(SETTLE_MS)
    monitor.reset()
    JSON.stringify(await call())
    await sleep(SETTLE_MS)
    longest = Math.max(longest, monitor.max / 1e6)
  }
  monitor.disable()
  return longest
}
