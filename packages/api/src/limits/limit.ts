import type { Reason } from '@keymeter/contract'
import { type Db, isConflict, isLockTimeout, isUnavailable } from '@keymeter/db'
import { CompiledQuery } from 'kysely'
import { RateLimiterPostgres, RateLimiterRes } from 'rate-limiter-flexible'
import { AppError } from '../errors.ts'
import { pauseBeforeRefusal } from '../pause-before-refusal.ts'

/**
 * An attempt that is not counted within this time fails. It is shorter than the timeout of a query, because the attempts wait for
 * each other.
 */
const COUNTED_WITHIN_MS = 5_000
/** The number of attempts of one limit that may wait in this process. Further attempts are refused without a count. */
export const WAITING_ATTEMPTS_MAX = 500
/** The number of these attempts that may belong to one subject, so that one subject does not take all places. */
export const WAITING_PER_SUBJECT_MAX = 100
/** The wait that an attempt gets if it is refused without a count. */
const CROWDED_RETRY_AFTER_MS = 1_000
const CROWDED = 'Too many calls arrive at the same time: try again in 1 second.'

export interface LimitOptions {
  /** The first part of the keys in the table `rate_limits`. Two limits never have the same name. */
  name: string
  /** The number of attempts that are allowed in a window. 0 switches the limit off. */
  attemptsMax: number
  windowSeconds: number
  reason: Reason
  /** The beginning of the error message, e.g. "Too many sign-ups from your network". The wait follows. */
  refusal: string
  /** The end of the error message, e.g. what is still possible. */
  advice?: string
}

interface Attempt {
  resolve: () => void
  reject: (error: unknown) => void
}

/**
 * A limit on attempts per subject (a client address, a mailbox, an account or a person), counted in Postgres. It is exact over all server
 * processes: of any number of concurrent attempts, exactly `attemptsMax` pass in a window. A window begins with the first attempt
 * of the subject. Refused attempts are counted too, but they do not extend the window.
 *
 * A limit has at most one statement in flight in this process, so floods of attempts cannot take the connections of other calls.
 * All waiting attempts of one subject are counted by one statement, and the subjects take turns. So a subject that sends many
 * attempts delays another subject only by one statement. When a subject has used up its limit, this process remembers it and
 * refuses further attempts without a statement until the window ends.
 *
 * A process computes the window from its own clock. Processes whose clocks differ can disagree about the end of a window by this
 * difference. They do not disagree about the count.
 */
export class Limit {
  readonly #options: LimitOptions
  readonly #limiter: RateLimiterPostgres | null
  readonly #waiting = new Map<string, Attempt[]>()
  #waitingCount = 0
  #isCounting = false

  constructor(db: Db, options: LimitOptions) {
    this.#options = options
    const { name, attemptsMax, windowSeconds } = options
    this.#limiter =
      attemptsMax === 0
        ? null
        : new RateLimiterPostgres({
            storeClient: connection(db),
            // The library passes each query to `storeClient.query`, as for a pool of pg.
            storeType: 'pool',
            schemaName: 'public',
            tableName: 'rate_limits',
            tableCreated: true,
            // `deleteEndedLimits` deletes the rows in batches. The library would delete all of them in one statement.
            clearExpiredByTimeout: false,
            keyPrefix: name,
            points: attemptsMax,
            duration: windowSeconds,
            inMemoryBlockOnConsumed: attemptsMax,
          })
  }

  /**
   * Counts one attempt.
   *
   * @throws AppError with the reason of the limit if the subject has used up its limit.
   * @throws AppError `database_unavailable` if Postgres does not count the attempt in time. There is no fallback, because an
   *   attacker could use an outage to get around the limit.
   */
  async attempt(subject: string): Promise<void> {
    try {
      await this.#attempt(subject)
    } catch (error) {
      if (error instanceof AppError && error.reason === this.#options.reason) await pauseBeforeRefusal()
      throw error
    }
  }

  async #attempt(subject: string): Promise<void> {
    const limiter = this.#limiter
    if (limiter === null) return
    const attempts = this.#waiting.get(subject) ?? []
    if (this.#waitingCount >= WAITING_ATTEMPTS_MAX || attempts.length >= WAITING_PER_SUBJECT_MAX)
      throw new AppError(this.#options.reason, { message: CROWDED, retryAfterMs: CROWDED_RETRY_AFTER_MS })
    await new Promise<void>((resolve, reject) => {
      const tooLate = setTimeout(() => reject(new AppError('database_unavailable')), COUNTED_WITHIN_MS)
      attempts.push({
        resolve: () => {
          clearTimeout(tooLate)
          resolve()
        },
        reject: (error) => {
          clearTimeout(tooLate)
          reject(error)
        },
      })
      this.#waiting.set(subject, attempts)
      this.#waitingCount += 1
      if (!this.#isCounting) void this.#countAll(limiter)
    })
  }

  /** Counts the waiting attempts, one subject after the other, until none is waiting. */
  async #countAll(limiter: RateLimiterPostgres): Promise<void> {
    this.#isCounting = true
    for (let [next] = this.#waiting; next !== undefined; [next] = this.#waiting) {
      const [subject, attempts] = next
      this.#remove(subject, attempts)
      try {
        const { passed, retryAfterMs } = await this.#count(limiter, subject, attempts.length)
        for (const [i, { resolve, reject }] of attempts.entries()) {
          if (i < passed) resolve()
          else reject(this.#refuse(retryAfterMs))
        }
      } catch (cause) {
        const error = isUnavailable(cause) || isConflict(cause) ? new AppError('database_unavailable', { cause }) : cause
        for (const { reject } of attempts) reject(error)
        // The waiting attempts would fail too, one timeout after the other. A lock timeout concerns only the counter of this subject.
        for (const [waitingSubject, waiting] of [...this.#waiting]) {
          if (isLockTimeout(cause) && waitingSubject !== subject) continue
          this.#remove(waitingSubject, waiting)
          for (const { reject } of waiting) reject(error)
        }
      }
    }
    this.#isCounting = false
  }

  #remove(subject: string, attempts: Attempt[]): void {
    this.#waiting.delete(subject)
    this.#waitingCount -= attempts.length
  }

  /** Counts `attempts` attempts with one statement, and returns how many of them pass. */
  async #count(limiter: RateLimiterPostgres, subject: string, attempts: number) {
    const { consumedPoints, msBeforeNext } = await limiter.consume(subject, attempts).catch((result: unknown) => {
      // The library rejects with this object, which is not an error, if the limit is exceeded.
      if (result instanceof RateLimiterRes) return result
      throw result
    })
    // The library reports 0 if it refuses from its memory.
    const refused = consumedPoints === 0 ? attempts : Math.max(0, consumedPoints - this.#options.attemptsMax)
    return { passed: Math.max(0, attempts - refused), retryAfterMs: msBeforeNext }
  }

  #refuse(retryAfterMs: number): AppError {
    const { reason, refusal, advice } = this.#options
    const message = [`${refusal}: try again in ${formatWait(retryAfterMs)}.`, advice].filter(Boolean).join(' ')
    return new AppError(reason, { message, retryAfterMs })
  }
}

/** Formats a wait, rounded up to seconds or minutes, e.g. "42 minutes". */
function formatWait(ms: number): string {
  const seconds = Math.max(1, Math.ceil(ms / 1000))
  const [count, unit] = seconds < 60 ? [seconds, 'second'] : [Math.ceil(seconds / 60), 'minute']
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}

/**
 * Returns a connection for the library. It drops the name of each statement: a named statement belongs to one session, and behind
 * a pooler in transaction mode the next statement can run in another session.
 */
function connection(db: Db) {
  return {
    query: async ({ text, values }: { text: string; values: unknown[] }) =>
      await db.executeQuery(CompiledQuery.raw(text, values)),
  }
}
