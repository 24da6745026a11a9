import { formatMoment, formatMomentUtc, formatRelative } from './format.ts'
import { useMinute } from './minute.ts'

/** How long ago it was, with the exact time as a tooltip. */
export function Moment({ iso }: { iso: string }) {
  useMinute()
  return (
    <time dateTime={iso} title={formatMoment(iso)}>
      {formatRelative(iso)}
    </time>
  )
}

/** The time in UTC, which billing uses, with the reader's local time as a tooltip. */
export function MomentUtc({ iso }: { iso: string }) {
  return (
    <time dateTime={iso} title={`${formatMoment(iso)}, your time`}>
      {formatMomentUtc(iso)}
    </time>
  )
}
