import { setImmediate } from 'node:timers/promises'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { AccountQueue, WAITING_MAX } from './account-queue.ts'

/** A call that runs until `end` is called. */
function openCall() {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { call: () => promise, end: resolve }
}

describe('the place of a call', () => {
  it('is in the queue of the account for a member, and in the queue of the person otherwise', () => {
    const queue = new AccountQueue(1)
    expect(queue.placeOf('account', null)).toBe('account')
    expect(queue.placeOf('account', 'person')).toBe('person person')
    queue.noteMember('account', 'person', true)
    expect(queue.placeOf('account', 'person')).toBe('account')
    queue.noteMember('account', 'person', false)
    expect(queue.placeOf('account', 'person')).toBe('person person')
  })

  it('is in the queue of the own account until the person has left it', () => {
    const queue = new AccountQueue(1)
    expect(queue.placeOf('person', 'person')).toBe('person')
    queue.noteMember('person', 'person', false)
    expect(queue.placeOf('person', 'person')).toBe('person person')
  })

  it('is known for the last 10,000 memberships', () => {
    const queue = new AccountQueue(1)
    for (let n = 0; n <= 10_000; n++) queue.noteMember('account', `person ${n}`, true)
    expect(queue.placeOf('account', 'person 0')).toBe('person person 0')
    expect(queue.placeOf('account', 'person 1')).toBe('account')
  })
})

describe('the queue of an account', () => {
  it('runs at most the given number of calls of an account, and the others in the order of their arrival', async () => {
    const queue = new AccountQueue(2)
    const calls = Array.from({ length: 6 }, openCall)
    const started: number[] = []
    const all = calls.map(({ call }, n) =>
      queue.run('one', () => {
        started.push(n)
        return call()
      }),
    )
    await setImmediate()
    expect(started).toEqual([0, 1])
    calls[1]?.end()
    await expect.poll(() => started).toEqual([0, 1, 2])
    calls[0]?.end()
    await expect.poll(() => started).toEqual([0, 1, 2, 3])
    for (const { end } of calls) end()
    await Promise.all(all)
    expect(started).toEqual([0, 1, 2, 3, 4, 5])
  })

  it('never delays a call of another account', async () => {
    const queue = new AccountQueue(1)
    const blocking = openCall()
    const blocked = [queue.run('one', blocking.call), queue.run('one', async () => {})]
    expect(await queue.run('other', async () => 'done')).toBe('done')
    blocking.end()
    await Promise.all(blocked)
  })

  it('refuses a call that waits too long, and each call beyond 100 that wait earlier', async () => {
    const queue = new AccountQueue(1)
    const blocking = openCall()
    const first = queue.run('one', blocking.call)
    const order: string[] = []
    const waiting = Array.from({ length: 100 }, () =>
      queue
        .run('one', async () => {})
        .catch((error: unknown) => {
          order.push('waited')
          return error
        }),
    )
    const beyond = queue
      .run('one', async () => {})
      .catch((error: unknown) => {
        order.push('beyond')
        return error
      })
    expect(await beyond).toMatchObject({ reason: 'account_busy', retryAfterSeconds: 1 })
    for (const refusal of await Promise.all(waiting)) expect(refusal).toMatchObject({ reason: 'account_busy' })
    expect(order[0]).toBe('beyond')
    blocking.end()
    await first
  })

  it('gives the people of an account turns one after the other, however many calls each of them has', async () => {
    const queue = new AccountQueue(1)
    const blocking = openCall()
    const started: string[] = []
    const run = (person: string) => queue.run('one', async () => void started.push(person), { person })
    const all = [queue.run('one', blocking.call, { person: 'flood' })]
    for (const person of ['flood', 'flood', 'flood', 'owner', 'admin', 'owner']) all.push(run(person))
    await setImmediate()
    blocking.end()
    await Promise.all(all)
    expect(started).toEqual(['flood', 'owner', 'admin', 'flood', 'owner', 'flood'])
    expect(queue.size).toBe(0)
  })

  it('gives the place of the person with the most waiting calls to a person with fewer, if no place is left', async () => {
    const queue = new AccountQueue(1)
    const blocking = openCall()
    const first = queue.run('one', blocking.call, { person: 'flood' })
    const outcomes: string[] = []
    const run = (person: string, name: string) =>
      queue
        .run('one', async () => void outcomes.push(`${name} ran`), { person })
        .catch((error: { reason: string }) => void outcomes.push(`${name} ${error.reason}`))
    const flood = Array.from({ length: WAITING_MAX }, (_, n) => run('flood', `flood ${n}`))
    const others = [run('owner', 'owner'), run('flood', 'beyond')]
    blocking.end()
    await Promise.all([first, ...flood, ...others])
    expect(outcomes.filter((outcome) => outcome.endsWith(' ran')).slice(0, 2)).toEqual(['flood 0 ran', 'owner ran'])
    expect(outcomes).toContain(`flood ${WAITING_MAX - 1} account_busy`)
    expect(outcomes).toContain('beyond account_busy')
    expect(outcomes).toHaveLength(WAITING_MAX + 2)
  })

  it('never takes the place of a patient call', async () => {
    const queue = new AccountQueue(1)
    const blocking = openCall()
    const first = queue.run('one', blocking.call)
    const patient = Array.from({ length: WAITING_MAX }, () =>
      queue.run('one', async () => 'done', { isPatient: true, person: 'exports' }),
    )
    await expect(queue.run('one', async () => {}, { person: 'owner' })).rejects.toMatchObject({ reason: 'account_busy' })
    blocking.end()
    await first
    expect(new Set(await Promise.all(patient))).toEqual(new Set(['done']))
  })

  it('passes the turn on when a call fails, and forgets an account without calls', async () => {
    const queue = new AccountQueue(1)
    const failing = queue.run('one', async () => {
      throw new Error('failed')
    })
    const next = queue.run('one', async () => 'next')
    await expect(failing).rejects.toThrow('failed')
    expect(await next).toBe('next')
    expect(queue.size).toBe(0)
  })

  it('gives the turn of a refused call to nobody', async () => {
    const queue = new AccountQueue(1)
    const blocking = openCall()
    const first = queue.run('one', blocking.call)
    await expect(queue.run('one', async () => {})).rejects.toMatchObject({ reason: 'account_busy' })
    blocking.end()
    await first
    expect(await queue.run('one', async () => 'later')).toBe('later')
    expect(queue.size).toBe(0)
  })
})

describe('the pause before a turn of an account with waiting calls', () => {
  afterEach(() => void vi.useRealTimers())

  it.each([
    { waiting: 1, tookMs: 4, pauseMs: 4 },
    { waiting: 3, tookMs: 4, pauseMs: 12 },
    { waiting: 9, tookMs: 4, pauseMs: 36 },
    { waiting: 90, tookMs: 4, pauseMs: 36 },
    { waiting: 90, tookMs: 400, pauseMs: 50 },
  ])('grows with the number of waiting calls: $pauseMs ms after a call of $tookMs ms, if $waiting wait', async (example) => {
    vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] })
    const queue = new AccountQueue(1)
    const first = openCall()
    let started = 0
    const calls = [queue.run('one', first.call)]
    for (let n = 0; n < example.waiting; n++) calls.push(queue.run('one', async () => void started++))
    await vi.advanceTimersByTimeAsync(example.tookMs)
    first.end()
    await vi.advanceTimersByTimeAsync(example.pauseMs - 1)
    expect(started).toBe(0)
    await vi.advanceTimersByTimeAsync(1)
    expect(started).toBeGreaterThan(0)
    await vi.advanceTimersByTimeAsync(2_000)
    await Promise.all(calls)
  })
})

describe('the refusal of a call, because too many calls of the account already wait,', () => {
  it('comes after a pause, so that a client that repeats the call in a loop cannot use all of the processor', async () => {
    const queue = new AccountQueue(1)
    const blocking = openCall()
    const first = queue.run('one', blocking.call)
    const waiting = Array.from({ length: 100 }, () => queue.run('one', async () => {}).catch(() => {}))
    for (let wasStalled = true; wasStalled; ) {
      const startedAt = performance.now()
      let isRefused = false
      const refused = queue
        .run('one', async () => {})
        .catch(() => {
          isRefused = true
        })
      await setImmediate()
      // If the process stood still for most of the pause, this round shows nothing.
      wasStalled = performance.now() - startedAt > 400
      if (!wasStalled) expect(isRefused).toBe(false)
      await refused
    }
    blocking.end()
    await Promise.all([first, ...waiting])
  })
})
