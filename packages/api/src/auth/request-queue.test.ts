import { describe, expect, it } from 'vitest'
import { REQUESTS_IN_FLIGHT_MAX, REQUESTS_PER_USER_MAX, RequestQueue, WAITING_REQUESTS_MAX } from './request-queue.ts'

/** Runs requests in a queue. Each request ends when the test ends it. */
function requests() {
  const queue = new RequestQueue()
  const started: string[] = []
  const ends = new Map<string, () => void>()
  const send = (userId: string, name = userId) =>
    queue.run(userId, async () => {
      started.push(name)
      await new Promise<void>((resolve) => ends.set(name, resolve))
    })
  const end = async (name: string) => {
    ends.get(name)?.()
    // The queue starts the next request in a few microtasks.
    await new Promise(setImmediate)
  }
  return { started, send, end }
}
const users = (count: number) => Array.from({ length: count }, (_, i) => `user-${i}`)

describe('requests to the auth server', () => {
  it(`at most ${REQUESTS_IN_FLIGHT_MAX} are in flight, and the others start in order`, async () => {
    const { started, send, end } = requests()
    const all = users(REQUESTS_IN_FLIGHT_MAX + 2).map((user) => send(user))
    expect(started).toEqual(users(REQUESTS_IN_FLIGHT_MAX))
    await end('user-3')
    expect(started).toEqual(users(REQUESTS_IN_FLIGHT_MAX + 1))
    await end('user-0')
    expect(started).toEqual(users(REQUESTS_IN_FLIGHT_MAX + 2))
    for (const user of users(REQUESTS_IN_FLIGHT_MAX + 2)) await end(user)
    await Promise.all(all)
  })

  it(`at most ${REQUESTS_PER_USER_MAX} of one user are in flight, and the requests of other users pass the waiting ones`, async () => {
    const { started, send, end } = requests()
    const all = ['a1', 'a2', 'a3', 'a4'].map((name) => send('a', name))
    all.push(send('b'))
    expect(started).toEqual(['a1', 'a2', 'b'])
    await end('b')
    expect(started).toEqual(['a1', 'a2', 'b'])
    await end('a2')
    expect(started).toEqual(['a1', 'a2', 'b', 'a3'])
    await end('a1')
    for (const name of ['a3', 'a4']) await end(name)
    await Promise.all(all)
    expect(started).toEqual(['a1', 'a2', 'b', 'a3', 'a4'])
  })

  it('a request that fails makes room for the next one', async () => {
    const queue = new RequestQueue()
    for (let i = 0; i < 2 * REQUESTS_IN_FLIGHT_MAX; i += 1)
      await expect(queue.run('a', () => Promise.reject(new Error('failed')))).rejects.toThrow('failed')
    expect(await queue.run('a', async () => 'ran')).toBe('ran')
  })

  it('a request that waits too long is refused: account_busy if its user causes the wait, otherwise auth_unavailable', async () => {
    const { started, send, end } = requests()
    const all = users(REQUESTS_IN_FLIGHT_MAX - 2).map((user) => send(user))
    all.push(send('a', 'a1'), send('a', 'a2'))
    await Promise.all([
      expect(send('a', 'a3')).rejects.toMatchObject({ reason: 'account_busy' }),
      expect(send('late')).rejects.toMatchObject({ reason: 'auth_unavailable' }),
    ])
    for (const name of [...started]) await end(name)
    await Promise.all(all)
    expect(started).not.toContain('late')
  })

  it(`at most ${WAITING_REQUESTS_MAX} wait, and the next one is refused immediately`, async () => {
    const { started, send, end } = requests()
    const names = users(REQUESTS_IN_FLIGHT_MAX + WAITING_REQUESTS_MAX)
    const all = Promise.allSettled(names.map((user) => send(user)))
    await expect(send('too many')).rejects.toMatchObject({ reason: 'auth_unavailable' })
    for (const name of names) await end(name)
    await all
    expect(started).toEqual(names)
  })
})
