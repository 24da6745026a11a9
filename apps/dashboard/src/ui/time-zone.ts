import { tzOffset } from '@date-fns/tz/tzOffset'
import { z } from 'zod'
import { createStored } from './stored.ts'

const MINUTE_MS = 60_000
/** The choice of the browser's own time zone. */
export const BROWSER_TIME_ZONE = 'browser'

const TimeZone = z.string().refine((zone) => zone === BROWSER_TIME_ZONE || isTimeZone(zone))

/** The IANA name of the time zone in which all pages show times, or `BROWSER_TIME_ZONE`. */
export const timeZone = createStored('keymeter-time-zone', TimeZone, BROWSER_TIME_ZONE)

/** The IANA name of the time zone in use, e.g. for the server. A browser can return a name that the server does not know. */
export function timeZoneName(): string {
  const chosen = timeZone.get()
  return chosen === BROWSER_TIME_ZONE ? browserTimeZoneName() : chosen
}

export function browserTimeZoneName(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone
}

/** Returns a sentence that says in which time zone a field is. */
export function describeLocalTime(): string {
  const chosen = timeZone.get()
  return chosen === BROWSER_TIME_ZONE ? 'Your local time.' : `The time in ${chosen}.`
}

/** Returns e.g. `2026-12-24T13:00`, the value of a `datetime-local` field, in the chosen time zone. */
export function toLocalText(moment: number): string {
  return new Date(moment + offsetMs(moment)).toISOString().slice(0, 'YYYY-MM-DDTHH:mm'.length)
}

/**
 * Returns the moment of the value of a `datetime-local` field, or NaN if the text is not a time. If clocks are turned back, a time
 * can exist twice, and the result is one of the two moments. If clocks are turned forward, a time can be missing, and the result is
 * a moment at most an hour away.
 */
export function parseLocalText(text: string): number {
  const asIfUtc = Date.parse(`${text}Z`)
  if (Number.isNaN(asIfUtc)) return Number.NaN
  return asIfUtc - offsetMs(asIfUtc - offsetMs(asIfUtc))
}

function offsetMs(moment: number): number {
  const chosen = timeZone.get()
  const date = new Date(moment)
  return MINUTE_MS * (chosen === BROWSER_TIME_ZONE ? -date.getTimezoneOffset() : tzOffset(chosen, date))
}

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}
