import { Reason } from '@keymeter/contract'
import { TRPCError } from '@trpc/server'
import { describe, expect, it } from 'vitest'
import { errorAnswer } from './error-answer.ts'
import { AppError, describeError } from './errors.ts'

describe('the message that a client sees', () => {
  it('an unexpected error gets a general message, because its own message can contain secrets', () => {
    const leaky = [
      'relation "api_keys" does not exist',
      'duplicate key value violates unique constraint "api_keys_pkey"',
      'select * from secrets',
      'connect ECONNREFUSED postgresql://keymeter_api:password@10.0.0.1/postgres',
      'ENOENT: no such file or directory, open /etc/keymeter/env',
    ]
    for (const message of leaky) {
      const error = new TRPCError({ code: 'INTERNAL_SERVER_ERROR', message, cause: new Error(message) })
      expect(describeError(error)).toEqual({
        reason: 'internal_error',
        message: expect.stringContaining('went wrong on our side'),
        issues: [],
        retryAfterSeconds: null,
      })
    }
  })

  it('a refusal gets the message of its reason, and never the message of its cause', () => {
    for (const reason of Reason.options) {
      const described = describeError(new AppError(reason, { cause: new Error('km_dev_secret') }))
      expect(described.reason).toBe(reason)
      expect(described.message).not.toContain('km_dev_secret')
      expect(described.message).toMatch(/^[A-Z].+\.$/)
      expect(errorAnswer(reason)).toMatchObject({ error: { data: { reason, issues: [] } } })
    }
  })

  it('a refusal that passes says after how many seconds, rounded up', () => {
    for (const reason of Reason.options) {
      const { error } = errorAnswer(reason)
      const passes = error.data.httpStatus === 429 || error.data.httpStatus === 503
      expect([reason, error.data.retryAfterSeconds !== null]).toEqual([reason, passes])
    }
    expect(describeError(new AppError('account_busy', { retryAfterMs: 1_001 })).retryAfterSeconds).toBe(2)
    expect(describeError(new AppError('account_busy', { retryAfterMs: 0 })).retryAfterSeconds).toBe(1)
  })
})
