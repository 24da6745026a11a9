import { setTimeout as sleep } from 'node:timers/promises'

const PAUSE_MS = 500
/** The maximum number of refusals of this process that wait. Further refusals are immediate, so that waiting needs little memory. */
const PAUSED_MAX = 2_000
let paused = 0

/**
 * Waits before a call is refused because of too many calls. A client that repeats refused calls in a loop would otherwise use all
 * of the processor's time for refusals, and slow down the calls of others.
 */
export async function pauseBeforeRefusal(): Promise<void> {
  if (paused >= PAUSED_MAX) return
  paused++
  await sleep(PAUSE_MS)
  paused--
}
