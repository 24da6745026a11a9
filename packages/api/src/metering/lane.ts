/** A call that waits for its answer. */
interface Waiting<Item, Answer> {
  item: Item
  resolve: (answer: Answer | PromiseLike<Answer>) => void
  reject: (error: unknown) => void
}

/** An item's answer, its refusal, or the promise of an answer by somebody else who took the item over. */
export type Settled<Answer> = PromiseSettledResult<Answer | PromiseLike<Answer>>

/**
 * Group commit: one batch is in flight, and what arrives meanwhile forms the next one. There is no timer, so a lone call
 * waits for nothing, and the busier it gets the larger the batches are.
 */
export class Lane<Item, Answer> {
  readonly #batchMax: number
  readonly #send: (items: Item[]) => Promise<Settled<Answer>[]>
  readonly #onIdle: () => void
  #queue: Waiting<Item, Answer>[] = []
  #isRunning = false

  /**
   * @param send answers each item of a batch of at most `batchMax`, in their order.
   * @param onIdle told when nothing is in flight and nothing waits.
   */
  constructor(batchMax: number, send: (items: Item[]) => Promise<Settled<Answer>[]>, onIdle: () => void = () => {}) {
    this.#batchMax = batchMax
    this.#send = send
    this.#onIdle = onIdle
  }

  enqueue(item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ item, resolve, reject })
      if (this.#isRunning) return
      this.#isRunning = true
      // After this tick, so that calls made at once share the first batch.
      queueMicrotask(() => void this.#run())
    })
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, this.#batchMax)
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
    }
    this.#isRunning = false
    this.#onIdle()
  }
}
