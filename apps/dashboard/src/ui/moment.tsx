import { formatMoment, formatMomentUtc, formatRelative } from './format.ts'
import { useMinute } from './minute.ts'

/** How long ago, with the exact moment behind it. */
export function Moment({ iso }: { iso: string }) {
  useMinute()
  return (
    <time dateTime={iso} title={formatMoment(iso)}>
      {formatRelative(iso)}
    </time>
  )
}

/** The moment in UTC, as billing goes by it, with the reader's own time behind it. */
export function MomentUtc({ iso }: { iso: string }) {
  return (
    <time dateTime={iso} title={`${formatMoment(iso)}, your time`}>
      {formatMomentUtc(iso)}
    </time>
  )
}
