const whole = new Intl.NumberFormat('en')
const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' })
const dateTimeUtc = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' })
const dayUtc = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' })
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'always' })

const UNITS = [
  ['year', 365 * 86_400],
  ['month', 30 * 86_400],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
] as const

/** Returns e.g. `1,234` or `−25`. The minus sign is not a hyphen, because screen readers skip hyphens. */
export function formatCredits(credits: number): string {
  return whole.format(credits).replace('-', '−')
}

/** Returns e.g. `1 credit` or `1,234 credits`. */
export function countCredits(credits: number): string {
  return `${formatCredits(credits)} ${creditNoun(credits)}`
}

/** Returns `credit` or `credits`, for a sentence that does not write the number directly before the noun. */
export function creditNoun(credits: number): string {
  return Math.abs(credits) === 1 ? 'credit' : 'credits'
}

/** Returns date and time in the user's language and time zone. */
export function formatMoment(iso: string): string {
  return dateTime.format(new Date(iso))
}

/** Returns e.g. `24 Dec 2026, 12:00 UTC`. Billing cycles start and end in UTC. */
export function formatMomentUtc(iso: string): string {
  return `${dateTimeUtc.format(new Date(iso))} UTC`
}

/** Returns e.g. `in 3 hours`, `in 42 seconds` or `now` for a number of milliseconds from now. */
export function formatCountdown(ms: number): string {
  if (ms <= 0) return 'now'
  const seconds = Math.ceil(ms / 1000)
  const [unit, length] = UNITS.find(([, unitSeconds]) => seconds >= unitSeconds) ?? (['second', 1] as const)
  return relative.format(Math.trunc(seconds / length), unit)
}

/** Returns e.g. `24 Dec`, the day in UTC. */
export function formatDayUtc(iso: string): string {
  return dayUtc.format(new Date(iso))
}

/** Returns e.g. `3 hours ago`, `in 12 days` or `just now`. */
export function formatRelative(iso: string, now = Date.now()): string {
  const seconds = (Date.parse(iso) - now) / 1000
  const [unit, length] = UNITS.find(([, unitSeconds]) => Math.abs(seconds) >= unitSeconds) ?? []
  return unit === undefined ? 'just now' : relative.format(Math.trunc(seconds / length), unit)
}
