import { describe, expect, it } from 'vitest'
import { formatCountdown, formatMomentUtc, formatRelative } from './format.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

const NOW = Date.parse('2026-12-28T18:42:00.000Z')
const relativeTo = (ms: number) => formatRelative(new Date(NOW + ms).toISOString(), NOW)

describe('moments', () => {
  it('a moment in UTC shows its date, its time and UTC', () => {
    expect(formatMomentUtc('2026-12-28T08:05:00.000Z')).toBe('28 Dec 2026, 08:05 UTC')
  })
})

describe('relative times', () => {
  it.each([
    [0, 'just now'],
    [59 * SECOND, 'just now'],
    [60 * SECOND, 'in 1 minute'],
    [89 * SECOND, 'in 1 minute'],
    [90 * SECOND, 'in 2 minutes'],
    [HOUR - 31 * SECOND, 'in 59 minutes'],
    [HOUR - 30 * SECOND, 'in 1 hour'],
    [1.5 * HOUR - SECOND, 'in 1 hour'],
    [1.5 * HOUR, 'in 2 hours'],
    [23.5 * HOUR - SECOND, 'in 23 hours'],
    [23.5 * HOUR, 'in 1 day'],
    [3 * DAY - MINUTE, 'in 3 days'],
    [29.5 * DAY - SECOND, 'in 29 days'],
    [30 * DAY - SECOND, 'in 1 month'],
    [350 * DAY - SECOND, 'in 12 months'],
    [365 * DAY, 'in 1 year'],
    [730 * DAY - SECOND, 'in 2 years'],
  ])('%d milliseconds from now are rounded to “%s”', (ms, text) => {
    expect(relativeTo(ms)).toBe(text)
  })

  it.each([
    [59 * SECOND, 'just now'],
    [89 * SECOND, '1 minute ago'],
    [90 * SECOND, '2 minutes ago'],
    [HOUR - 30 * SECOND, '1 hour ago'],
    [3 * DAY - MINUTE, '3 days ago'],
  ])('a moment %d milliseconds ago is rounded to “%s”', (ms, text) => {
    expect(relativeTo(-ms)).toBe(text)
  })
})

describe('countdowns', () => {
  it.each([
    [0, 'now'],
    [1, 'in 1 second'],
    [58 * SECOND + 1, 'in 59 seconds'],
    [59 * SECOND + 1, 'in 1 minute'],
    [89 * SECOND, 'in 1 minute'],
    [90 * SECOND, 'in 2 minutes'],
    [3 * DAY - MINUTE, 'in 3 days'],
    [2.5 * DAY - SECOND, 'in 2 days'],
  ])('%d milliseconds are counted down as “%s”', (ms, text) => {
    expect(formatCountdown(ms)).toBe(text)
  })
})
