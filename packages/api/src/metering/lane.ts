import { setImmediate } from 'node:timers/promises'
import { AppError } from '../errors.ts'

/** An item with a deadline. The caller of the item stops waiting at the deadline. */
export interface Timed {
  /** A time on the clock of `performance.now()`, in milliseconds. */
  deadline: number
}

/** An item, and the functions that answer the caller that waits for it. */
export interface Waiting<Item, Answer> {
  readonly item: Item
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
}

interface Queued<Item, Answer> extends Waiting<Item, Answer> {
  readonly timer: NodeJS.Timeout
}

/**
 * Sends one batch of calls. It answers each call as soon as the call is decided, and returns the undecided calls. The lane
 * puts the undecided calls at the start of the next batch. The lane sends the next batch only after the returned promise has
 * settled, so this promise must always settle.
 */
export type SendBatch<Item, Answer> = (calls: readonly Waiting<Item, Answer>[]) => Promise<readonly Waiting<Item, Answer>[]>

/**
 * A queue with group commit: one batch is in flight, and calls that arrive in the meantime form the next batch. The lane does
 * not wait for more calls before it sends a batch. So a single call is not delayed, and batches grow with the load.
 *
 * A call that is not decided by its deadline is rejected with `database_unavailable`, both in the queue and in flight. If it
 * is still in the queue, it is also removed from the queue.
 */
export class Lane<Item extends Timed, Answer> {
  readonly #batchMax: number
  readonly #send: SendBatch<Item, Answer>
  #queue = new Set<Queued<Item, Answer>>()
  #inFlight = 0
  #isRunning = false

  /** @param send Receives at most `batchMax` calls. */
  constructor(batchMax: number, send: SendBatch<Item, Answer>) {
    this.#batchMax = batchMax
    this.#send = send
  }

  /** True if no batch is in flight and no call waits. */
  get isIdle(): boolean {
    return !this.#isRunning
  }

  /** The number of calls that wait in the queue or are in flight. */
  get size(): number {
    return this.#queue.size + this.#inFlight
  }

  enqueue(item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.#queue.delete(call)
        reject(new AppError('database_unavailable'))
      }
      const timer = setTimeout(giveUp, Math.max(0, item.deadline - performance.now()))
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
      // Start after this tick, so that all calls of this tick share the first batch.
      queueMicrotask(() => void this.#run())
    })
  }

  async #run(): Promise<void> {
    while (this.#queue.size > 0) {
      const batch = this.#takeBatch()
      this.#inFlight = batch.length
      try {
        const undecided = new Set<Waiting<Item, Answer>>(await this.#send(batch))
        const again = batch.filter((call) => undecided.has(call) && call.item.deadline > performance.now())
        this.#queue = new Set([...again, ...this.#queue])
        // Callers that just got an answer often make their next call immediately. Let these calls join the next batch.
        // Otherwise it would contain only the undecided calls, and the callers would be split into two groups whose batches
        // alternate and are half as large.
        if (again.length > 0) await setImmediate()
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
      this.#inFlight = 0
    }
    this.#isRunning = false
  }

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
