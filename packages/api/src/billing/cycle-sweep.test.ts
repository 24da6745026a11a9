import { randomInt } from 'node:crypto'
import { testDatabase } from '@keymeter/local/testing'
import { describe, expect, it } from 'vitest'
import { naiveBoundary } from '../../test/naive-cycle.ts'
import { cycleAt, cycleBoundary } from './cycle.ts'

const database = testDatabase()
const YEARS = 5
const MONTHS = YEARS * 12
const DAYS = Array.from({ length: 31 }, (_, day) => day + 1)
const TIMES_MS = [0, 86_399_999, 12 * 3_600_000 + 34 * 60_000 + 56_789]
/** The months with 31 days before and after February, in years around a leap year, where dates begin and a century that leaps not. */
const FIRST_MONTHS = [
  [1970, 0],
  [2023, 0],
  [2024, 0],
  [2025, 11],
  [2097, 0],
] as const
/** Decides which time zones the sessions are in. To see a failure again, write the number of its test's name here. */
const SEED = randomInt(2 ** 31)
/** Shares the anchors among so many that each is in another session than its neighbours of the day and of the month. */
const TIME_ZONES = 16

interface Row {
  boundary: Date
  /** The cycles that a millisecond before the boundary, the boundary and a millisecond after it lie in. */
  before: number
  at: number
  after: number
}

/** Any of Postgres' own, from both sides of UTC, with daylight saving and without. */
async function drawTimeZones(): Promise<string[]> {
  const { rows } = await database.owner.query<{ name: string }>(
    'select name from pg_timezone_names order by md5(name || $1) limit $2',
    [String(SEED), TIME_ZONES],
  )
  return rows.map(({ name }) => name)
}

/** Boundaries 0 to `MONTHS` of each anchor, as SQL has them, in this order. */
async function boundariesInSql(anchors: Date[], timeZone: string): Promise<Row[]> {
  const session = await database.owner.connect()
  try {
    await session.query("select set_config('timezone', $1, false)", [timeZone])
    const { rows } = await session.query<Row>(
      `select boundary, cycle_index(anchor, boundary - interval '1 ms') as before, cycle_index(anchor, boundary) as at,
            cycle_index(anchor, boundary + interval '1 ms') as after
       from unnest($1::timestamptz[]) with ordinality as anchors (anchor, n), generate_series(0, $2::int) as months,
            cycle_boundary(anchor, months) as boundary
      order by n, months`,
      [anchors.map((anchor) => anchor.toISOString()), MONTHS],
    )
    return rows
  } finally {
    // Its time zone is not for others.
    session.release(true)
  }
}

const dates = (anchor: string, months: number[]) => months.map((n) => cycleBoundary(new Date(anchor), n).toISOString())

describe('a cycle’s boundary', () => {
  it(`is the same in SQL, in TypeScript and counted from the anchor, for every anchor day, in sessions of any time zone (seed ${SEED})`, async () => {
    const anchors = FIRST_MONTHS.flatMap(([year, month]) =>
      DAYS.flatMap((day) => TIMES_MS.map((time) => new Date(Date.UTC(year, month, day) + time))),
    )
    const zones = await drawTimeZones()
    const faults: unknown[] = []
    for (const [z, zone] of zones.entries()) {
      const own = anchors.filter((_, n) => n % TIME_ZONES === z)
      const rows = await boundariesInSql(own, zone)
      expect(rows).toHaveLength(own.length * (MONTHS + 1))
      for (const [n, anchor] of own.entries()) {
        let start = anchor
        for (let k = 0; k <= MONTHS; k++) {
          const row = rows[n * (MONTHS + 1) + k]
          const boundary = naiveBoundary(anchor, k)
          const next = naiveBoundary(anchor, k + 1)
          const previous = k === 0 ? { start: boundary, end: next } : { start, end: boundary }
          const expected = [
            boundary,
            Math.max(0, k - 1),
            k,
            k,
            boundary,
            previous,
            { start: boundary, end: next },
            { start: boundary, end: next },
          ]
          const found = [
            row?.boundary,
            row?.before,
            row?.at,
            row?.after,
            cycleBoundary(anchor, k),
            cycleAt(anchor, new Date(boundary.getTime() - 1)),
            cycleAt(anchor, boundary),
            cycleAt(anchor, new Date(boundary.getTime() + 1)),
          ]
          if (JSON.stringify(found) !== JSON.stringify(expected)) faults.push({ zone, anchor, k, found, expected })
          start = boundary
        }
      }
    }
    expect(zones).toHaveLength(TIME_ZONES)
    expect(faults.slice(0, 3)).toEqual([])
  })

  it.each([
    ['2023-01-31T00:00:00.000Z', [1, 2, 3], ['2023-02-28', '2023-03-31', '2023-04-30'], 'T00:00:00.000Z'],
    ['2024-01-31T23:59:59.999Z', [1, 2, 3], ['2024-02-29', '2024-03-31', '2024-04-30'], 'T23:59:59.999Z'],
    ['2023-04-30T10:00:00.000Z', [1, 2, 10], ['2023-05-30', '2023-06-30', '2024-02-29'], 'T10:00:00.000Z'],
    ['2024-02-29T00:00:00.000Z', [12, 24, 36, 48], ['2025-02-28', '2026-02-28', '2027-02-28', '2028-02-29'], 'T00:00:00.000Z'],
    ['2099-12-31T23:59:59.999Z', [1, 2, 3], ['2100-01-31', '2100-02-28', '2100-03-31'], 'T23:59:59.999Z'],
    ['1970-01-31T00:00:00.000Z', [1, 2], ['1970-02-28', '1970-03-31'], 'T00:00:00.000Z'],
  ])('at a month’s end: %s, %j months later', async (anchor, months, expected, time) => {
    const written = expected.map((date) => `${date}${time}`)
    expect(dates(anchor, months)).toEqual(written)
    const { rows } = await database.owner.query<{ boundary: Date }>(
      'select cycle_boundary($1, months) as boundary from unnest($2::int[]) with ordinality as m (months, n) order by n',
      [anchor, months],
    )
    expect(rows.map(({ boundary }) => boundary.toISOString())).toEqual(written)
  })

  it('is in no cycle before the first, in SQL and in TypeScript', async () => {
    const anchor = new Date('2028-03-31T23:59:59.999Z')
    const earlier = ['1970-01-01T00:00:00.000Z', '2028-02-29T23:59:59.999Z', '2028-03-31T23:59:59.998Z']
    const { rows } = await database.owner.query<{ index: number }>(
      'select cycle_index($1, moment) as index from unnest($2::timestamptz[]) as moment',
      [anchor.toISOString(), earlier],
    )
    expect(rows).toEqual(earlier.map(() => ({ index: 0 })))
    for (const moment of earlier) expect(cycleAt(anchor, new Date(moment)).start).toEqual(anchor)
  })
})
