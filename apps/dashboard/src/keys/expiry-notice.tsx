import { formatCountdown } from '../ui/format.ts'
import { Notice } from '../ui/notice.tsx'
import { useMsUntil } from '../ui/use-ms-until.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** Warns if a key expires within a day, and counts down. Shows nothing if the expiry is later. */
export function ExpiryNotice({ expiresAt }: { expiresAt: string }) {
  const left = useMsUntil(expiresAt)
  if (left >= DAY_MS || left <= 0) return null
  return (
    <Notice>
      This key expires within {left < MINUTE_MS ? 'a minute' : left < HOUR_MS ? 'an hour' : 'a day'}
      {/* A screen reader reads the notice when it changes. It must not read it every second. */}
      <span aria-hidden="true" className="figures">
        : {formatCountdown(left)}
      </span>
      . Calls with it are refused from then on.
    </Notice>
  )
}
