import { describe, expect, it } from 'vitest'
import { checkClock, checkEncryption } from './check-connection.ts'

describe('clock of the database', () => {
  it.each([
    [5_000, 0, 'ok'],
    [5_001, 0, 'fault'],
    [-5_001, 0, 'fault'],
    [5_500, 600, 'ok'],
    [5_500, 400, 'fault'],
  ] as const)('a difference of %d ms, known to %d ms, is: %s', (clockAheadMs, clockUncertaintyMs, status) => {
    expect(checkClock({ clockAheadMs, clockUncertaintyMs }).status).toBe(status)
  })

  it('the report states which clock is ahead', () => {
    expect(checkClock({ clockAheadMs: 60_000, clockUncertaintyMs: 1 }).message).toBe(
      'The database is 60.0 s ahead of this machine.',
    )
    expect(checkClock({ clockAheadMs: -60_000, clockUncertaintyMs: 1 }).message).toBe(
      'The database is 60.0 s behind this machine.',
    )
  })
})

describe('encryption of the connections', () => {
  it('a plain connection to another machine is a fault, and a plain connection on this machine is not', () => {
    expect(checkEncryption([['DATABASE_URL', 'postgresql://a:b@db.example.com/x', false]])).toMatchObject({
      status: 'fault',
      message: 'Not encrypted: DATABASE_URL.',
    })
    for (const host of ['127.0.0.1', 'localhost', '[::1]'])
      expect(checkEncryption([['DATABASE_URL', `postgresql://a:b@${host}/x`, false]]).status).toBe('ok')
    expect(checkEncryption([['DATABASE_URL', 'postgresql://a:b@db.example.com/x', true]]).status).toBe('ok')
  })
})
