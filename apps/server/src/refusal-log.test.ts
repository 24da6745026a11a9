import { pino } from 'pino'
import { describe, expect, it } from 'vitest'
import { RefusalLog } from './refusal-log.ts'

describe('the log of refusals', () => {
  it('writes a limited number of lines in each window, and then one line with the number of the others', async () => {
    const lines: Record<string, unknown>[] = []
    const summary = Promise.withResolvers<void>()
    const write = (line: string) => void lines.push(JSON.parse(line))
    const log = pino({ level: 'info' }, { write })
    const writeSummary = (line: string) => {
      write(line)
      summary.resolve()
    }
    const onSummary = pino({ level: 'info' }, { write: writeSummary })
    const refusals = new RefusalLog(onSummary, { linesMax: 3, windowMs: 50 })
    for (let n = 0; n < 10; n++) refusals.write(log, { n })
    expect(lines.map(({ n }) => n)).toEqual([0, 1, 2])
    await summary.promise
    expect(lines.slice(3)).toMatchObject([{ level: 40, unwritten: 7 }])
    refusals.write(log, { n: 10 })
    expect(lines.at(-1)).toMatchObject({ level: 30, n: 10 })
  })

  it('writes no summary if it has written every line', async () => {
    const written: string[] = []
    const log = pino({ level: 'info' }, { write: (line) => void written.push(line) })
    const refusals = new RefusalLog(log, { linesMax: 3, windowMs: 10 })
    const other = Promise.withResolvers<void>()
    const next = new RefusalLog(pino({ level: 'info' }, { write: () => other.resolve() }), { linesMax: 0, windowMs: 50 })
    for (let n = 0; n < 3; n++) refusals.write(log, { n })
    next.write(log, {})
    // The window of `next` ends after the window of `refusals`.
    await other.promise
    expect(written).toHaveLength(3)
  })
})
