import { BROWSER_TIME_ZONE, timeZone } from './time-zone.ts'

const whole = new Intl.NumberFormat('en')
/** Each moment shows its time zone, because the pages contain moments in the user's time zone and moments in UTC. */
const MOMENT = {
  day: 'numeric',
  month: 'short',
  year: 'numeric',
  hour: 'numeric',
  minute: '2-digit',
  timeZoneName: 'short',
} as const
let momentLocal = localFormat()
timeZone.listen(() => {
  momentLocal = localFormat()
})
const momentUtc = new Intl.DateTimeFormat('en-GB', { ...MOMENT, timeZone: 'UTC' })
const dayUtc = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' })
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'always' })

/** Each unit with its length in seconds. */
const UNITS = [
  ['minute', 60],
  ['hour', 3_600],
  ['day', 86_400],
  ['month', 30 * 86_400],
  ['year', 365 * 86_400],
] as const
const MINUTE_SECONDS = 60

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

/** Returns e.g. `24 Dec 2026, 13:00 CET`: date and time in the user's language and chosen time zone. */
export function formatMoment(iso: string): string {
  return momentLocal.format(new Date(iso))
}

/** Returns e.g. `24 Dec 2026, 12:00 UTC`. Billing cycles start and end in UTC. */
export function formatMomentUtc(iso: string): string {
  return momentUtc.format(new Date(iso))
}

/**
 * Returns e.g. `in 3 hours`, `in 42 seconds` or `now` for a number of milliseconds from now. From one minute on, the number is
 * rounded to the nearest unit.
 */
export function formatCountdown(ms: number): string {
  if (ms <= 0) return 'now'
  const seconds = Math.ceil(ms / 1000)
  return seconds < MINUTE_SECONDS ? relative.format(seconds, 'second') : formatRounded(seconds)
}

/** Returns e.g. `24 Dec`, the day in UTC. */
export function formatDayUtc(iso: string): string {
  return dayUtc.format(new Date(iso))
}

/** Returns e.g. `3 hours ago`, `in 12 days` or `just now`. The number is rounded to the nearest unit. */
export function formatRelative(iso: string, now = Date.now()): string {
  const seconds = (Date.parse(iso) - now) / 1000
  return Math.abs(seconds) < MINUTE_SECONDS ? 'just now' : formatRounded(seconds)
}

/**
 * Rounds to the nearest minute, hour, day, month or year. The unit is the largest one that does not exceed the time, after the time
 * is rounded to the next smaller unit: 59 minutes and 30 seconds are 1 hour.
 */
function formatRounded(seconds: number): string {
  const size = Math.abs(seconds)
  const i = UNITS.findIndex(([, length], at) => {
    const [, next] = UNITS[at + 1] ?? ['', Number.POSITIVE_INFINITY]
    return size < next && Math.round(size / length) * length < next
  })
  const [unit, length] = UNITS[i] ?? UNITS[0]
  return relative.format(Math.sign(seconds) * Math.round(size / length), unit)
}

function localFormat(): Intl.DateTimeFormat {
  const chosen = timeZone.get()
  return new Intl.DateTimeFormat(undefined, chosen === BROWSER_TIME_ZONE ? MOMENT : { ...MOMENT, timeZone: chosen })
}
