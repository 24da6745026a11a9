import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { naiveBoundary } from '../../test/naive-cycle.ts'
import { cycleAt, cycleBoundary } from './cycle.ts'

const moments = fc.date({
  min: new Date('2020-01-01T00:00:00.000Z'),
  max: new Date('2045-01-01T00:00:00.000Z'),
  noInvalidDate: true,
})

describe('the boundaries of the billing cycle', () => {
  it('are clipped to the month’s length and come back to the anchor’s day', () => {
    const boundaries = (anchor: string, count: number) =>
      Array.from({ length: count }, (_, months) => cycleBoundary(new Date(anchor), months).toISOString())
    expect(boundaries('2026-01-31T10:20:30.456Z', 5)).toEqual([
      '2026-01-31T10:20:30.456Z',
      '2026-02-28T10:20:30.456Z',
      '2026-03-31T10:20:30.456Z',
      '2026-04-30T10:20:30.456Z',
      '2026-05-31T10:20:30.456Z',
    ])
    expect(boundaries('2024-02-29T00:00:00.000Z', 13)[12]).toBe('2025-02-28T00:00:00.000Z')
    expect(boundaries('2023-12-30T23:59:59.999Z', 3)[2]).toBe('2024-02-29T23:59:59.999Z')
  })
})

describe('the current billing cycle', () => {
  it('holds its moment, in an unbroken row of cycles: start included, end not', () => {
    fc.assert(
      fc.property(moments, moments, (anchor, now) => {
        fc.pre(now >= anchor)
        const { start, end } = cycleAt(anchor, now)
        expect(start <= now && now < end).toBe(true)
        expect(cycleAt(anchor, end).start).toEqual(end)
        if (start > anchor) expect(cycleAt(anchor, new Date(start.getTime() - 1)).end).toEqual(start)
      }),
      { numRuns: 20_000 },
    )
  })

  it('is the one that counting up from the anchor finds, for each day of the month and each boundary ± 1 ms', () => {
    for (let day = 1; day <= 31; day++) {
      const anchor = new Date(Date.UTC(2023, 0, day, 13, 14, 15, 16))
      for (let months = 0; months < 60; months++) {
        const boundary = naiveBoundary(anchor, months)
        const next = naiveBoundary(anchor, months + 1)
        expect(cycleAt(anchor, boundary)).toEqual({ start: boundary, end: next })
        expect(cycleAt(anchor, new Date(next.getTime() - 1))).toEqual({ start: boundary, end: next })
      }
    }
  })

  it('is the first one before it has begun', () => {
    const anchor = new Date('2026-05-10T00:00:00.000Z')
    expect(cycleAt(anchor, new Date('2026-01-01T00:00:00.000Z')).start).toEqual(anchor)
  })
})
