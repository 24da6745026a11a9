import { expect, it } from 'vitest'
import { Lane, type Settled } from './lane.ts'

interface Item {
  name: string
  deadline: number
}
const item = (name: string, waitsMs: number): Item => ({ name, deadline: performance.now() + waitsMs })

it('a call whose time is over leaves the queue: it is told so, and not sent when the batch before it is answered', async () => {
  const sent: string[][] = []
  const answers: (() => void)[] = []
  const lane = new Lane<Item, string>(2, async (items) => {
    sent.push(items.map(({ name }) => name))
    await new Promise<void>((resolve) => answers.push(resolve))
    return items.map(({ name }): Settled<string> => ({ status: 'fulfilled', value: name }))
  })
  const first = ['a', 'b'].map((name) => lane.enqueue(item(name, 60_000)))
  const late = lane.enqueue(item('late', 50))
  const next = ['c', 'd', 'e'].map((name) => lane.enqueue(item(name, 60_000)))
  await expect(late).rejects.toMatchObject({ reason: 'database_unavailable' })
  for (const batches of [1, 2, 3]) {
    await expect.poll(() => answers.length).toBe(batches)
    answers.at(-1)?.()
  }
  expect(await Promise.all([...first, ...next])).toEqual(['a', 'b', 'c', 'd', 'e'])
  expect(sent).toEqual([['a', 'b'], ['c', 'd'], ['e']])
})

it('a call that was sent is told so when its time is over, though those beside it still wait', async () => {
  let answer = () => {}
  const lane = new Lane<Item, string>(2, async (items) => {
    await new Promise<void>((resolve) => {
      answer = resolve
    })
    return items.map(({ name }): Settled<string> => ({ status: 'fulfilled', value: name }))
  })
  const late = lane.enqueue(item('late', 50))
  const beside = lane.enqueue(item('beside', 60_000))
  await expect(late).rejects.toMatchObject({ reason: 'database_unavailable' })
  answer()
  expect(await beside).toBe('beside')
})
