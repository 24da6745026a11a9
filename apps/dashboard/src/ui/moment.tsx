import { formatMoment, formatMomentUtc, formatRelative } from './format.ts'
import { useMinute } from './minute.ts'

/** Shows how long ago the moment was, e.g. "3 hours ago". The tooltip contains the exact time. */
export function Moment({ iso }: { iso: string }) {
  useMinute()
  return (
    <time dateTime={iso} title={formatMoment(iso)}>
      {formatRelative(iso)}
    </time>
  )
}

/** Shows the moment in UTC, which billing uses. The tooltip contains the user's local time. */
export function MomentUtc({ iso }: { iso: string }) {
  return (
    <time dateTime={iso} title={`${formatMoment(iso)}, your time`}>
      {formatMomentUtc(iso)}
    </time>
  )
}
