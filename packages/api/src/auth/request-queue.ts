import { AppError } from '../errors.ts'

/** The number of requests to the auth server that may be in flight in this process. */
export const REQUESTS_IN_FLIGHT_MAX = 20
/** The number of these requests that may belong to one user. */
export const REQUESTS_PER_USER_MAX = 2
/** The number of requests that may wait. */
export const WAITING_REQUESTS_MAX = 500
/** A request that has waited for this time is refused. */
const WAIT_MS = 2_000

interface Waiting {
  userId: string
  start: () => void
}

/**
 * Limits the requests to the auth server, so that a flood of calls does not become a flood at the auth server, and one user does
 * not delay another. Requests wait in order. A request of a user who has `REQUESTS_PER_USER_MAX` requests in flight lets the
 * requests of other users pass.
 */
export class RequestQueue {
  readonly #inFlight = new Map<string, number>()
  #inFlightCount = 0
  readonly #waiting = new Set<Waiting>()

  /**
   * Runs `request` when it is its turn.
   *
   * @throws AppError `account_busy` or `auth_unavailable` if it was not its turn in time.
   */
  async run<T>(userId: string, request: () => Promise<T>): Promise<T> {
    if (!this.#mayStart(userId)) await this.#wait(userId)
    else this.#count(userId, 1)
    try {
      return await request()
    } finally {
      this.#count(userId, -1)
      this.#startNext()
    }
  }

  #mayStart(userId: string): boolean {
    return this.#inFlightCount < REQUESTS_IN_FLIGHT_MAX && (this.#inFlight.get(userId) ?? 0) < REQUESTS_PER_USER_MAX
  }

  #count(userId: string, change: 1 | -1): void {
    const count = (this.#inFlight.get(userId) ?? 0) + change
    if (count === 0) this.#inFlight.delete(userId)
    else this.#inFlight.set(userId, count)
    this.#inFlightCount += change
  }

  /** Resolves when the request is counted as in flight. */
  async #wait(userId: string): Promise<void> {
    const refusal = () =>
      new AppError((this.#inFlight.get(userId) ?? 0) >= REQUESTS_PER_USER_MAX ? 'account_busy' : 'auth_unavailable')
    if (this.#waiting.size >= WAITING_REQUESTS_MAX) throw refusal()
    await new Promise<void>((resolve, reject) => {
      const tooLate = setTimeout(() => {
        this.#waiting.delete(waiting)
        reject(refusal())
      }, WAIT_MS)
      const waiting: Waiting = {
        userId,
        start: () => {
          clearTimeout(tooLate)
          resolve()
        },
      }
      this.#waiting.add(waiting)
    })
  }

  #startNext(): void {
    for (const waiting of this.#waiting) {
      if (!this.#mayStart(waiting.userId)) continue
      this.#waiting.delete(waiting)
      this.#count(waiting.userId, 1)
      waiting.start()
      return
    }
  }
}
