import { AppError } from '../errors.ts'

/** An item whose caller waits until a deadline. */
export interface Timed {
  /** On the clock of `performance.now()`, in milliseconds. */
  deadline: number
}

/** A caller that waits for the answer to its item. */
export interface Waiting<Item, Answer> {
  readonly item: Item
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
}

interface Queued<Item, Answer> extends Waiting<Item, Answer> {
  readonly timer: NodeJS.Timeout
}

/**
 * Answers the calls of one batch, each as soon as it is decided. Returns the calls that it could not decide: they form the
 * head of the next batch. The next batch is sent only when the promise settles, so it must always settle.
 */
export type SendBatch<Item, Answer> = (calls: readonly Waiting<Item, Answer>[]) => Promise<readonly Waiting<Item, Answer>[]>

/**
 * Group commit: one batch is in flight, and calls that arrive in the meantime form the next batch. There is no timer, so a
 * single call does not wait, and batches grow with the load.
 *
 * A call that waits past its deadline is rejected with `database_unavailable`, in the queue and in flight. In the queue it
 * also gives up its place.
 */
export class Lane<Item extends Timed, Answer> {
  readonly #batchMax: number
  readonly #send: SendBatch<Item, Answer>
  #queue = new Set<Queued<Item, Answer>>()
  #isRunning = false

  /** @param send receives at most `batchMax` calls. */
  constructor(batchMax: number, send: SendBatch<Item, Answer>) {
    this.#batchMax = batchMax
    this.#send = send
  }

  /** Whether nothing is in flight and nothing waits. */
  get isIdle(): boolean {
    return !this.#isRunning
  }

  enqueue(item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.#queue.delete(call)
        reject(new AppError('database_unavailable'))
      }
      const timer = setTimeout(giveUp, item.deadline - performance.now())
      const call: Queued<Item, Answer> = {
        item,
        timer,
        resolve: (answer) => {
          clearTimeout(timer)
          resolve(answer)
        },
        reject: (error) => {
          clearTimeout(timer)
          reject(error)
        },
      }
      this.#queue.add(call)
      if (this.#isRunning) return
      this.#isRunning = true
      // After this tick, so that calls of the same tick share the first batch.
      queueMicrotask(() => void this.#run())
    })
  }

  async #run(): Promise<void> {
    while (this.#queue.size > 0) {
      const batch = this.#takeBatch()
      try {
        const undecided = new Set<Waiting<Item, Answer>>(await this.#send(batch))
        const again = batch.filter((call) => undecided.has(call) && call.item.deadline > performance.now())
        this.#queue = new Set([...again, ...this.#queue])
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    this.#isRunning = false
  }

  /** Removes the oldest calls from the queue. */
  #takeBatch(): Queued<Item, Answer>[] {
    const batch: Queued<Item, Answer>[] = []
    for (const call of this.#queue) {
      if (batch.length === this.#batchMax) break
      this.#queue.delete(call)
      batch.push(call)
    }
    return batch
  }
}
