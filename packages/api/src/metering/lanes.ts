import { CHARGES_MAX } from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import type { Logger } from 'pino'
import { AppError } from '../errors.ts'
import { Lane, type SendBatch, type Timed, type Waiting } from './lane.ts'
import type { BatchItem, Decision } from './meter-batch.ts'
import { sendBatch } from './send-batch.ts'

/**
 * The maximum number of locked accounts whose batches are in flight concurrently. Each batch occupies a connection of the pool
 * while it waits for the lock.
 */
const LOCKED_ACCOUNTS_MAX = 4
/**
 * The smallest pool that the engine needs: one connection for the shared lane, one for each locked account in flight, and one for
 * announcements and the creation of partitions.
 */
export const METERING_CONNECTIONS_MIN = 1 + LOCKED_ACCOUNTS_MAX + 1
/**
 * The time limit for a batch that is decided account by account. The limit is checked before each account. So the next batch
 * waits for at most this time, plus the time of one account.
 */
const BY_ACCOUNT_MS_MAX = 2_000

type Call = BatchItem & Timed
type WaitingCall = Waiting<Call, Decision>

/**
 * Chooses the lane (the queue) in which a call waits, and sends the batches of all lanes.
 *
 * All accounts share one lane, because Postgres is fastest with one batch in flight. If another session has locked an account,
 * this account gets its own lane until one of its batches is decided. This way, only the calls of the locked account wait for
 * the lock.
 */
export class Lanes {
  readonly #db: Db
  readonly #log: Logger
  readonly #onDecided: (userIds: Iterable<string>) => void
  readonly #shared: Lane<Call, Decision>
  readonly #locked = new Map<string, Lane<Call, Decision>>()
  #lockedInFlight = 0
  readonly #waitForPlace: (() => void)[] = []
  #lastBatchMs = 0

  /** @param onDecided Receives the accounts of each batch after its commit. It must not throw. */
  constructor(db: Db, log: Logger, onDecided: (userIds: Iterable<string>) => void) {
    this.#db = db
    this.#log = log
    this.#onDecided = onDecided
    this.#shared = new Lane(CHARGES_MAX, (calls) => this.#send(calls))
  }

  get lastBatchMs(): number {
    return this.#lastBatchMs
  }

  /** @throws AppError `database_unavailable` if the call is not decided by `deadline`. */
  async decide(item: BatchItem, deadline: number): Promise<Decision> {
    const lane = this.#locked.get(item.userId) ?? this.#shared
    return await lane.enqueue({ ...item, deadline })
  }

  /**
   * True if the account's calls must be refused: another session has locked the account, and more than `LOCKED_ACCOUNTS_MAX`
   * locked accounts already have waiting calls.
   */
  isRefused(userId: string): boolean {
    if (!this.#locked.has(userId)) return false
    const waiting = [...this.#locked.values()].filter(({ isIdle }) => !isIdle)
    return waiting.length > LOCKED_ACCOUNTS_MAX
  }

  readonly #send: SendBatch<Call, Decision> = async (calls) => {
    const start = performance.now()
    const undecided = await this.#decide(calls)
    this.#lastBatchMs = performance.now() - start
    this.#onDecided(calls.map(({ item }) => item.userId))
    return undecided
  }

  /** Answers each call as soon as it is decided. Returns the calls that must be sent again. */
  async #decide(calls: readonly WaitingCall[]): Promise<readonly WaitingCall[]> {
    const accounts = Map.groupBy(calls, ({ item }) => item.userId)
    try {
      const items = calls.map(({ item }) => item)
      const outcome = await sendBatch(this.#db, this.#log, items)
      switch (outcome.status) {
        case 'decided':
          for (const userId of accounts.keys()) this.#locked.delete(userId)
          answer(calls, outcome.decisions)
          return []
        case 'accounts_locked':
          return this.#separate(calls, outcome.userIds)
        case 'too_slow':
          return await this.#decideByAccount([...accounts.values()])
      }
    } catch (error) {
      if (calls.length === 1 || error instanceof AppError) for (const { reject } of calls) reject(error)
      else {
        // Send the items one by one. Otherwise an item that the database rejects would fail the items of other callers.
        this.#log.error({ err: error, items: calls.length }, 'a batch of charges failed: sending its items one by one')
        for (const call of calls) await this.#decide([call])
      }
      return []
    }
  }

  /** Moves the calls of locked accounts to the lanes of these accounts, which answer them. Returns the other calls. */
  #separate(calls: readonly WaitingCall[], userIds: string[]): readonly WaitingCall[] {
    this.#log.warn({ userIds }, 'other sessions have locked accounts: charges of these accounts wait in separate lanes')
    for (const userId of userIds)
      if (!this.#locked.has(userId)) this.#locked.set(userId, new Lane(CHARGES_MAX, (locked) => this.#sendLocked(locked)))
    return calls.filter(({ item, resolve, reject }) => {
      const lane = this.#locked.get(item.userId)
      lane?.enqueue(item).then(resolve, reject)
      return lane === undefined
    })
  }

  /**
   * Sends a batch of a locked account. At most `LOCKED_ACCOUNTS_MAX` such batches are in flight, so that the shared lane
   * always finds a free connection.
   */
  async #sendLocked(calls: readonly WaitingCall[]): Promise<readonly WaitingCall[]> {
    if (this.#lockedInFlight >= LOCKED_ACCOUNTS_MAX) await new Promise<void>((resolve) => this.#waitForPlace.push(resolve))
    else this.#lockedInFlight++
    try {
      return await this.#send(calls)
    } finally {
      const next = this.#waitForPlace.shift()
      if (next === undefined) this.#lockedInFlight--
      else next()
    }
  }

  /** Decides one account after the other. Returns the calls that were not sent within `BY_ACCOUNT_MS_MAX`. */
  async #decideByAccount(accounts: WaitingCall[][]): Promise<readonly WaitingCall[]> {
    const end = performance.now() + BY_ACCOUNT_MS_MAX
    for (const [n, calls] of accounts.entries()) {
      if (n > 0 && performance.now() > end) return accounts.slice(n).flat()
      await this.#decide(calls)
    }
    return []
  }
}

function answer(calls: readonly WaitingCall[], decisions: Decision[]): void {
  for (const [i, { resolve, reject }] of calls.entries()) {
    const decision = decisions[i]
    if (decision === undefined) reject(new Error('the database did not decide an item of the batch'))
    else resolve(decision)
  }
}
