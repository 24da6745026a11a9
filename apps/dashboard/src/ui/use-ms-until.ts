import { useEffect, useState } from 'react'
import { useMinute } from './minute.ts'

const SECOND_MS = 1_000
const MINUTE_MS = 60_000

/** The last minutes are counted in seconds. The minutes have one timer for the page, so their ticks can be a minute late. */
const NEAR_MS = 3 * MINUTE_MS

/**
 * Returns the milliseconds until a moment, which are negative after the moment. The component renders again every minute, and
 * shortly before the moment every second.
 */
export function useMsUntil(iso: string): number {
  useMinute()
  const [, setTicks] = useState(0)
  const left = Date.parse(iso) - Date.now()
  const isNear = left > -SECOND_MS && left < NEAR_MS
  useEffect(() => {
    if (!isNear) return
    const timer = setInterval(() => setTicks((ticks) => ticks + 1), SECOND_MS)
    return () => clearInterval(timer)
  }, [isNear])
  return left
}
