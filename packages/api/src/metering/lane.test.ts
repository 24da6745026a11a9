import { setImmediate } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { Lane, type Waiting } from './lane.ts'

interface Item {
  name: string
  deadline: number
}
const item = (name: string, waitsMs: number): Item => ({ name, deadline: performance.now() + waitsMs })
const answer = (calls: readonly Waiting<Item, string>[]) => {
  for (const { item, resolve } of calls) resolve(item.name)
}

it('a call that reaches its deadline in the queue fails, and is not sent with the next batch', async () => {
  const sent: string[][] = []
  const answers: (() => void)[] = []
  const lane = new Lane<Item, string>(2, async (calls) => {
    sent.push(calls.map(({ item }) => item.name))
    await new Promise<void>((resolve) => answers.push(resolve))
    answer(calls)
    return []
  })
  const first = ['a', 'b'].map((name) => lane.enqueue(item(name, 60_000)))
  const late = lane.enqueue(item('late', 50))
  const next = ['c', 'd', 'e'].map((name) => lane.enqueue(item(name, 60_000)))
  await expect(late).rejects.toMatchObject({ reason: 'database_unavailable' })
  for (const batches of [1, 2, 3]) {
    while (answers.length < batches) await setImmediate()
    answers.at(-1)?.()
  }
  expect(await Promise.all([...first, ...next])).toEqual(['a', 'b', 'c', 'd', 'e'])
  expect(sent).toEqual([['a', 'b'], ['c', 'd'], ['e']])
})

it('a call that reaches its deadline in flight fails, while the other calls of its batch still wait', async () => {
  let decide = () => {}
  const lane = new Lane<Item, string>(2, async (calls) => {
    await new Promise<void>((resolve) => {
      decide = resolve
    })
    answer(calls)
    return []
  })
  const late = lane.enqueue(item('late', 50))
  const beside = lane.enqueue(item('beside', 60_000))
  await expect(late).rejects.toMatchObject({ reason: 'database_unavailable' })
  decide()
  expect(await beside).toBe('beside')
})

it('calls that a batch leaves undecided come first in the next batch', async () => {
  const sent: string[][] = []
  const lane = new Lane<Item, string>(3, async (calls) => {
    sent.push(calls.map(({ item }) => item.name))
    const [first, ...rest] = calls
    if (first !== undefined) answer([first])
    return rest
  })
  const names = ['a', 'b', 'c', 'd']
  expect(await Promise.all(names.map((name) => lane.enqueue(item(name, 60_000))))).toEqual(names)
  expect(sent).toEqual([['a', 'b', 'c'], ['b', 'c', 'd'], ['c', 'd'], ['d']])
})

it('a call is answered when it is decided, before the other calls of its batch are decided', async () => {
  let end = () => {}
  const lane = new Lane<Item, string>(2, async (calls) => {
    answer(calls.slice(0, 1))
    await new Promise<void>((resolve) => {
      end = resolve
    })
    answer(calls)
    return []
  })
  const [early, late] = ['early', 'late'].map((name) => lane.enqueue(item(name, 60_000)))
  expect(await early).toBe('early')
  end()
  expect(await late).toBe('late')
})

it('the size of a lane is the number of calls in the queue and in flight', async () => {
  let decide = () => {}
  const lane = new Lane<Item, string>(2, async (calls) => {
    await new Promise<void>((resolve) => {
      decide = resolve
    })
    answer(calls)
    return []
  })
  expect(lane.size).toBe(0)
  const calls = ['a', 'b', 'c'].map((name) => lane.enqueue(item(name, 60_000)))
  expect(lane.size).toBe(3)
  await setImmediate()
  expect(lane.size).toBe(3)
  decide()
  await calls[0]
  await setImmediate()
  expect(lane.size).toBe(1)
  decide()
  await Promise.all(calls)
  await setImmediate()
  expect(lane.size).toBe(0)
})
