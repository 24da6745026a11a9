import { formatMoment, formatRelative } from '../format.ts'

/** How long ago, with the exact moment behind it. */
export function Moment({ iso }: { iso: string }) {
  return (
    <time dateTime={iso} title={formatMoment(iso)}>
      {formatRelative(iso)}
    </time>
  )
}
