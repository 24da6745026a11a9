import { afterEach, describe, expect, it } from 'vitest'
import { askFor } from '../usage/usage-range.ts'
import { formatMoment } from './format.ts'
import { BROWSER_TIME_ZONE, parseLocalText, timeZone, timeZoneName, toLocalText } from './time-zone.ts'

afterEach(() => timeZone.set(BROWSER_TIME_ZONE))

const iso = (moment: number) => new Date(moment).toISOString()

describe('time zones', () => {
  it.each([
    ['Asia/Tokyo', '2026-12-24T13:00', '2026-12-24T04:00:00.000Z'],
    ['America/New_York', '2026-07-01T00:00', '2026-07-01T04:00:00.000Z'],
    ['America/New_York', '2026-12-31T23:59', '2027-01-01T04:59:00.000Z'],
    ['Asia/Kathmandu', '2026-06-01T05:45', '2026-06-01T00:00:00.000Z'],
    ['UTC', '2026-06-01T05:45', '2026-06-01T05:45:00.000Z'],
  ])('in %s, %s is the moment %s', (zone, text, moment) => {
    timeZone.set(zone)
    expect(iso(parseLocalText(text))).toBe(moment)
    expect(toLocalText(Date.parse(moment))).toBe(text)
    expect(timeZoneName()).toBe(zone)
  })

  it('a time that exists twice is one of its two moments, and a missing time is at most an hour away', () => {
    timeZone.set('Europe/Berlin')
    // Clocks are turned back from 03:00 to 02:00, and forward from 02:00 to 03:00.
    expect(toLocalText(Date.parse('2026-10-25T00:30:00.000Z'))).toBe('2026-10-25T02:30')
    expect(toLocalText(Date.parse('2026-10-25T01:30:00.000Z'))).toBe('2026-10-25T02:30')
    expect(['2026-10-25T00:30:00.000Z', '2026-10-25T01:30:00.000Z']).toContain(iso(parseLocalText('2026-10-25T02:30')))
    expect(iso(parseLocalText('2026-03-29T02:30'))).toBe('2026-03-29T01:30:00.000Z')
  })

  it('a text that is not a time has no moment', () => {
    for (const zone of [BROWSER_TIME_ZONE, 'Asia/Tokyo']) {
      timeZone.set(zone)
      for (const text of ['', 'x', '2026-13-01T00:00', '2026-01-01T25:00']) expect(parseLocalText(text)).toBeNaN()
    }
  })

  it('the last 30 days begin at midnight of the chosen time zone, also if clocks are changed on the way', () => {
    const from = (zone: string, now: string) => {
      timeZone.set(zone)
      return askFor('month', Date.parse(now)).from
    }
    expect(from('Asia/Tokyo', '2026-12-30T16:00:00Z')).toBe('2026-12-01T15:00:00.000Z')
    expect(from('Europe/Berlin', '2026-04-10T12:00:00Z')).toBe('2026-03-11T23:00:00.000Z')
    expect(from('UTC', '2026-03-01T00:00:00Z')).toBe('2026-01-31T00:00:00.000Z')
  })

  it('moments are shown in the chosen time zone, and a later choice applies immediately', () => {
    for (const [zone, time] of [
      ['Asia/Tokyo', '9:05'],
      ['America/New_York', '7:05'],
    ] as const) {
      timeZone.set(zone)
      expect(formatMoment('2026-12-24T00:05:00.000Z')).toContain(time)
    }
  })
})
