import { AppError } from '../errors.ts'

/** Until when its caller waits, as `performance.now()` counts. */
export interface Timed {
  deadline: number
}

/** A call that waits for its answer. */
interface Waiting<Item, Answer> {
  item: Item
  resolve: (answer: Answer | PromiseLike<Answer>) => void
  reject: (error: unknown) => void
  timer: NodeJS.Timeout
}

/** An item's answer, its refusal, or the promise of an answer by somebody else who took the item over. */
export type Settled<Answer> = PromiseSettledResult<Answer | PromiseLike<Answer>>

/**
 * Group commit: one batch is in flight, and what arrives meanwhile forms the next one. There is no timer, so a lone call
 * waits for nothing, and the busier it gets the larger the batches are.
 *
 * A call that waits past its deadline is told `database_unavailable`, wherever it is; while it is in the queue, it leaves it.
 */
export class Lane<Item extends Timed, Answer> {
  readonly #batchMax: number
  readonly #send: (items: Item[]) => Promise<Settled<Answer>[]>
  readonly #onIdle: () => void
  readonly #queue = new Set<Waiting<Item, Answer>>()
  #isRunning = false

  /**
   * @param send answers each item of a batch of at most `batchMax`, in their order, and soon after the last of their
   * deadlines whatever happens: nothing else is sent before.
   * @param onIdle told when nothing is in flight and nothing waits.
   */
  constructor(batchMax: number, send: (items: Item[]) => Promise<Settled<Answer>[]>, onIdle: () => void = () => {}) {
    this.#batchMax = batchMax
    this.#send = send
    this.#onIdle = onIdle
  }

  enqueue(item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.#queue.delete(waiting)
        reject(new AppError('database_unavailable'))
      }
      const waiting = { item, resolve, reject, timer: setTimeout(giveUp, item.deadline - performance.now()) }
      this.#queue.add(waiting)
      if (this.#isRunning) return
      this.#isRunning = true
      // After this tick, so that calls made at once share the first batch.
      queueMicrotask(() => void this.#run())
    })
  }

  async #run(): Promise<void> {
    while (this.#queue.size > 0) {
      const batch = this.#takeBatch()
      try {
        const answers = await this.#send(batch.map(({ item }) => item))
        for (const [i, { resolve, reject }] of batch.entries()) {
          const answer = answers[i]
          if (answer?.status === 'fulfilled') resolve(answer.value)
          else reject(answer?.reason)
        }
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
      for (const { timer } of batch) clearTimeout(timer)
    }
    this.#isRunning = false
    this.#onIdle()
  }

  /** The calls that came first. */
  #takeBatch(): Waiting<Item, Answer>[] {
    const batch: Waiting<Item, Answer>[] = []
    for (const waiting of this.#queue) {
      if (batch.length === this.#batchMax) break
      this.#queue.delete(waiting)
      batch.push(waiting)
    }
    return batch
  }
}
