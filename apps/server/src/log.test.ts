import { describe, expect, it } from 'vitest'
import { createLog } from './log.ts'

const KEY = 'km_dev_qP3usvwCaoJvXLrM01gigb5XOmK035391nkbgAGKudCjLAm7Y4KKHwa'
const TOKEN = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl'
const PASSWORD = 'a-password'

describe('log', () => {
  it('the log contains no key, token or database password in any part of a line', () => {
    const lines: string[] = []
    const log = createLog('trace', { write: (line) => lines.push(line) })
    for (const secret of [KEY, TOKEN]) {
      log.info(secret)
      log.info({ [secret]: 1 }, 'as a name')
      log.warn({ a: { b: { c: { d: [{ e: secret }] } } } }, 'deep')
      log.error({ err: new Error(`about ${secret}`, { cause: new Error(secret) }) }, 'in an error')
      log.child({ secret }).debug('%s', `GET /trpc/x?key=${secret}&y=1`)
    }
    log.error({ err: new Error(`connect postgresql://keymeter_api:${PASSWORD}@127.0.0.1:5432/postgres`) }, 'in a URL')
    const all = lines.join('')
    for (const secret of [KEY, TOKEN, PASSWORD, 'c2lnbmF0dXJl']) expect(all).not.toContain(secret)
    expect(all.match(/\[secret\]/g)?.length).toBeGreaterThanOrEqual(13)
    for (const line of lines) expect(() => JSON.parse(line)).not.toThrow()
  })

  it('the log does not hide values that only look like a secret', () => {
    const lines: string[] = []
    createLog('info', { write: (line) => lines.push(line) }).info(
      { url: 'http://127.0.0.1:3000/a@b', prefix: 'km_dev_qP3usvwC' },
      'fine',
    )
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ url: 'http://127.0.0.1:3000/a@b', prefix: 'km_dev_qP3usvwC' })
  })
})
