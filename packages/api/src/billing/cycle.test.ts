import { randomInt } from 'node:crypto'
import { testDatabase } from '@keymeter/local/testing'
import { describe, expect, it } from 'vitest'
import { naiveBoundary } from '../../test/naive-cycle.ts'

const database = testDatabase()
const YEARS = 5
const MONTHS = YEARS * 12
const DAYS = Array.from({ length: 31 }, (_, day) => day + 1)
const TIMES_MS = [0, 86_399_999, 12 * 3_600_000 + 34 * 60_000 + 56_789]
/**
 * The months of the anchors, each with 31 days. They are in leap years, in years next to leap years, in 1970, and shortly
 * before 2100, which is not a leap year.
 */
const FIRST_MONTHS = [
  [1970, 0],
  [2023, 0],
  [2024, 0],
  [2025, 11],
  [2097, 0],
] as const
/**
 * The seed that chooses the time zones. To repeat a failure, replace the seed by the number in the name of the failed test.
 */
const SEED = randomInt(2 ** 31)
/** The number of time zones to test. Each anchor is tested in a session that uses one of them. */
const TIME_ZONES = 16

interface Row {
  boundary: Date
  /**
   * `at` is the index of the cycle that contains the boundary. `before` and `after` are the indexes of the cycles 1 ms
   * before and 1 ms after the boundary.
   */
  before: number
  at: number
  after: number
}

/** Returns random names of time zones that Postgres knows. */
async function drawTimeZones(): Promise<string[]> {
  const { rows } = await database.owner.query<{ name: string }>(
    'select name from pg_timezone_names order by md5(name || $1) limit $2',
    [String(SEED), TIME_ZONES],
  )
  return rows.map(({ name }) => name)
}

/** Returns the boundaries number 0 to `MONTHS` of each anchor, in the order of the anchors. */
async function boundaries(anchors: Date[], timeZone: string): Promise<Row[]> {
  const session = await database.owner.connect()
  try {
    await session.query("select set_config('timezone', $1, false)", [timeZone])
    const { rows } = await session.query<Row>(
      `select boundary, keymeter.cycle_index(anchor, boundary - interval '1 ms') as before, keymeter.cycle_index(anchor, boundary) as at,
            keymeter.cycle_index(anchor, boundary + interval '1 ms') as after
       from unnest($1::timestamptz[]) with ordinality as anchors (anchor, n), generate_series(0, $2::int) as months,
            keymeter.cycle_boundary(anchor, months) as boundary
      order by n, months`,
      [anchors.map((anchor) => anchor.toISOString()), MONTHS],
    )
    return rows
  } finally {
    // The argument `true` closes the connection, so that no other test gets a connection with this time zone.
    session.release(true)
  }
}

describe('the boundaries of billing cycles', () => {
  it(`each boundary is the anchor plus whole months, for every day of a month, in sessions of any time zone (seed ${SEED})`, async () => {
    const anchors = FIRST_MONTHS.flatMap(([year, month]) =>
      DAYS.flatMap((day) => TIMES_MS.map((time) => new Date(Date.UTC(year, month, day) + time))),
    )
    const zones = await drawTimeZones()
    const faults: unknown[] = []
    for (const [z, zone] of zones.entries()) {
      const own = anchors.filter((_, n) => n % TIME_ZONES === z)
      const rows = await boundaries(own, zone)
      expect(rows).toHaveLength(own.length * (MONTHS + 1))
      for (const [n, anchor] of own.entries()) {
        for (let k = 0; k <= MONTHS; k++) {
          const row = rows[n * (MONTHS + 1) + k]
          const expected = [naiveBoundary(anchor, k), Math.max(0, k - 1), k, k]
          const found = [row?.boundary, row?.before, row?.at, row?.after]
          if (JSON.stringify(found) !== JSON.stringify(expected)) faults.push({ zone, anchor, k, found, expected })
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
  ])(
    'a boundary lies on the last day of a month that is too short: anchor %s, %j months later',
    async (anchor, months, expected, time) => {
      const written = expected.map((date) => `${date}${time}`)
      const { rows } = await database.owner.query<{ boundary: Date }>(
        'select keymeter.cycle_boundary($1, months) as boundary from unnest($2::int[]) with ordinality as m (months, n) order by n',
        [anchor, months],
      )
      expect(rows.map(({ boundary }) => boundary.toISOString())).toEqual(written)
    },
  )

  it('a moment before the anchor belongs to the first cycle', async () => {
    const anchor = new Date('2028-03-31T23:59:59.999Z')
    const earlier = ['1970-01-01T00:00:00.000Z', '2028-02-29T23:59:59.999Z', '2028-03-31T23:59:59.998Z']
    const { rows } = await database.owner.query<{ index: number }>(
      'select keymeter.cycle_index($1, moment) as index from unnest($2::timestamptz[]) as moment',
      [anchor.toISOString(), earlier],
    )
    expect(rows).toEqual(earlier.map(() => ({ index: 0 })))
  })
})

describe('the billing cycle of a moment', () => {
  it('contains the moment, and ends where the next cycle starts, for any anchor and any later moment', async () => {
    const { rows } = await database.owner.query(
      `with moments as (
         select anchor, date_trunc('milliseconds', anchor + random() * interval '25 years') as moment
           from generate_series(1, 20000),
                lateral (select date_trunc('milliseconds', timestamptz '2020-01-01Z' + random() * interval '25 years') as anchor) as anchors
       ), cycles as (
         select *, keymeter.cycle_boundary(anchor, keymeter.cycle_index(anchor, moment)) as cycle_start from moments
       )
       select anchor, moment, cycle_start from cycles
        where not (cycle_start <= moment and moment < keymeter.cycle_end(anchor, cycle_start))
           or keymeter.cycle_boundary(anchor, keymeter.cycle_index(anchor, keymeter.cycle_end(anchor, cycle_start))) <> keymeter.cycle_end(anchor, cycle_start)
           or (cycle_start > anchor
               and keymeter.cycle_end(anchor, keymeter.cycle_boundary(anchor, keymeter.cycle_index(anchor, cycle_start - interval '1 ms'))) <> cycle_start)`,
    )
    expect(rows).toEqual([])
  })
})
